// SPDX-License-Identifier: Apache-2.0
// One inspector for each kind of file; inspect.h chooses. Each fills kind, summary, facts, tables, checksums and damage
// of a report whose path is set. Damage ends what can be said of a file, never the program.
#pragma once

#include <string>

#include "serve/inspect/inspect_report.h"

namespace lockstep {

void inspect_idx(InspectReport& report);
// Whether TensorBoard would take it for an events file.
bool has_events_name(const std::string& path);
void inspect_records(InspectReport& report);  // TFRecords: Examples, events or anything
void inspect_bundle(InspectReport& report);   // report.path: the prefix or a file of the set
void inspect_checkpoint_state(InspectReport& report);
// Of saved_model.pb; with `variables` also the bundle beside it.
inline constexpr const char* kFingerprintName = "fingerprint.pb";
void inspect_saved_model(const std::string& pb_path, InspectReport& report);
// fingerprint.pb, and the index of the variables beside it, if there is one, against its hash.
void inspect_fingerprint(InspectReport& report);
void inspect_meta_graph(InspectReport& report);  // `.meta`
void inspect_onnx(InspectReport& report);
void inspect_png(InspectReport& report);
void inspect_json(InspectReport& report);

}  // namespace lockstep
