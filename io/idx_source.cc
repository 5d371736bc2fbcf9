// SPDX-License-Identifier: Apache-2.0
#include "io/idx_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "io/download.h"
#include "io/idx_reader.h"

namespace lockstep {
namespace {

constexpr std::array<std::string_view, 4> kStems{kTrainImagesStem, kTrainLabelsStem, kTestImagesStem, kTestLabelsStem};

std::string without_trailing_slash(std::string_view url) {
  while (url.ends_with('/')) url.remove_suffix(1);
  return std::string(url);
}

IdxFiles files_of(const std::array<std::string, 4>& paths) { return {paths[0], paths[1], paths[2], paths[3]}; }

absl::StatusOr<IdxFiles> find_in_directory(const std::string& directory) {
  if (!is_directory(directory)) {
    return absl::NotFoundError(fmt::format("{}: expected a directory with IDX files, a URL or `{}`; found {}",
                                           directory, kMirrorSource, file_exists(directory) ? "a file" : "nothing"));
  }
  std::array<std::string, 4> paths;
  for (size_t i = 0; i < kStems.size(); ++i) {
    LOCKSTEP_ASSIGN_OR_RETURN(paths[i], find_idx_file(directory, kStems[i]));
  }
  return files_of(paths);
}

std::string checksum_of(const Mirrors& mirrors, std::string_view name) {
  const auto it = std::find_if(mirrors.files.begin(), mirrors.files.end(),
                               [name](const MirroredFile& file) { return file.name == name; });
  return it == mirrors.files.end() ? "" : it->sha256;
}

bool has_checksum(const std::string& path, const std::string& sha256) {
  if (sha256.empty() || !file_exists(path)) return false;
  const auto contents = read_file(path);
  return contents.ok() && sha256_hex(*contents) == sha256;
}

// Tries the bases in turn until one gives the file.
absl::StatusOr<uint64_t> download_from_any(const std::vector<std::string>& bases, const std::string& name,
                                           const std::string& path, const DownloadOptions& options) {
  absl::Status failures;
  for (const std::string& base : bases) {
    auto bytes = download(base + "/" + name, path, options);
    if (bytes.ok()) return bytes;
    failures = failures.ok() ? bytes.status() : annotate(bytes.status(), std::string(failures.message()) + "; then");
  }
  return failures;
}

absl::Status fetch_file(const std::vector<std::string>& bases, const std::string& name, const std::string& sha256,
                        const std::string& path, const IdxSourceOptions& options) {
  if (has_checksum(path, sha256)) return absl::OkStatus();
  DownloadOptions download_options;
  download_options.sha256 = sha256;
  download_options.on_progress = [&options](uint64_t done, uint64_t total) {
    if (total > 0) options.on_progress(static_cast<double>(done) / static_cast<double>(total));
  };
  LOCKSTEP_ASSIGN_OR_RETURN(const uint64_t bytes, download_from_any(bases, name, path, download_options));
  options.on_line(fmt::format("Successfully downloaded {} {} bytes.", name, bytes));
  return absl::OkStatus();
}

absl::StatusOr<IdxFiles> fetch_all(const std::vector<std::string>& bases, bool check_checksums,
                                   const IdxSourceOptions& options) {
  LOCKSTEP_RETURN_IF_ERROR(make_directories(options.cache_directory));
  std::array<std::string, 4> paths;
  for (size_t i = 0; i < kStems.size(); ++i) {
    const std::string name = std::string(kStems[i]) + ".gz";
    const std::string sha256 = check_checksums ? checksum_of(options.mirrors, name) : "";
    paths[i] = join_path(options.cache_directory, name);
    LOCKSTEP_RETURN_IF_ERROR(fetch_file(bases, name, sha256, paths[i], options));
  }
  return files_of(paths);
}

}  // namespace

const Mirrors& mnist_mirrors() {
  static const Mirrors mirrors{
      {"https://storage.googleapis.com/cvdf-datasets/mnist", "https://ossci-datasets.s3.amazonaws.com/mnist"},
      {{"train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
       {"train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
       {"t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
       {"t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"}}};
  return mirrors;
}

absl::StatusOr<IdxFiles> resolve_idx_source(const IdxSourceOptions& options) {
  if (options.source == kMirrorSource) return fetch_all(options.mirrors.bases, true, options);
  if (options.source.find("://") != std::string::npos) {
    const std::string base = without_trailing_slash(options.source);
    const auto& known = options.mirrors.bases;
    return fetch_all({base}, std::find(known.begin(), known.end(), base) != known.end(), options);
  }
  auto found = find_in_directory(options.source);
  if (found.ok() || !options.fall_back_to_mirrors) return found;
  options.on_line(fmt::format("No data in {}: downloading from the public mirrors", options.source));
  auto fetched = fetch_all(options.mirrors.bases, true, options);
  if (fetched.ok()) return fetched;
  return annotate(fetched.status(), std::string(found.status().message()) + "; and the mirrors failed");
}

}  // namespace lockstep
