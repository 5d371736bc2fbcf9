// SPDX-License-Identifier: Apache-2.0
#include "tests/mpi/reducer_scenario.h"

#include <fmt/format.h>
#include <sched.h>

#include <cstring>
#include <map>
#include <mutex>
#include <tuple>

#include "core/base/rng.h"
#include "core/base/slice_tree.h"

namespace lockstep {
namespace {

constexpr float kRate = 0.0625f;

float initial_weight(int64_t i) { return 0.001f * static_cast<float>(i % 97) - 0.04f; }

uint32_t random_bits(uint64_t step, int who, int64_t i) {
  return RngStream(7, RngPurpose{}, step, static_cast<uint32_t>(who)).bits(static_cast<uint32_t>(i));
}

// Depends on the weight of the same step: a stale weight shows in every later step.
float slice_gradient(uint64_t step, int slice, int64_t i, float weight) {
  return RngStream::to_uniform(random_bits(step, slice, i)) - 0.5f + 0.3f * weight;
}

// Sum over the slices [first, first + count), an aligned subtree.
float subtree_gradient(uint64_t step, int first, int count, int64_t i, float weight) {
  if (count == 1) return slice_gradient(step, first, i, weight);
  return subtree_gradient(step, first, count / 2, i, weight) +
         subtree_gradient(step, first + count / 2, count / 2, i, weight);
}

float add_terms(const Shard& shard, size_t at) {
  std::vector<int> sizes;
  for (const ShardTerm& term : shard.terms) sizes.push_back(term.slices);
  std::vector<float> stack;
  walk_slice_tree(
      0, sizes.data(), static_cast<int>(sizes.size()),
      [&](int i) { stack.push_back(shard.terms[static_cast<size_t>(i)].data[at]); },
      [&] {
        const float upper = stack.back();
        stack.pop_back();
        stack.back() += upper;
      });
  return stack.at(0);
}

class ScenarioRun {
 public:
  ScenarioRun(Communicator& communicator, const Scenario& scenario, GradReducer& reducer)
      : communicator_(communicator), scenario_(scenario), reducer_(reducer) {}

  absl::Status run() {
    for (int64_t i = 0; i < scenario_.parameters; ++i) reducer_.weights()[i] = initial_weight(i);
    LOCKSTEP_RETURN_IF_ERROR(communicator_.barrier("initial weights"));
    for (step_ = 0; step_ < static_cast<uint64_t>(scenario_.steps); ++step_) LOCKSTEP_RETURN_IF_ERROR(one_step());
    for (int b = buckets() - 1; b >= 0; --b) LOCKSTEP_RETURN_IF_ERROR(reducer_.wait_all_gather(b));
    return check_weights();
  }

  absl::Status check_gather_shards() {
    const auto value = [](int64_t i) { return static_cast<float>(i) + 0.5f; };
    std::vector<float> mine(static_cast<size_t>(scenario_.parameters)), full(mine.size());
    for (int b = 0; b < buckets(); ++b) {
      const Bucket own = reducer_.shard_of(b, communicator_.rank());
      for (int64_t i = own.offset; i < own.offset + own.size; ++i) mine[static_cast<size_t>(i)] = value(i);
    }
    LOCKSTEP_RETURN_IF_ERROR(reducer_.gather_shards(mine.data(), full.data()));
    for (size_t i = 0; communicator_.rank() == 0 && i < full.size(); ++i)
      if (full[i] != value(static_cast<int64_t>(i)))
        return absl::InternalError(fmt::format("gathered state at {} is {}", i, full[i]));
    return absl::OkStatus();
  }

 private:
  int buckets() const { return static_cast<int>(scenario_.buckets.size()); }
  const Bucket& bucket(int b) const { return scenario_.buckets[static_cast<size_t>(b)]; }

  // Up to a few hundred yields, another number on each rank, step and call.
  void dawdle() {
    const uint32_t bits = random_bits(step_, 1000 + communicator_.rank(), ++dawdles_);
    if (bits % 4 != 0) return;
    for (uint32_t i = 0; i < bits / 4 % 300; ++i) sched_yield();
  }

  absl::Status one_step() {
    communicator_.note_progress();
    reducer_.begin_step(vote_of(communicator_.rank()));
    weights_used_.assign(static_cast<size_t>(scenario_.parameters), 0.0f);
    for (int b = buckets() - 1; b >= 0; --b) LOCKSTEP_RETURN_IF_ERROR(forward(b));
    int updated = 0;
    for (int b = 0; b < buckets(); ++b) {
      dawdle();
      backward(b);
      LOCKSTEP_RETURN_IF_ERROR(reducer_.start_reduce_scatter(b));
      while (updated <= b && reducer_.reduce_scatter_ready(updated)) LOCKSTEP_RETURN_IF_ERROR(update(updated++));
    }
    while (updated < buckets()) LOCKSTEP_RETURN_IF_ERROR(update(updated++));
    return absl::OkStatus();
  }

  absl::Status forward(int b) {
    dawdle();
    LOCKSTEP_RETURN_IF_ERROR(reducer_.wait_all_gather(b));
    const Bucket& range = bucket(b);
    std::memcpy(weights_used_.data() + range.offset, reducer_.weights() + range.offset,
                static_cast<size_t>(range.size) * sizeof(float));
    return absl::OkStatus();
  }

  void backward(int b) {
    const SliceRange slices = slices_of_rank(communicator_.rank(), communicator_.size(), scenario_.slices);
    float* partial = reducer_.gradients();
    int first = slices.first;
    for (const int count : aligned_subtrees(slices)) {
      for (int64_t i = bucket(b).offset; i < bucket(b).offset + bucket(b).size; ++i)
        partial[i] = subtree_gradient(step_, first, count, i, weights_used_[static_cast<size_t>(i)]);
      first += count;
      partial += reducer_.gradient_stride();
    }
  }

  absl::Status update(int b) {
    LOCKSTEP_ASSIGN_OR_RETURN(const Shard shard, reducer_.wait_reduce_scatter(b));
    const Bucket own = reducer_.shard_of(b, communicator_.rank());
    if (shard.begin != own.offset || shard.end != own.offset + own.size) return absl::InternalError("not my shard");
    LOCKSTEP_RETURN_IF_ERROR(check_control());
    dawdle();
    LOCKSTEP_RETURN_IF_ERROR(check_gradients_of_all(b));
    for (int64_t i = shard.begin; i < shard.end; ++i)
      reducer_.weights()[i] -= kRate * add_terms(shard, static_cast<size_t>(i - shard.begin));
    dawdle();
    return reducer_.start_all_gather(b);
  }

  // Also what lies outside of the own shard may be read; it is there or not for all ranks alike.
  absl::Status check_gradients_of_all(int b) const {
    const bool visible = reducer_.transport() != "mpi";
    for (int rank = 0; rank < communicator_.size(); ++rank) {
      const float* const gradients = reducer_.gradients_of(rank);
      if ((gradients != nullptr) != visible)
        return absl::InternalError(fmt::format("gradients of rank {} are {}visible", rank, visible ? "not " : ""));
      if (!visible) continue;
      const SliceRange slices = slices_of_rank(rank, communicator_.size(), scenario_.slices);
      const int count = aligned_subtrees(slices).front();
      for (const int64_t i : {bucket(b).offset, bucket(b).offset + bucket(b).size - 1}) {
        const float expected = subtree_gradient(step_, slices.first, count, i, weights_used_[static_cast<size_t>(i)]);
        if (gradients[i] != expected)
          return absl::InternalError(fmt::format("step {}: gradient {} of rank {}: expected {}, found {}", step_, i,
                                                 rank, expected, gradients[i]));
      }
    }
    return absl::OkStatus();
  }

  // Bit r of the vote tells whether rank r voted; every third step a different set of ranks does.
  uint32_t vote_of(int rank) const { return (step_ + static_cast<uint64_t>(rank)) % 3 == 0 ? uint32_t{1} << rank : 0; }
  absl::Status check_control() const {
    uint32_t expected = 0;
    for (int rank = 0; rank < communicator_.size(); ++rank) expected |= vote_of(rank);
    if (reducer_.control() == expected) return absl::OkStatus();
    return absl::InternalError(
        fmt::format("control in step {}: expected {:#x}, found {:#x}", step_, expected, reducer_.control()));
  }

  absl::Status check_weights() {
    const std::vector<float>& expected = expected_weights(scenario_);
    for (size_t i = 0; i < expected.size(); ++i)
      if (std::memcmp(&expected[i], &reducer_.weights()[i], sizeof(float)) != 0)
        return absl::InternalError(fmt::format("weight {} after {} steps: expected {}, found {}", i, scenario_.steps,
                                               expected[i], reducer_.weights()[i]));
    return absl::OkStatus();
  }

  Communicator& communicator_;
  const Scenario& scenario_;
  GradReducer& reducer_;
  std::vector<float> weights_used_;
  uint64_t step_ = 0;
  int64_t dawdles_ = 0;
};

std::vector<float> compute_expected_weights(const Scenario& scenario) {
  std::vector<float> weights;
  for (int64_t i = 0; i < scenario.parameters; ++i) {
    float weight = initial_weight(i);
    for (uint64_t step = 0; step < static_cast<uint64_t>(scenario.steps); ++step)
      weight -= kRate * subtree_gradient(step, 0, scenario.slices, i, weight);
    weights.push_back(weight);
  }
  return weights;
}

}  // namespace

const std::vector<float>& expected_weights(const Scenario& scenario) {
  static std::mutex mutex;
  static auto& known = *new std::map<std::tuple<int, int, int64_t>, std::vector<float>>;
  const std::lock_guard lock(mutex);
  std::vector<float>& weights = known[{scenario.slices, scenario.steps, scenario.parameters}];
  if (weights.empty()) weights = compute_expected_weights(scenario);
  return weights;
}

absl::Status run_scenario(Communicator& communicator, const Scenario& scenario) {
  LOCKSTEP_ASSIGN_OR_RETURN(
      const auto reducer,
      GradReducer::create(communicator, {.grad_slices = scenario.slices, .transport = scenario.transport},
                          scenario.parameters, scenario.buckets));
  if (scenario.transport != "auto" && communicator.size() > 1 && reducer->transport() != scenario.transport)
    return absl::InternalError("not the transport asked for");
  ScenarioRun run(communicator, scenario, *reducer);
  LOCKSTEP_RETURN_IF_ERROR(run.run());
  return run.check_gather_shards();
}

}  // namespace lockstep
