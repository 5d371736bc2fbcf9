// SPDX-License-Identifier: Apache-2.0
#include "kernels/emu/runtime_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

#include "kernels/emu/grid.h"
#include "kernels/emu/memory.h"
#include "kernels/emu/options.h"
#include "kernels/emu/runtime_lock.h"
#include "kernels/emu/stream.h"

namespace lockstep::emu {
namespace {

struct Device {
  int current = 0;
  Failure last;       // what cudaGetLastError returns
  Failure explained;  // what cudaGetErrorString explains
  std::set<void*> pinned;
};

Device& device() {
  static Device device;
  return device;
}

// Enough for every rank of a test on one machine to have its own.
int device_count() {
  constexpr int kDefault = 16;
  const char* const text = std::getenv("LOCKSTEP_EMU_DEVICES");
  return text == nullptr ? kDefault : std::max(0, std::atoi(text));
}

uintptr_t address(const void* p) { return reinterpret_cast<uintptr_t>(p); }

cudaError_t error(cudaError_t code, const std::string& text) { return report({code, text}); }

// The written bytes of the source are written in the copy, the others are not.
void copy_states(uintptr_t to, uintptr_t from, size_t bytes) {
  if ((to | from | bytes) % 4 != 0) return set_written(to, bytes, true);
  std::memcpy(g_arena.state + (to - g_arena.base) / 4, g_arena.state + (from - g_arena.base) / 4, bytes / 4);
}

Failure run_copy(void* to, const void* from, size_t bytes) {
  for (const void* const p : {static_cast<const void*>(to), from}) {
    if (g_arena.contains(p) && !all_valid(address(p), bytes)) {
      return {cudaErrorIllegalAddress,
              fmt::format("a copy of {} bytes {} {}: {}", bytes, p == to ? "to" : "from", p, describe(p))};
    }
  }
  std::memmove(to, from, bytes);
  if (g_arena.contains(to)) {
    g_arena.contains(from) ? copy_states(address(to), address(from), bytes) : set_written(address(to), bytes, true);
  }
  return {};
}

Failure run_set(void* memory, int value, size_t bytes) {
  if (!all_valid(address(memory), bytes)) {
    return {cudaErrorIllegalAddress, fmt::format("cudaMemset of {} bytes at {}: {}", bytes, memory, describe(memory))};
  }
  std::memset(memory, value, bytes);
  set_written(address(memory), bytes, true);
  return {};
}

bool right_sides(const void* to, const void* from, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return true;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return g_arena.contains(to) == to_device && g_arena.contains(from) == from_device;
}

const char* error_text(cudaError_t code) {
  switch (code) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorMisalignedAddress:
      return "misaligned address";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    default:
      return "error of the emulated GPU";
  }
}

}  // namespace

cudaError_t report(const Failure& failure) {
  device().last = device().explained = failure;
  return failure.error;
}

}  // namespace lockstep::emu

// NOLINTBEGIN: the names are CUDA's.
using namespace lockstep::emu;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = device_count();
  return *count == 0 ? error(cudaErrorNoDevice, "LOCKSTEP_EMU_DEVICES is 0") : cudaSuccess;
}
cudaError_t cudaGetDevice(int* index) {
  *index = device().current;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int index) {
  const RuntimeLock lock(runtime_lock());
  if (device_count() == 0) return error(cudaErrorNoDevice, "LOCKSTEP_EMU_DEVICES is 0");
  if (index < 0 || index >= device_count()) {
    return error(cudaErrorInvalidDevice, fmt::format("no device {}: there are {}", index, device_count()));
  }
  device().current = index;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strncpy(properties->name, "emulated GPU", sizeof properties->name - 1);
  properties->totalGlobalMem = static_cast<size_t>(device_memory_bytes());
  properties->sharedMemPerBlock = 48 * 1024;
  properties->sharedMemPerBlockOptin = kMaxSharedBytes;
  properties->sharedMemPerMultiprocessor = 100 * 1024;
  properties->major = 8;
  properties->minor = 6;
  properties->multiProcessorCount = 2;
  properties->warpSize = kWarp;
  properties->maxThreadsPerBlock = kMaxThreads;
  properties->maxThreadsPerMultiProcessor = 1536;
  properties->regsPerMultiprocessor = 65536;
  properties->memoryBusWidth = 64;
  properties->l2CacheSize = 1 << 20;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int index) {
  cudaDeviceProp p;
  cudaGetDeviceProperties(&p, index);
  switch (attribute) {
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(p.sharedMemPerBlock);
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      return cudaSuccess;
  }
  return error(cudaErrorInvalidValue, "an attribute that the emulator does not know");
}

cudaError_t cudaDeviceGetPCIBusId(char* address, int bytes, int device_index) {
  std::snprintf(address, static_cast<size_t>(bytes), "emu0:%02d:00.0", device_index);
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  const RuntimeLock lock(runtime_lock());
  *total_bytes = static_cast<size_t>(device_memory_bytes());
  *free_bytes = *total_bytes - std::min(*total_bytes, device_bytes_in_use());
  return cudaSuccess;
}

cudaError_t cudaDeviceReset() { return cudaDeviceSynchronize(); }

cudaError_t cudaGetLastError() {
  const RuntimeLock lock(runtime_lock());
  const cudaError_t last = device().last.error;
  device().last = {};
  return last;
}
cudaError_t cudaPeekAtLastError() { return device().last.error; }

const char* cudaGetErrorName(cudaError_t code) {
#define LOCKSTEP_EMU_NAME(name) \
  case name:                    \
    return #name;
  switch (code) {
    LOCKSTEP_EMU_NAME(cudaSuccess)
    LOCKSTEP_EMU_NAME(cudaErrorInvalidValue)
    LOCKSTEP_EMU_NAME(cudaErrorMemoryAllocation)
    LOCKSTEP_EMU_NAME(cudaErrorInitializationError)
    LOCKSTEP_EMU_NAME(cudaErrorInvalidConfiguration)
    LOCKSTEP_EMU_NAME(cudaErrorInvalidDevicePointer)
    LOCKSTEP_EMU_NAME(cudaErrorInsufficientDriver)
    LOCKSTEP_EMU_NAME(cudaErrorNoDevice)
    LOCKSTEP_EMU_NAME(cudaErrorInvalidDevice)
    LOCKSTEP_EMU_NAME(cudaErrorInvalidResourceHandle)
    LOCKSTEP_EMU_NAME(cudaErrorNotReady)
    LOCKSTEP_EMU_NAME(cudaErrorIllegalAddress)
    LOCKSTEP_EMU_NAME(cudaErrorMisalignedAddress)
    LOCKSTEP_EMU_NAME(cudaErrorLaunchFailure)
    LOCKSTEP_EMU_NAME(cudaErrorStreamCaptureUnsupported)
    LOCKSTEP_EMU_NAME(cudaErrorStreamCaptureInvalidated)
    LOCKSTEP_EMU_NAME(cudaErrorStreamCaptureUnmatched)
    LOCKSTEP_EMU_NAME(cudaErrorStreamCaptureUnjoined)
    LOCKSTEP_EMU_NAME(cudaErrorStreamCaptureIsolation)
    LOCKSTEP_EMU_NAME(cudaErrorUnknown)
  }
#undef LOCKSTEP_EMU_NAME
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t code) {
  const RuntimeLock lock(runtime_lock());
  const Failure& explained = device().explained;
  return code != cudaSuccess && explained.error == code ? explained.message.c_str() : error_text(code);
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  const RuntimeLock lock(runtime_lock());
  *memory = nullptr;
  if (const cudaError_t e = unsafe_while_capturing("cudaMalloc"); e != cudaSuccess) return e;
  if (bytes == 0) return cudaSuccess;
  *memory = allocate_device(bytes);
  return *memory != nullptr ? cudaSuccess : error(cudaErrorMemoryAllocation, "out of memory");
}

cudaError_t cudaFree(void* memory) {
  const RuntimeLock lock(runtime_lock());
  if (const cudaError_t e = unsafe_while_capturing("cudaFree"); e != cudaSuccess) return e;
  if (memory == nullptr) return cudaSuccess;
  switch (release_device(memory)) {
    case Release::kDone:
      return cudaSuccess;
    case Release::kNotAllocated:
      return error(cudaErrorInvalidValue, fmt::format("cudaFree of {}: {}", memory, describe(memory)));
    case Release::kGuardsOverwritten:
      break;
  }
  return error(cudaErrorIllegalAddress, "cudaFree: the guard bytes beside the allocation were overwritten");
}

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  const RuntimeLock lock(runtime_lock());
  constexpr size_t kAlignment = 256;
  *memory = nullptr;
  if (bytes == 0) return cudaSuccess;
  *memory = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (*memory == nullptr) return error(cudaErrorMemoryAllocation, "out of host memory");
  device().pinned.insert(*memory);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) { return cudaHostAlloc(memory, bytes, cudaHostAllocDefault); }

cudaError_t cudaFreeHost(void* memory) {
  const RuntimeLock lock(runtime_lock());
  if (memory == nullptr) return cudaSuccess;
  if (device().pinned.erase(memory) == 0) return error(cudaErrorInvalidValue, "cudaFreeHost of memory not pinned");
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const RuntimeLock lock(runtime_lock());
  if (bytes == 0) return cudaSuccess;
  if (!right_sides(to, from, kind)) {
    return error(cudaErrorInvalidValue, fmt::format("cudaMemcpy from {} ({}) to {} ({}): not what its kind says", from,
                                                    describe(from), to, describe(to)));
  }
  return enqueue_work(stream, [=] { return run_copy(to, from, bytes); });
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const RuntimeLock lock(runtime_lock());
  if (const cudaError_t e = unsafe_while_capturing("cudaMemcpy"); e != cudaSuccess) return e;
  const cudaError_t e = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  return e != cudaSuccess ? e : cudaStreamSynchronize(nullptr);
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  return enqueue_work(stream, [=] { return run_set(memory, value, bytes); });
}

cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
  const RuntimeLock lock(runtime_lock());
  if (const cudaError_t e = unsafe_while_capturing("cudaMemset"); e != cudaSuccess) return e;
  const cudaError_t e = cudaMemsetAsync(memory, value, bytes, nullptr);
  return e != cudaSuccess ? e : cudaStreamSynchronize(nullptr);
}
// NOLINTEND
