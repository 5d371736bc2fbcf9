// SPDX-License-Identifier: Apache-2.0
// Benchmark rows as the tables of the README.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "bench/bench_row.h"
#include "core/base/status.h"

namespace lockstep {

inline constexpr std::string_view kReportBegin = "<!-- bench:begin -->";
inline constexpr std::string_view kReportEnd = "<!-- bench:end -->";

// Markdown: one table per kind of row, in order of appearance, each under the machine and commit it was measured on;
// columns that no row of a table fills are left out.
std::string to_markdown(std::span<const BenchRow> rows);

// `document` with everything between the two markers replaced. InvalidArgument when there are not exactly one of each,
// in order.
absl::StatusOr<std::string> replace_report(std::string_view document, std::string_view report);

}  // namespace lockstep
