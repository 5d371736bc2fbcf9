// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <sstream>

#include "bench/commands.h"
#include "bench/report.h"
#include "core/base/file.h"

namespace lockstep {
namespace {

struct ReportOptions {
  std::string rows, readme = "README.md";
};

absl::StatusOr<std::vector<BenchRow>> read_rows(const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string text, read_file(path));
  std::vector<BenchRow> rows;
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.empty()) continue;
    absl::StatusOr<BenchRow> row = parse_bench_row(line);
    if (!row.ok()) return annotate(row.status(), fmt::format("{}:{}", path, number));
    rows.push_back(std::move(*row));
  }
  return rows;
}

absl::Status run_report(const ReportOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<BenchRow> rows, read_rows(options.rows));
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string old, read_file(options.readme));
  const absl::StatusOr<std::string> updated = replace_report(old, to_markdown(rows));
  if (!updated.ok()) return annotate(updated.status(), options.readme);
  return write_file_atomic(options.readme, *updated);
}

}  // namespace

void add_report_command(CLI::App* app, absl::Status* status) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command = app->add_subcommand("report", "Puts rows into the README, between its two bench markers");
  command->add_option("--rows", options->rows, "File of JSON rows, as --json prints them")->required();
  command->add_option("--readme", options->readme, "Document to change")->capture_default_str();
  command->callback([options, status] { *status = run_report(*options); });
}

}  // namespace lockstep
