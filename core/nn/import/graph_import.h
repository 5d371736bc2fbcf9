// SPDX-License-Identifier: Apache-2.0
// Networks out of TensorFlow graphs: the walk from a signature's outputs back to its input, and the layers on the way.
// docs/formats/import.md lists the operators.
#pragma once

#include <string>

#include "core/base/status.h"
#include "core/nn/trained_model.h"
#include "io/tensor_bundle.h"

namespace lockstep {

namespace proto {
class MetaGraphDef;
}  // namespace proto

// The network of a MetaGraphDef: of a SavedModel through its signature `serving_default` (or the only one), of a
// checkpoint's `.meta`, which has none, through the operators that turn logits into classes or a loss. Whatever the
// nodes are called; reference or resource variables, constants, functions. `bundle` holds the variables and may be null
// (a frozen graph); `path` is for messages. Unimplemented names the first operator that no network of ours can have,
// and what is supported; nothing is guessed, and no graph makes it loop or crash.
absl::StatusOr<TrainedModel> import_graph(const proto::MetaGraphDef& meta_graph, const TensorBundleReader* bundle,
                                          const std::string& path);

}  // namespace lockstep
