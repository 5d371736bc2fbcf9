// SPDX-License-Identifier: Apache-2.0
// From a variable of a TensorFlow graph to its values in the checkpoint.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/base/status.h"
#include "core/nn/import/graph_view.h"
#include "core/nn/import/param_tensor.h"
#include "io/tensor_bundle.h"

namespace lockstep {

namespace proto {
class SaverDef;
}  // namespace proto

class GraphVariables {
 public:
  // What the graph itself would restore: follows its restore operation from the assignments to the names in the
  // checkpoint, through functions, which is how TensorFlow 1 and 2 say which variable is which tensor. `bundle` is null
  // when the file has no variables; borrowed, like the graph.
  static absl::StatusOr<GraphVariables> open(GraphView& graph, const proto::SaverDef& saver,
                                             const TensorBundleReader* bundle);

  // True for the operators that hold a variable: VarHandleOp, VariableV2 and Variable.
  static bool is_variable(const proto::NodeDef& node);

  // The values of the variable. A variable that the graph does not restore is looked for by its own name: among the
  // tensors, then among the objects of TensorFlow 2.
  absl::StatusOr<ParamTensor> read(const GraphView& graph, const TensorRef& variable) const;

 private:
  const TensorBundleReader* bundle_ = nullptr;
  std::map<const proto::NodeDef*, std::string> keys_;
  std::map<std::string, std::string> object_keys_;  // object_names()
};

}  // namespace lockstep
