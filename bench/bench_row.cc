// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_row.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "bench/commit.h"
#include "core/base/check.h"
#include "core/base/host_info.h"

namespace lockstep {
namespace {

using nlohmann::json;

double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

void put(json* object, const char* key, const std::optional<double>& value) {
  if (value) (*object)[key] = *value;
}

std::optional<double> get(const json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number()) return std::nullopt;
  return it->get<double>();
}

std::string get_text(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

std::string format_time(double seconds) {
  if (seconds == 0) return "";
  if (seconds < 1e-3) return fmt::format("{:.1f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.2f} s", seconds);
}

std::string format_optional(const std::optional<double>& value, const char* format) {
  return value ? fmt::format(fmt::runtime(format), *value) : "";
}

using Line = std::vector<std::string>;

Line head() {
  return {"bench",    "name",    "backend", "shape", "ranks", "threads",  "median", "spread", "p99",
          "images/s", "GFLOP/s", "GB/s",    "peak",  "ratio", "measured", "goal",   "met"};
}

Line cells(const BenchRow& row) {
  return {row.bench,
          row.name,
          row.backend,
          row.shape,
          row.ranks == 0 ? "" : fmt::format("{}", row.ranks),
          row.threads == 0 ? "" : fmt::format("{}", row.threads),
          row.failure.empty() ? format_time(row.median_s) : "FAILED",
          row.spread == 0 ? "" : fmt::format("{:.1f} %", row.spread * 100),
          format_time(row.p99_s.value_or(0)),
          format_optional(row.images_per_s, "{:.0f}"),
          format_optional(row.gflops, "{:.1f}"),
          format_optional(row.gbytes_per_s, "{:.2f}"),
          format_optional(row.percent_of_peak, "{:.1f} %"),
          format_optional(row.ratio, "{:.2f} x"),
          row.measured,
          row.goal,
          !row.met   ? ""
          : *row.met ? "yes"
                     : "NO"};
}

}  // namespace

Summary summarize(std::vector<double> values) {
  LOCKSTEP_CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  Summary summary{.median = quantile(values, 0.5), .best = values.front(), .count = static_cast<int>(values.size())};
  if (summary.median != 0) summary.spread = (quantile(values, 0.75) - quantile(values, 0.25)) / summary.median;
  return summary;
}

BenchRow BenchRow::here(std::string bench, std::string name) {
  BenchRow row;
  row.commit = kCommit;
  row.cpu = cpu_model();
  row.cores = available_cores();
  row.bench = std::move(bench);
  row.name = std::move(name);
  return row;
}

void BenchRow::set_time(const Summary& seconds) {
  median_s = seconds.median;
  spread = seconds.spread;
}

void BenchRow::fail(std::string why) {
  median_s = spread = 0;
  p99_s = images_per_s = gflops = gbytes_per_s = percent_of_peak = ratio = std::nullopt;
  measured.clear();
  met.reset();
  failure = std::move(why);
}

std::string to_json(const BenchRow& row) {
  json object = {{"bench", row.bench},   {"name", row.name},     {"backend", row.backend}, {"shape", row.shape},
                 {"dtype", row.dtype},   {"ranks", row.ranks},   {"threads", row.threads}, {"median_s", row.median_s},
                 {"spread", row.spread}, {"commit", row.commit}, {"cpu", row.cpu},         {"cores", row.cores}};
  put(&object, "p99_s", row.p99_s);
  put(&object, "images_per_s", row.images_per_s);
  put(&object, "gflops", row.gflops);
  put(&object, "gbytes_per_s", row.gbytes_per_s);
  put(&object, "percent_of_peak", row.percent_of_peak);
  put(&object, "ratio", row.ratio);
  if (!row.measured.empty()) object["measured"] = row.measured;
  if (!row.goal.empty()) object["goal"] = row.goal;
  if (row.met) object["met"] = *row.met;
  if (!row.failure.empty()) object["failure"] = row.failure;
  return object.dump();
}

absl::StatusOr<BenchRow> parse_bench_row(std::string_view text) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return absl::InvalidArgumentError("expected a JSON object");
  for (const char* key : {"bench", "name", "backend", "shape", "dtype", "commit", "cpu"}) {
    if (!object.contains(key) || !object[key].is_string()) {
      return absl::InvalidArgumentError(fmt::format("expected a string `{}`", key));
    }
  }
  for (const char* key : {"ranks", "threads", "cores", "median_s", "spread"}) {
    if (!object.contains(key) || !object[key].is_number()) {
      return absl::InvalidArgumentError(fmt::format("expected a number `{}`", key));
    }
  }
  BenchRow row;
  row.bench = object["bench"], row.name = object["name"], row.backend = object["backend"];
  row.shape = object["shape"], row.dtype = object["dtype"];
  row.commit = object["commit"], row.cpu = object["cpu"], row.cores = object["cores"];
  row.ranks = object["ranks"], row.threads = object["threads"];
  row.median_s = object["median_s"], row.spread = object["spread"];
  row.p99_s = get(object, "p99_s");
  row.images_per_s = get(object, "images_per_s");
  row.gflops = get(object, "gflops");
  row.gbytes_per_s = get(object, "gbytes_per_s");
  row.percent_of_peak = get(object, "percent_of_peak");
  row.ratio = get(object, "ratio");
  row.measured = get_text(object, "measured");
  row.goal = get_text(object, "goal");
  if (const auto met = object.find("met"); met != object.end() && met->is_boolean()) row.met = met->get<bool>();
  row.failure = get_text(object, "failure");
  return row;
}

std::string to_text(std::span<const BenchRow> rows) {
  std::vector<Line> lines = {head()};
  for (const BenchRow& row : rows) lines.push_back(cells(row));
  std::vector<size_t> width(lines[0].size(), 0);
  for (size_t column = 0; column < width.size(); ++column) {
    size_t widest = 0;
    for (size_t i = 1; i < lines.size(); ++i) widest = std::max(widest, lines[i][column].size());
    if (widest > 0) width[column] = std::max(widest, lines[0][column].size());
  }
  std::string text;
  if (!rows.empty()) text = fmt::format("commit {}, {}, {} cores\n", rows[0].commit, rows[0].cpu, rows[0].cores);
  for (const Line& line : lines) {
    std::string out;
    for (size_t column = 0; column < width.size(); ++column) {
      // Words to the left, numbers (from "ranks" on) to the right.
      if (width[column] > 0)
        out += fmt::format(fmt::runtime(column < 4 ? "{:<{}}  " : "{:>{}}  "), line[column], width[column]);
    }
    text += out.substr(0, out.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

absl::Status failures_of(std::span<const BenchRow> rows) {
  std::string failures;
  for (const BenchRow& row : rows) {
    if (row.failure.empty()) continue;
    failures += fmt::format("\nFAILED {} {} {}: {}", row.name, row.backend, row.shape, row.failure);
  }
  return failures.empty() ? absl::OkStatus() : absl::DataLossError("results are wrong" + failures);
}

void print_rows(std::span<const BenchRow> rows, bool json) {
  std::string text;
  if (json) {
    for (const BenchRow& row : rows) text += to_json(row) + "\n";
  } else {
    text = to_text(rows);
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace lockstep
