// SPDX-License-Identifier: Apache-2.0
#include "core/train/device_memory_plan.h"

#include <fmt/format.h>

#include <limits>

#include "core/nn/grad_buckets.h"
#include "core/nn/model.h"
#include "core/train/device_inference.h"
#include "core/train/device_input.h"
#include "core/train/memory_plan.h"
#include "core/train/train_step.h"
#include "mpi/device_grad_reducer.h"

namespace lockstep {
namespace {

constexpr int64_t kGraphAllowance = int64_t{16} << 20;
constexpr int64_t kNcclAllowance = int64_t{256} << 20;
constexpr int64_t kCudnnAllowance = int64_t{256} << 20;  // its kernels, loaded as they are used

int64_t workspace_bytes(Communicator& communicator, const Network& network, const TrainConfig& config,
                        const Accelerator& accelerator) {
  const int rank = communicator.rank(), ranks = communicator.size();
  const DeviceContext context = device_context(accelerator, config, {});
  const GradSlices slices =
      GradSlices::for_rank(rank, ranks, static_cast<int>(config.grad_slices), config.train_batch_size);
  return Model::workspace_bytes(network, {accelerator.backend, nullptr, &context}, slices,
                                model_capacity(config, rank, ranks), [&] { communicator.note_progress(); });
}

}  // namespace

absl::StatusOr<DeviceMemoryPlan> plan_device_memory(Communicator& communicator, const Network& network,
                                                    const TrainConfig& config, const Accelerator& accelerator) {
  const int rank = communicator.rank(), ranks = communicator.size();
  LOCKSTEP_ASSIGN_OR_RETURN(
      const GradPlan gradients,
      make_grad_plan(rank, ranks, static_cast<int>(config.grad_slices), network.params().buffer_size(),
                     make_grad_buckets(network.params(), network.layer_count()).buckets));
  const int64_t capacity = model_capacity(config, rank, ranks);
  const int64_t flat = network.params().buffer_size() * static_cast<int64_t>(sizeof(float));
  const int64_t examples = TrainStep::local_examples(config, rank, ranks);
  const bool augmented = config.augment_shift != 0 || config.augment_rotate != 0;
  DeviceMemoryPlan plan;
  plan.parameters = device_grad_reducer_bytes(gradients) + 2 * flat;
  plan.activations = Model::memory_bytes(network, capacity, ModelUse::kTraining);
  plan.input = DeviceInput::memory_bytes({examples, network.input().size(), augmented}) +
               DeviceInference::memory_bytes(network, capacity);
  plan.workspace = workspace_bytes(communicator, network, config, accelerator);
  plan.libraries = kGraphAllowance + (ranks > 1 ? kNcclAllowance : 0) +
                   (accelerator.backend == Backend::kCudnn ? kCudnnAllowance : 0);
  return plan;
}

absl::Status check_device_memory(Communicator& communicator, const Network& network, const TrainConfig& config,
                                 const Accelerator& accelerator) {
  LOCKSTEP_ASSIGN_OR_RETURN(const DeviceMemoryPlan plan,
                            plan_device_memory(communicator, network, config, accelerator));
  LOCKSTEP_ASSIGN_OR_RETURN(const DeviceMemoryInfo memory, accelerator.device->memory());
  if (plan.total() <= memory.free_bytes) return absl::OkStatus();
  const int64_t largest = largest_batch_that_fits(config.train_batch_size, memory.free_bytes, [&](int64_t batch) {
    TrainConfig smaller = config;
    smaller.train_batch_size = batch;
    const auto less = plan_device_memory(communicator, network, smaller, accelerator);
    return less.ok() ? less->total() : std::numeric_limits<int64_t>::max();
  });
  return absl::ResourceExhaustedError(fmt::format(
      "training with --train_batch_size={} needs {} on GPU {} ({}), {} of {} are free (parameters {}, activations {}, "
      "input {}, scratch {}, libraries {}); {}",
      config.train_batch_size, mib_text(plan.total()), accelerator.index, accelerator.device->name(),
      mib_text(memory.free_bytes), mib_text(memory.total_bytes), mib_text(plan.parameters), mib_text(plan.activations),
      mib_text(plan.input), mib_text(plan.workspace), mib_text(plan.libraries), batch_advice(largest)));
}

}  // namespace lockstep
