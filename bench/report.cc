// SPDX-License-Identifier: Apache-2.0
#include "bench/report.h"

#include <fmt/format.h>

#include <functional>
#include <vector>

namespace lockstep {
namespace {

struct Column {
  std::string head;
  std::function<std::string(const BenchRow&)> cell;  // "" for nothing
};

std::string number(const std::optional<double>& value, int digits, const char* unit = "") {
  return value ? fmt::format("{:.{}f}{}", *value, digits, unit) : "";
}

std::string median_of(const BenchRow& row) {
  if (!row.failure.empty()) return "FAILED";
  return row.median_s > 0 ? fmt::format("{:.3f} ms", row.median_s * 1e3) : "";
}

std::vector<Column> columns() {
  return {{"what", [](const BenchRow& r) { return r.name; }},
          {"backend", [](const BenchRow& r) { return r.backend; }},
          {"shape", [](const BenchRow& r) { return r.shape; }},
          {"ranks × threads",
           [](const BenchRow& r) { return r.ranks == 0 ? "" : fmt::format("{} × {}", r.ranks, r.threads); }},
          {"median", median_of},
          {"spread", [](const BenchRow& r) { return r.spread > 0 ? fmt::format("{:.1f} %", r.spread * 100) : ""; }},
          {"p99", [](const BenchRow& r) { return r.p99_s ? fmt::format("{:.3f} ms", *r.p99_s * 1e3) : ""; }},
          {"images/s", [](const BenchRow& r) { return number(r.images_per_s, 0); }},
          {"GFLOP/s", [](const BenchRow& r) { return number(r.gflops, 1); }},
          {"GB/s", [](const BenchRow& r) { return number(r.gbytes_per_s, 2); }},
          {"of peak", [](const BenchRow& r) { return number(r.percent_of_peak, 1, " %"); }},
          {"Lockstep is", [](const BenchRow& r) { return number(r.ratio, 2, " × as fast"); }},
          {"measured", [](const BenchRow& r) { return r.measured; }},
          {"goal", [](const BenchRow& r) { return r.goal; }},
          {"met", [](const BenchRow& r) { return !r.met   ? ""
                                                 : *r.met ? "yes"
                                                          : "**no**"; }}};
}

std::string title(const std::string& bench) {
  if (bench == "peak") return "What the multipliers can do";
  if (bench == "train") return "Training step (forward, backward, Adam; dropout on)";
  if (bench == "train phase") return "Where the step's time goes";
  if (bench == "kernel") return "Operators";
  if (bench == "gpu peak") return "What the GPU can do";
  if (bench == "gpu kernel") return "Operators on the GPU, ours and cuDNN's";
  if (bench == "gpu all-reduce") return "Reduction of gradients between GPUs (GB/s: bus bandwidth)";
  if (bench == "io") return "Reading and writing (one thread)";
  if (bench == "all-reduce") return "Exchange of gradients and weights between ranks (GB/s of gradient)";
  if (bench == "serve") return "Prediction over HTTP, clients on the same cores (median and p99: of a request)";
  if (bench == "serve goal") return "Goals of serving";
  return bench;
}

std::string table(const std::vector<const BenchRow*>& rows) {
  std::string head = "|", rule = "|";
  std::vector<std::string> lines(rows.size(), "|");
  for (const Column& column : columns()) {
    std::vector<std::string> cells;
    bool used = false;
    for (const BenchRow* row : rows) {
      cells.push_back(column.cell(*row));
      used |= !cells.back().empty();
    }
    if (!used) continue;
    head += fmt::format(" {} |", column.head);
    rule += "---|";
    for (size_t i = 0; i < rows.size(); ++i) lines[i] += fmt::format(" {} |", cells[i]);
  }
  std::string text = head + "\n" + rule + "\n";
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

}  // namespace

std::string to_markdown(std::span<const BenchRow> rows) {
  std::vector<std::string> kinds;
  for (const BenchRow& row : rows) {
    if (std::find(kinds.begin(), kinds.end(), row.bench) == kinds.end()) kinds.push_back(row.bench);
  }
  std::string text;
  for (const std::string& kind : kinds) {
    std::vector<const BenchRow*> group;
    for (const BenchRow& row : rows) {
      if (row.bench == kind) group.push_back(&row);
    }
    text += fmt::format("{}; {}, {} cores, commit {}:\n\n{}\n", title(kind), group[0]->cpu, group[0]->cores,
                        group[0]->commit, table(group));
  }
  return text;
}

absl::StatusOr<std::string> replace_report(std::string_view document, std::string_view report) {
  const size_t begin = document.find(kReportBegin);
  const size_t end = document.find(kReportEnd);
  const bool repeated = document.rfind(kReportBegin) != begin || document.rfind(kReportEnd) != end;
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin || repeated) {
    return absl::InvalidArgumentError(fmt::format("expected one {} and, behind it, one {}", kReportBegin, kReportEnd));
  }
  const size_t keep = begin + kReportBegin.size();
  return fmt::format("{}\n{}{}", document.substr(0, keep), report, document.substr(end));
}

}  // namespace lockstep
