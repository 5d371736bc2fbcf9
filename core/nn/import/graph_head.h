// SPDX-License-Identifier: Apache-2.0
// Where a TensorFlow graph's network begins and ends.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/nn/import/graph_values.h"
#include "core/nn/import/graph_view.h"

namespace lockstep {

namespace proto {
class MetaGraphDef;
class TensorShapeProto;
}  // namespace proto

struct GraphHead {
  TensorRef logits;
  // Nodes that the signature feeds, with the shapes it states. Empty: the graph has no signature.
  std::set<const proto::NodeDef*> inputs;
  std::map<const proto::NodeDef*, const proto::TensorShapeProto*> input_shapes;
  std::vector<std::string> notes;
};

// Every output of the signature must be the logits, their softmax or log-softmax, or the class (ArgMax), of one and the
// same tensor. Without signatures (a training graph) that is the one tensor of which the graph takes these, or on which
// it computes a loss.
absl::StatusOr<GraphHead> find_head(const proto::MetaGraphDef& meta_graph, GraphView& graph, GraphValues& values);

}  // namespace lockstep
