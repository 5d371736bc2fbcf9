// SPDX-License-Identifier: Apache-2.0
// TensorFlow's graphs from the side of whoever walks them backwards: which node makes a tensor, seen through function
// calls. TensorFlow 2 keeps networks in functions that call functions; the walk enters them lazily, so that a graph
// that is larger unrolled than written costs nothing.
//
// A file may hold any graph: cycles, names that lead nowhere, functions that call themselves. Every step counts against
// one budget, and calls nest to a limit, so each walk ends, with an error that names the node.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

namespace proto {
class AttrValue;
class FunctionDef;
class GraphDef;
class NodeDef;
}  // namespace proto

// The nodes of the graph or of one function, by name.
struct GraphNames {
  std::map<std::string_view, const proto::NodeDef*> nodes;
  std::map<std::string_view, int> arguments;
};

// One activation of a function body, or the graph itself.
struct GraphFrame {
  const GraphNames* names = nullptr;
  const proto::FunctionDef* function = nullptr;  // null: the graph itself
  const proto::NodeDef* call = nullptr;          // the node that called it, in `caller`
  const GraphFrame* caller = nullptr;
  int first_argument = 0;  // of the call's inputs
  int depth = 0;
};

// Output `port` of a node in a frame. Two are equal when they are the same tensor.
struct TensorRef {
  const GraphFrame* frame = nullptr;
  const proto::NodeDef* node = nullptr;
  int port = 0;
  auto operator<=>(const TensorRef&) const = default;
};

class GraphView {
 public:
  // Borrows the graph. `path` is for messages. The graph must have passed check().
  GraphView(const proto::GraphDef& graph, std::string path);

  // Errors for nodes or functions with the same name.
  static absl::Status check(const proto::GraphDef& graph, const std::string& path);

  const std::string& path() const { return path_; }
  const GraphFrame* top() const { return top_; }

  // The node that makes tensor `name` ("node", "node:1"; in functions also "node:output:0" or an argument), where calls
  // were entered and arguments followed to the caller: never a call of a function of the library, unless it is a
  // conditional (`If`), which the caller enters by a branch().
  absl::StatusOr<TensorRef> find(const GraphFrame* frame, std::string_view name);
  // The producer of the node's data input `index`; an error when it has fewer.
  absl::StatusOr<TensorRef> input(const TensorRef& tensor, int index);
  // Output `tensor.port` of an If-node, in its branch for `condition`.
  absl::StatusOr<TensorRef> branch(const TensorRef& tensor, bool condition);
  // The frame of the function that `node` calls, or null when it calls none.
  absl::StatusOr<const GraphFrame*> called(const GraphFrame* frame, const proto::NodeDef* node);

  // "node `conv2d/Conv2D` (Conv2D)", with the function it is in.
  std::string describe(const TensorRef& tensor) const;
  absl::Status error(const TensorRef& tensor, std::string_view problem) const;        // InvalidArgument
  absl::Status unsupported(const TensorRef& tensor, std::string_view problem) const;  // Unimplemented

  // Counts a step of a walk.
  absl::Status step(const TensorRef& tensor);

 private:
  absl::StatusOr<const GraphFrame*> enter(const GraphFrame* frame, const proto::NodeDef* call, const std::string& name,
                                          int first_argument);
  absl::StatusOr<std::string> result(const GraphFrame& inside, const TensorRef& call) const;
  absl::StatusOr<TensorRef> resolve(const GraphFrame* frame, std::string_view name, bool* again);

  const proto::GraphDef& graph_;
  const std::string path_;
  std::map<std::string_view, const proto::FunctionDef*> functions_;
  std::map<const proto::FunctionDef*, GraphNames> names_;  // null: of the graph itself
  std::deque<GraphFrame> frames_;                          // stable addresses
  std::map<std::tuple<const GraphFrame*, const proto::NodeDef*, std::string>, const GraphFrame*> entered_;
  const GraphFrame* top_ = nullptr;
  int64_t steps_ = 0;
};

// Number of data inputs (those that are not "^control").
int data_input_count(const proto::NodeDef& node);

// Attribute `name` of the node, or null: TensorFlow leaves out those that have their default.
const proto::AttrValue* find_attr(const proto::NodeDef& node, const std::string& name);
std::string string_attr(const proto::NodeDef& node, const std::string& name, const std::string& otherwise);
std::vector<int64_t> ints_attr(const proto::NodeDef& node, const std::string& name);
int64_t int_attr(const proto::NodeDef& node, const std::string& name, int64_t otherwise);
bool bool_attr(const proto::NodeDef& node, const std::string& name, bool otherwise);

}  // namespace lockstep
