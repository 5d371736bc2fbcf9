// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda_library.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

namespace lockstep {
namespace {

constexpr char kFileName[] = "liblockstep_cuda.so";

std::filesystem::path program_directory() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

// Paths to try, in order; the last one, a bare name, is left to the loader.
std::vector<std::string> candidates() {
  if (const char* path = std::getenv("LOCKSTEP_CUDA_LIBRARY"); path != nullptr && *path != '\0') return {path};
  const std::filesystem::path directory = program_directory();
  return {(directory / kFileName).string(), (directory / ".." / "lib" / kFileName).lexically_normal().string(),
          kFileName};
}

absl::StatusOr<const CudaLibrary*> library_of(void* handle, const std::string& path) {
  using Entry = const CudaLibrary*();
  auto* const entry = reinterpret_cast<Entry*>(::dlsym(handle, "lockstep_cuda_library"));
  if (entry == nullptr) {
    return absl::FailedPreconditionError(
        fmt::format("{} exports no lockstep_cuda_library: not a part of Lockstep", path));
  }
  const CudaLibrary* const library = entry();
  if (library->abi_version == CudaLibrary::kAbiVersion) return library;
  return absl::FailedPreconditionError(
      fmt::format("{} belongs to another build: it has interface {}, this program {}; build both from one tree", path,
                  library->abi_version, CudaLibrary::kAbiVersion));
}

absl::StatusOr<const CudaLibrary*> open() {
  const std::vector<std::string> paths = candidates();
  for (const std::string& path : paths) {
    const bool is_path = path.find('/') != std::string::npos;
    if (is_path && !std::filesystem::exists(path)) continue;
    // Never closed: the CUDA runtime does not survive that.
    void* const handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle != nullptr) return library_of(handle, path);
    const char* const reason = ::dlerror();
    if (is_path) {
      return absl::FailedPreconditionError(fmt::format("cannot load {}: {}", path, reason != nullptr ? reason : "?"));
    }
  }
  return absl::NotFoundError(
      fmt::format("there is no CUDA library (looked for {}): this build has none; configure with -DLOCKSTEP_CUDA=ON on "
                  "a machine with the CUDA toolkit",
                  fmt::join(paths, ", ")));
}

}  // namespace

absl::StatusOr<const CudaLibrary*> open_cuda_library() {
  static const absl::StatusOr<const CudaLibrary*> library = open();
  return library;
}

}  // namespace lockstep
