// SPDX-License-Identifier: Apache-2.0
#include "core/train/accelerator.h"

#include <fmt/format.h>

#include <vector>

#include "core/base/log.h"
#include "core/train/agree.h"

namespace lockstep {
namespace {

using Opened = absl::StatusOr<std::unique_ptr<Accelerator>>;

// One GPU a local rank. A launcher that shows every process a GPU of its own has chosen already.
absl::StatusOr<int> choose_index(const Communicator& communicator, int devices) {
  if (devices == 1) return 0;
  if (communicator.local_rank() < devices) return communicator.local_rank();
  return absl::FailedPreconditionError(fmt::format("{} ranks on this host, but {} GPUs: start at most {} ranks a host",
                                                   communicator.local_size(), devices, devices));
}

absl::Status check_build(const CudaLibrary& library, Backend backend, int ranks) {
  if (backend == Backend::kCudnn && library.cudnn == nullptr) {
    return absl::FailedPreconditionError("--backend=cudnn: the CUDA library was built without cuDNN");
  }
  if (ranks > 1 && library.make_nccl_grad_reducer == nullptr) {
    return absl::FailedPreconditionError(
        "several ranks with GPUs need NCCL, and the CUDA library was built without it");
  }
  return absl::OkStatus();
}

absl::StatusOr<int> usable_devices(const CudaLibrary& library) {
  const absl::StatusOr<int> devices = library.device_count();
  if (devices.ok() && *devices > 0) return devices;
  return absl::FailedPreconditionError(
      fmt::format("no usable GPU ({}); `nvidia-smi` tells whether driver and GPU are there",
                  devices.ok() ? "the driver finds none" : std::string(devices.status().message())));
}

Opened open_here(const Communicator& communicator, Backend backend) {
  auto accelerator = std::make_unique<Accelerator>();
  accelerator->backend = backend;
  LOCKSTEP_ASSIGN_OR_RETURN(accelerator->library, open_cuda_library());
  const CudaLibrary& library = *accelerator->library;
  LOCKSTEP_RETURN_IF_ERROR(check_build(library, backend, communicator.size()));
  LOCKSTEP_ASSIGN_OR_RETURN(const int devices, usable_devices(library));
  LOCKSTEP_ASSIGN_OR_RETURN(accelerator->index, choose_index(communicator, devices));
  LOCKSTEP_ASSIGN_OR_RETURN(accelerator->id, library.device_id(accelerator->index));
  LOCKSTEP_ASSIGN_OR_RETURN(accelerator->device, library.make_device(accelerator->index));
  return accelerator;
}

// Two ranks on one GPU would wait for each other inside NCCL.
absl::Status check_not_shared(Communicator& communicator, const std::string& id) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto ids, communicator.all_gather(id));
  for (int other = 0; other < communicator.rank(); ++other) {
    const bool same_host = communicator.host_of(other) == communicator.host_of(communicator.rank());
    if (id.empty() || !same_host || ids[static_cast<size_t>(other)] != id) continue;
    return absl::FailedPreconditionError(fmt::format("GPU {} is rank {}'s already: start one rank a GPU", id, other));
  }
  return absl::OkStatus();
}

absl::StatusOr<Backend> wanted_backend(const TrainConfig& config) {
  return config.backend == "auto" ? absl::StatusOr<Backend>(Backend::kCuda) : parse_backend(config.backend);
}

// What a command line with --device=auto leaves open until now.
absl::Status check_cpu(const TrainConfig& config) {
  if (config.precision != "fp32") {
    return absl::InvalidArgumentError(
        fmt::format("--precision={} needs a GPU; the CPU trains in fp32", config.precision));
  }
  if (config.collective != "ordered") {
    return absl::InvalidArgumentError(fmt::format("--collective={} needs GPUs", config.collective));
  }
  return absl::OkStatus();
}

Opened take_cpu(Communicator& communicator, TrainConfig* config) {
  config->device = "cpu";
  if (config->backend == "auto") config->backend = "simd";
  LOCKSTEP_RETURN_IF_ERROR(agree(communicator, check_cpu(*config)));
  return nullptr;
}

}  // namespace

DeviceContext device_context(const Accelerator& accelerator, const TrainConfig& config, DeviceStream stream) {
  DeviceContext context;
  context.device = accelerator.device.get();
  context.ops = accelerator.ops();
  context.stream = stream;
  context.tensor_cores = config.precision != "fp32";
  context.bf16 = config.precision == "bf16";
  return context;
}

Opened open_accelerator(Communicator& communicator, TrainConfig* config) {
  LOCKSTEP_ASSIGN_OR_RETURN(const Backend backend, wanted_backend(*config));
  if (config->device == "cpu" || !is_device(backend)) return take_cpu(communicator, config);
  Opened opened = open_here(communicator, backend);
  absl::Status status = opened.status();
  const absl::Status shared = check_not_shared(communicator, opened.ok() ? (*opened)->id : "");
  if (status.ok()) status = shared;
  const absl::Status all = agree(communicator, status);
  if (!all.ok() && config->device == "auto" && config->backend == "auto") {
    if (communicator.rank() == 0) LOG_INFO("device=auto takes the CPU: {}", std::string(all.message()));
    return take_cpu(communicator, config);
  }
  LOCKSTEP_RETURN_IF_ERROR(all);
  config->device = "cuda";
  config->backend = std::string(backend_name(backend));
  return opened;
}

}  // namespace lockstep
