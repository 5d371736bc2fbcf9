// SPDX-License-Identifier: Apache-2.0
// ONNX graphs from the side of whoever walks them backwards: who makes a tensor, the weights, the shapes that are
// computed. A file may hold any graph; every step counts against one budget, so each walk ends with an answer or an
// error that names the node.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/nn/import/param_tensor.h"
#include "core/nn/import/shape_list.h"

namespace lockstep {

namespace onnx {
class AttributeProto;
class ModelProto;
class NodeProto;
class TensorProto;
class ValueInfoProto;
}  // namespace onnx

class OnnxGraph {
 public:
  // Borrows the model, of which check() must have approved. `path` is for messages.
  OnnxGraph(const onnx::ModelProto& model, std::string path);

  // Errors: no graph, no opset that is known, two makers of one tensor.
  static absl::Status check(const onnx::ModelProto& model, const std::string& path);

  const std::string& path() const { return path_; }
  // The inputs that are fed, and the outputs.
  std::vector<const onnx::ValueInfoProto*> inputs() const;
  std::vector<std::string> outputs() const;

  // The node whose output 0 is `tensor`; null for an input or initializer. An error for a tensor that nobody makes.
  absl::StatusOr<const onnx::NodeProto*> producer(const std::string& tensor);
  // The tensor that `tensor` is a plain copy of, or itself.
  absl::StatusOr<std::string> skip_copies(std::string tensor);

  // "node `conv1` (Conv)"; a node without a name goes by its output.
  static std::string describe(const onnx::NodeProto& node);
  absl::Status error(const onnx::NodeProto& node, std::string_view problem) const;        // InvalidArgument
  absl::Status unsupported(const onnx::NodeProto& node, std::string_view problem) const;  // Unimplemented

  // Input `index` of the node by name; an error when it is left out.
  absl::StatusOr<std::string> input(const onnx::NodeProto& node, int index) const;

  // Whether `tensor` is a weight: an initializer or constant, perhaps reshaped. Its values are float32.
  absl::StatusOr<bool> is_param(std::string tensor);
  absl::StatusOr<ParamTensor> param(const std::string& tensor);
  // The one number in a constant; nothing for anything else.
  std::optional<double> scalar(const std::string& tensor);
  std::optional<bool> flag(const std::string& tensor);

  // The sizes of a tensor of the walk, batch first, where they are known by now.
  using SizesOf = std::function<std::optional<std::vector<int64_t>>(const std::string&)>;
  // A small vector or scalar of integers: a constant, or computed from sizes.
  absl::StatusOr<std::vector<int64_t>> integers(const std::string& tensor, const SizesOf& sizes_of);

 private:
  absl::Status step(const std::string& tensor);
  const onnx::TensorProto* constant(const std::string& tensor, const onnx::NodeProto* node) const;
  // nullptr unless copies of a constant within the file lead to `tensor`.
  const onnx::TensorProto* constant_behind(const std::string& tensor);
  absl::StatusOr<ParamTensor> param_at(const std::string& tensor, int depth);
  absl::StatusOr<std::vector<int64_t>> axes(const onnx::NodeProto& node, const SizesOf& sizes_of);
  absl::StatusOr<std::vector<int64_t>> integers_at(const std::string& tensor, const SizesOf& sizes_of, int depth);
  absl::StatusOr<std::vector<int64_t>> compute(const onnx::NodeProto& node, const SizesOf& sizes_of, int depth);
  absl::StatusOr<std::vector<int64_t>> shape(const onnx::NodeProto& node, const SizesOf& sizes_of);
  absl::StatusOr<std::vector<int64_t>> slice(const onnx::NodeProto& node, const SizesOf& sizes_of, int depth);

  const onnx::ModelProto& model_;
  const std::string path_;
  std::map<std::string_view, const onnx::NodeProto*> producers_;
  std::map<std::string_view, const onnx::TensorProto*> initializers_;
  std::map<std::string_view, const onnx::ValueInfoProto*> inputs_;
  int64_t steps_ = 0;
};

const onnx::AttributeProto* find_attr(const onnx::NodeProto& node, std::string_view name);
int64_t int_attr(const onnx::NodeProto& node, std::string_view name, int64_t otherwise);
float float_attr(const onnx::NodeProto& node, std::string_view name, float otherwise);
std::string string_attr(const onnx::NodeProto& node, std::string_view name, std::string_view otherwise);
std::vector<int64_t> ints_attr(const onnx::NodeProto& node, std::string_view name);

}  // namespace lockstep
