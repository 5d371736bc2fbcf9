// SPDX-License-Identifier: Apache-2.0
#include "bench/serve_goals.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace lockstep {
namespace {

constexpr double kLeastSingleRatio = 10, kLeastBatchRatio = 5;
constexpr double kInferenceShare = 1.5, kAboveInference_s = 0.5e-3;
constexpr double kMostParsing_s = 15e-6;
constexpr double kMostStart_s = 0.3;

BenchRow goal(const std::string& name, std::string measured, std::string wanted, bool met) {
  BenchRow row = BenchRow::here("serve goal", name);
  row.ranks = row.threads = 0;
  row.measured = std::move(measured);
  row.goal = std::move(wanted);
  row.met = met;
  return row;
}

void add_ratio(std::span<const BenchRow> shape, double least, std::vector<BenchRow>* goals) {
  std::optional<double> worst;
  for (const BenchRow& row : shape) {
    if (row.ratio) worst = std::min(row.ratio.value(), worst.value_or(*row.ratio));
  }
  if (!worst) return;
  goals->push_back(goal(fmt::format("images/s against the faster peer: {}", shape[0].shape),
                        fmt::format("{:.1f} x", *worst), fmt::format(">= {:.0f} x", least), *worst >= least));
}

std::string in_ms(double seconds) { return fmt::format("{:.2f} ms", seconds * 1e3); }

}  // namespace

std::vector<BenchRow> goal_rows(const ServeFigures& figures) {
  std::vector<BenchRow> goals;
  add_ratio(figures.many_connections, kLeastSingleRatio, &goals);
  if (const auto p99 = figures.one_connection[0].p99_s) {
    const double most = kInferenceShare * figures.inference.median_s + kAboveInference_s;
    goals.push_back(
        goal(fmt::format("p99 of a request: {}", figures.one_connection[0].shape), in_ms(*p99),
             fmt::format("< {} x inference + {} = {}", kInferenceShare, in_ms(kAboveInference_s), in_ms(most)),
             *p99 < most));
  }
  add_ratio(figures.batches, kLeastBatchRatio, &goals);
  goals.push_back(goal(fmt::format("parsing: {}", figures.parsing.shape),
                       fmt::format("{:.1f} us", figures.parsing.median_s * 1e6),
                       fmt::format("< {:.0f} us", kMostParsing_s * 1e6), figures.parsing.median_s < kMostParsing_s));
  goals.push_back(goal("start to ready", fmt::format("{:.0f} ms", figures.start.median_s * 1e3),
                       fmt::format("< {:.0f} ms", kMostStart_s * 1e3), figures.start.median_s < kMostStart_s));
  return goals;
}

}  // namespace lockstep
