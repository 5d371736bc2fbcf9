// SPDX-License-Identifier: Apache-2.0
// `lockstep inspect`: what a file is, what it holds, and whether its checksums hold. Files are told by their content;
// the name decides only where a damaged file has lost what it is told by. Large files are streamed.
#pragma once

#include <string>

#include "core/base/status.h"
#include "serve/inspect/inspect_report.h"

namespace lockstep {

// IDX (gzip or not), TFRecords of tf.train.Example or of anything, TensorBoard events, tensor bundles (any file of the
// set, or its prefix), `checkpoint` files, MetaGraphDefs (`.meta`), SavedModels (directory or saved_model.pb), ONNX,
// PNG, JSON, and directories of these: there each file is inspected, sub-directories too. Damage is told in the report.
// An error: the path does not exist or cannot be read, or a file is none of these.
absl::StatusOr<InspectReport> inspect(const std::string& path);

}  // namespace lockstep
