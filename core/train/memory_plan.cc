// SPDX-License-Identifier: Apache-2.0
#include "core/train/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/slice_tree.h"
#include "core/nn/model.h"
#include "core/train/train_step.h"

namespace lockstep {
namespace {

std::string mib(int64_t bytes) { return fmt::format("{:.0f} MiB", static_cast<double>(bytes) / (1 << 20)); }

int64_t host_need(const Network& network, TrainConfig config, int64_t batch, int ranks, int local_ranks) {
  config.train_batch_size = batch;
  return plan_memory(network, config, 0, ranks).total() * local_ranks;
}

// Largest batch that fits, 0 when not even one example does. Need grows with the batch.
int64_t largest_batch(const Network& network, const TrainConfig& config, int ranks, int local_ranks,
                      int64_t available_bytes) {
  int64_t fits = 0, too_large = config.train_batch_size;
  while (too_large - fits > 1) {
    const int64_t middle = fits + (too_large - fits) / 2;
    (host_need(network, config, middle, ranks, local_ranks) <= available_bytes ? fits : too_large) = middle;
  }
  return fits;
}

}  // namespace

int64_t model_capacity(const TrainConfig& config, int rank, int ranks) {
  constexpr int64_t kMaxEvalPass = 100;
  return std::max(
      {TrainStep::local_examples(config, rank, ranks), std::min(config.eval_batch_size, kMaxEvalPass), int64_t{1}});
}

MemoryPlan plan_memory(const Network& network, const TrainConfig& config, int rank, int ranks) {
  constexpr int64_t kReadAhead = 6;  // the stream's queue, the batch being made and the one in use
  const int64_t flat = network.params().buffer_size() * static_cast<int64_t>(sizeof(float));
  const auto subtrees =
      static_cast<int64_t>(aligned_subtrees(slices_of_rank(rank, ranks, static_cast<int>(config.grad_slices))).size());
  MemoryPlan plan;
  plan.weights = flat;
  plan.gradients = flat * subtrees;
  plan.moments = 2 * flat;
  plan.checkpoint = rank == 0 ? 5 * flat : 0;
  plan.activations = Model::memory_bytes(network, model_capacity(config, rank, ranks), ModelUse::kTraining);
  plan.batches = kReadAhead * TrainStep::local_examples(config, rank, ranks) *
                 (network.input().size() + static_cast<int64_t>(sizeof(int32_t)));
  return plan;
}

absl::Status check_memory(const Network& network, const TrainConfig& config, int ranks, int local_ranks,
                          int64_t available_bytes) {
  const MemoryPlan plan = plan_memory(network, config, 0, ranks);
  const int64_t need = plan.total() * local_ranks;
  if (need <= available_bytes) return absl::OkStatus();
  const int64_t batch = largest_batch(network, config, ranks, local_ranks, available_bytes);
  const std::string advice = batch > 0 ? fmt::format("the largest --train_batch_size that fits is {}", batch)
                                       : std::string("not even --train_batch_size=1 fits; the model is too large");
  return absl::ResourceExhaustedError(fmt::format(
      "training with --train_batch_size={} needs {} on this host, {} are available: {} rank{} of {} each (weights {}, "
      "gradients {}, moments {}, checkpoint {}, activations {}, batches {}); {}",
      config.train_batch_size, mib(need), mib(available_bytes), local_ranks, local_ranks == 1 ? "" : "s",
      mib(plan.total()), mib(plan.weights), mib(plan.gradients), mib(plan.moments), mib(plan.checkpoint),
      mib(plan.activations), mib(plan.batches), advice));
}

}  // namespace lockstep
