// SPDX-License-Identifier: Apache-2.0
// A network as a TensorFlow graph: what a SavedModel holds, and TensorBoard shows. docs/formats/saved_model.md lists
// the nodes. Operators and attributes are those of TensorFlow 1.0, so that every later version reads them.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/status.h"
#include "core/nn/model_config.h"
#include "core/nn/network.h"

namespace lockstep {

namespace proto {
class GraphDef;
}  // namespace proto

// Nodes that others refer to.
namespace graph_names {
inline constexpr char kInput[] = "Placeholder";             // float (N, H * W * C), pixels in NHWC order
inline constexpr char kProbabilities[] = "softmax_tensor";  // float (N, classes)
inline constexpr char kClasses[] = "ArgMax";                // int64 (N)
// Of a graph with variables.
inline constexpr char kSaveFilename[] = "save/Const";
inline constexpr char kSaveTensor[] = "save/control_dependency";
inline constexpr char kRestore[] = "save/restore_all";
std::string initializer(const std::string& variable);    // "conv2d/kernel/Assign"
std::string initial_value(const std::string& variable);  // "conv2d/kernel/Initializer/zeros"
std::string read(const std::string& variable);           // "conv2d/kernel/Read/ReadVariableOp"
}  // namespace graph_names

// The graph with its weights in resource variables, zero until restored, and the nodes that restore and save them.
// `network` was built from `config`.
void build_graph(const ModelConfig& config, const Network& network, proto::GraphDef* graph);

// The same with the weights as constants of the same names; nothing to restore.
void build_frozen_graph(const ModelConfig& config, const Network& network, const float* weights, int64_t global_step,
                        proto::GraphDef* graph);

// build_graph() as bytes, for EventWriter::add_graph.
absl::StatusOr<std::string> graph_bytes(const ModelConfig& config, const Network& network);

}  // namespace lockstep
