// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "core/base/file.h"
#include "io/checkpoint_state.h"
#include "io/tensor_bundle.h"
#include "io/tensor_bundle_names.h"
#include "serve/inspect/inspectors.h"
#include "serve/inspect/value_stats.h"

namespace lockstep {
namespace {

// Reads one tensor whole, verifying its CRC; a row of the table.
absl::StatusOr<std::vector<InspectValue>> tensor_row(const TensorBundleReader& reader, const std::string& name,
                                                     const BundleEntry& entry) {
  std::vector<InspectValue> row{name, dtype_name(entry.dtype), shape_text(entry.shape)};
  ValueStats stats(entry.dtype);
  if (entry.dtype == TensorDtype::kVariant) {
    // Its CRC is made in a way of its own, which is not looked at.
  } else if (entry.dtype == TensorDtype::kString) {
    LOCKSTEP_RETURN_IF_ERROR(reader.read_strings(name).status());
  } else {
    LOCKSTEP_RETURN_IF_ERROR(reader.visit_bytes(name, [&stats](std::string_view piece) { stats.add(piece); }));
  }
  const std::vector<InspectValue> cells = stats.cells();
  row.insert(row.end(), cells.begin(), cells.end());
  return row;
}

void add_step(const TensorBundleReader& reader, InspectReport& report) {
  const auto step = reader.read_int64(kGlobalStepVariable);
  if (!step.ok() || step->size() != 1) return;
  report.add_fact("global step", step->front());
  report.summary += fmt::format(", step {}", step->front());
}

void inspect_tensors(const TensorBundleReader& reader, InspectReport& report) {
  uint64_t bytes = 0, parameters = 0;
  InspectTable table{"tensors", kTensorColumns, {}};
  for (const auto& [name, entry] : reader.entries()) {
    bytes += entry.size_bytes;
    parameters += element_count(entry.shape).value_or(0);
    auto row = tensor_row(reader, name, entry);
    if (row.ok()) {
      report.checksums += entry.dtype == TensorDtype::kVariant ? 0 : 1;
      table.rows.push_back(*std::move(row));
    } else {
      report.damage.emplace_back(row.status().message());
    }
  }
  report.summary = fmt::format("{} tensors", reader.entries().size());
  report.add_fact("tensors", reader.entries().size());
  report.add_fact("elements", parameters);
  report.add_fact("data bytes", bytes);
  if (reader.entries().contains(kGlobalStepVariable)) add_step(reader, report);
  report.tables.push_back(std::move(table));
}

}  // namespace

void inspect_bundle(InspectReport& report) {
  report.kind = "tensor bundle (TensorFlow checkpoint V2)";
  report.checksums_over = "CRC-32C of the index and of every tensor";
  const auto reader = TensorBundleReader::open(report.path);
  if (!reader.ok()) {
    report.summary = "unreadable";
    report.damage.emplace_back(reader.status().message());
    return;
  }
  ++report.checksums;  // the index
  report.add_fact("prefix", (*reader)->prefix());
  inspect_tensors(**reader, report);
}

void inspect_checkpoint_state(InspectReport& report) {
  report.kind = "`checkpoint` file: which checkpoints there are";
  const auto state = read_checkpoint_state(report.path);
  if (!state.ok()) {
    report.summary = "unreadable";
    report.damage.emplace_back(state.status().message());
    return;
  }
  report.summary = fmt::format("newest is {}", state->latest);
  report.add_fact("newest", state->latest);
  InspectTable table{"checkpoints", {"name", "present"}, {}};
  std::vector<std::string> names = state->all;
  if (std::find(names.begin(), names.end(), state->latest) == names.end()) names.push_back(state->latest);
  for (const std::string& name : names) {
    const std::string index = bundle_index_path(resolve_checkpoint(directory_name(report.path), name));
    const bool present = file_exists(index);
    table.rows.push_back({name, present ? "yes" : "no"});
    if (!present) report.damage.push_back(fmt::format("{} names `{}`, but there is no {}", report.path, name, index));
  }
  report.tables.push_back(std::move(table));
}

}  // namespace lockstep
