// SPDX-License-Identifier: Apache-2.0
// The operators between logits and input of a TensorFlow graph, in the order in which the data flows.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/status.h"
#include "core/nn/import/graph_values.h"
#include "core/nn/import/graph_view.h"

namespace lockstep {

// What an operator is to the walk; how it becomes a layer is graph_import.cc's.
enum class GraphOp { kConv, kBias, kRelu, kMaxPool, kReshape, kTranspose, kMatMul, kDropout };

struct GraphStep {
  GraphOp op = GraphOp::kRelu;
  TensorRef tensor;                                   // its output
  int param = -1;                                     // kConv, kBias, kMatMul: which input is the weight
  std::optional<double> dropout_rate = std::nullopt;  // kDropout; nothing when it is fed
  bool is_always_on = false;                          // kDropout: the graph lets nobody switch it off
};

struct GraphWalk {
  TensorRef input;
  std::vector<GraphStep> steps;          // from the input on
  std::vector<TensorRef> idle_dropouts;  // copies where, by their name, the network that was trained had a dropout
};

// Walks from `logits` to the input: a node of `inputs`, else a placeholder or, in a training graph, what a queue or an
// iterator gives.
absl::StatusOr<GraphWalk> walk_graph(GraphView& graph, GraphValues& values, TensorRef logits,
                                     const std::set<const proto::NodeDef*>& inputs);

// The names of the supported operators, for messages.
std::string supported_operators();

}  // namespace lockstep
