// SPDX-License-Identifier: Apache-2.0
#include "serve/inspect/graph_report.h"

#include "io/tensor_bundle.h"
#include "io/tensor_bundle_names.h"
#include "serve/text_table.h"

namespace lockstep {

InspectTable operator_table(const std::map<std::string, int>& counts) {
  InspectTable table{"operators", {"operator", "nodes"}, {}};
  for (const auto& [op, nodes] : counts) table.rows.push_back({op, nodes});
  return table;
}

std::vector<InspectValue> tensor_row(const std::string& name, const std::string& dtype, const std::string& shape,
                                     const ValueStats& stats) {
  std::vector<InspectValue> row{name, dtype, shape};
  const auto cells = stats.cells();
  row.insert(row.end(), cells.begin(), cells.end());
  return row;
}

void check_count(const std::string& name, std::span<const int64_t> shape, int64_t count, InspectReport& report) {
  const auto expected = element_count(shape);
  if (expected == static_cast<uint64_t>(count)) return;
  report.damage.push_back(fmt::format("{}: tensor `{}` of shape {} holds {} numbers", report.path, printable(name),
                                      shape_text(shape), count));
}

}  // namespace lockstep
