// SPDX-License-Identifier: Apache-2.0
#include "core/train/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/base/slice_tree.h"
#include "core/nn/grad_buckets.h"
#include "core/nn/model.h"
#include "core/train/exchange.h"
#include "core/train/train_step.h"
#include "mpi/grad_shards.h"

namespace lockstep {
namespace {

struct HostNeed {
  int64_t bytes = 0;
  MemoryPlan largest;  // of one rank
};

HostNeed host_need(const Network& network, const TrainConfig& config, int ranks, int local_ranks) {
  std::vector<MemoryPlan> plans;
  for (int rank = 0; rank < ranks; ++rank)
    plans.push_back(plan_memory(network, config, rank, ranks, sends_messages(config, ranks, local_ranks)));
  std::sort(plans.begin(), plans.end(), [](const MemoryPlan& a, const MemoryPlan& b) { return a.total() > b.total(); });
  HostNeed need{.largest = plans.front()};
  for (int i = 0; i < local_ranks; ++i) need.bytes += plans[static_cast<size_t>(i)].total();
  return need;
}

int64_t message_bytes(const Network& network, const TrainConfig& config, int rank, int ranks) {
  const auto plan = make_grad_plan(rank, ranks, static_cast<int>(config.grad_slices), network.params().buffer_size(),
                                   make_grad_buckets(network.params(), network.layer_count()).buckets);
  // More ranks than slices are refused with a message of their own.
  return plan.ok() ? plan->foreign_floats() * static_cast<int64_t>(sizeof(float)) : 0;
}

// All layers' updates use the same memory, one after the other.
int64_t update_bytes(const Network& network, const TrainConfig& config, int ranks, bool by_messages) {
  const std::vector<bool> give = layers_to_give_operands(network, config, ranks, by_messages);
  int64_t most = 0;
  for (size_t i = 0; i < give.size(); ++i)
    if (give[i]) most = std::max(most, network.layers()[i]->update_scratch_bytes(config.train_batch_size));
  return most;
}

}  // namespace

std::string mib_text(int64_t bytes) { return fmt::format("{:.0f} MiB", static_cast<double>(bytes) / (1 << 20)); }

int64_t largest_batch_that_fits(int64_t too_large, int64_t available_bytes, absl::FunctionRef<int64_t(int64_t)> need) {
  int64_t fits = 0;
  while (too_large - fits > 1) {
    const int64_t middle = fits + (too_large - fits) / 2;
    (need(middle) <= available_bytes ? fits : too_large) = middle;
  }
  return fits;
}

std::string batch_advice(int64_t largest) {
  return largest > 0 ? fmt::format("the largest --train_batch_size that fits is {}", largest)
                     : std::string("not even --train_batch_size=1 fits; the model is too large");
}

int64_t resident_data_limit(const TrainConfig& config, int local_ranks, int64_t available_bytes) {
  return std::min(config.dataset_memory_limit, available_bytes / local_ranks / 2);
}

int64_t model_capacity(const TrainConfig& config, int rank, int ranks) {
  constexpr int64_t kMaxEvalPass = 100;
  return std::max(
      {TrainStep::local_examples(config, rank, ranks), std::min(config.eval_batch_size, kMaxEvalPass), int64_t{1}});
}

MemoryPlan plan_memory(const Network& network, const TrainConfig& config, int rank, int ranks, bool by_messages) {
  constexpr int64_t kReadAhead = 6;  // the stream's queue, the batch being made and the one in use
  const int64_t flat = network.params().buffer_size() * static_cast<int64_t>(sizeof(float));
  const auto subtrees =
      static_cast<int64_t>(aligned_subtrees(slices_of_rank(rank, ranks, static_cast<int>(config.grad_slices))).size());
  MemoryPlan plan;
  plan.weights = flat;
  if (config.device != "cuda") plan.gradients = flat * subtrees;
  plan.moments = 2 * flat;
  plan.checkpoint = rank == 0 ? 5 * flat : 0;
  if (config.device != "cuda") {
    plan.activations = Model::memory_bytes(network, model_capacity(config, rank, ranks), ModelUse::kTraining);
    plan.update = update_bytes(network, config, ranks, by_messages);
  }
  plan.batches = kReadAhead * TrainStep::local_examples(config, rank, ranks) *
                 (network.input().size() + static_cast<int64_t>(sizeof(int32_t)));
  if (by_messages) plan.messages = message_bytes(network, config, rank, ranks);
  return plan;
}

absl::Status check_memory(const Network& network, const TrainConfig& config, int ranks, int local_ranks,
                          int64_t available_bytes) {
  const HostNeed need = host_need(network, config, ranks, local_ranks);
  const MemoryPlan& plan = need.largest;
  if (need.bytes <= available_bytes) return absl::OkStatus();
  const int64_t batch = largest_batch_that_fits(config.train_batch_size, available_bytes, [&](int64_t smaller) {
    TrainConfig changed = config;
    changed.train_batch_size = smaller;
    return host_need(network, changed, ranks, local_ranks).bytes;
  });
  return absl::ResourceExhaustedError(fmt::format(
      "training with --train_batch_size={} needs {} on this host, {} are available: {} rank{} of up to {} (weights {}, "
      "gradients {}, moments {}, checkpoint {}, activations {}, update {}, batches {}, messages {}); {}",
      config.train_batch_size, mib_text(need.bytes), mib_text(available_bytes), local_ranks,
      local_ranks == 1 ? "" : "s", mib_text(plan.total()), mib_text(plan.weights), mib_text(plan.gradients),
      mib_text(plan.moments), mib_text(plan.checkpoint), mib_text(plan.activations), mib_text(plan.update),
      mib_text(plan.batches), mib_text(plan.messages), batch_advice(batch)));
}

}  // namespace lockstep
