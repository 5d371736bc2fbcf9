// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/graph_variables.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "core/nn/import/import_error.h"
#include "core/nn/import/object_names.h"
#include "io/proto/graph.pb.h"
#include "io/proto/saved_model.pb.h"

namespace lockstep {
namespace {

// Collects the assignments that a restore operation makes.
class RestoreWalk {
 public:
  using Keys = std::map<const proto::NodeDef*, std::string>;

  explicit RestoreWalk(GraphView& graph) : graph_(graph) {}

  absl::StatusOr<Keys> walk(const std::string& restore_op) {
    const auto& nodes = graph_.top()->names->nodes;
    const auto start = nodes.find(restore_op);
    if (start == nodes.end()) {
      return absl::InvalidArgumentError(
          fmt::format("{}: the restore operation `{}` is not in the graph", graph_.path(), restore_op));
    }
    reach({graph_.top(), start->second, 0});
    while (!pending_.empty()) {
      const TensorRef at = pending_.back();
      pending_.pop_back();
      LOCKSTEP_RETURN_IF_ERROR(graph_.step(at));
      LOCKSTEP_RETURN_IF_ERROR(visit(at));
    }
    return std::move(keys_);
  }

 private:
  void reach(const TensorRef& tensor) {
    if (seen_.insert({tensor.frame, tensor.node}).second) pending_.push_back(tensor);
  }

  absl::Status visit(const TensorRef& at) {
    const std::string& op = at.node->op();
    if (op == "AssignVariableOp" || op == "Assign") return assignment(at);
    LOCKSTEP_ASSIGN_OR_RETURN(const GraphFrame* inside, graph_.called(at.frame, at.node));
    if (inside != nullptr) {
      for (const auto& [name, node] : inside->names->nodes) reach({inside, node, 0});
      return absl::OkStatus();
    }
    if (at.frame->function != nullptr) return absl::OkStatus();  // all nodes of a function are visited anyway
    for (const std::string& input : at.node->input()) {
      const std::string name = input.substr(input.starts_with('^') ? 1 : 0);
      const auto node = at.frame->names->nodes.find(std::string_view(name).substr(0, name.find(':')));
      if (node != at.frame->names->nodes.end()) reach({at.frame, node->second, 0});
    }
    return absl::OkStatus();
  }

  absl::Status assignment(const TensorRef& assign) {
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef variable, graph_.input(assign, 0));
    LOCKSTEP_ASSIGN_OR_RETURN(TensorRef value, graph_.input(assign, 1));
    while (value.node->op() == "Identity") {
      LOCKSTEP_ASSIGN_OR_RETURN(value, graph_.input(value, 0));
    }
    if (!GraphVariables::is_variable(*variable.node) || value.node->op() != "RestoreV2") return absl::OkStatus();
    LOCKSTEP_ASSIGN_OR_RETURN(const auto name, string_at(value, 1));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto slice, string_at(value, 2));
    if (!slice.empty()) return graph_.unsupported(value, "restores part of a variable: save it unpartitioned");
    const auto [known, fresh] = keys_.emplace(variable.node, name);
    if (!fresh && known->second != name) {
      return graph_.error(assign, fmt::format("restores `{}` into variable `{}`, which also gets `{}`", name,
                                              variable.node->name(), known->second));
    }
    return absl::OkStatus();
  }

  // The string that the constant at input `index` of a RestoreV2 has for the tensor's port.
  absl::StatusOr<std::string> string_at(const TensorRef& restore, int index) {
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef list, graph_.input(restore, index));
    const proto::AttrValue* value = find_attr(*list.node, "value");
    const int count = value == nullptr ? 0 : value->tensor().string_val_size();
    // A constant of equal strings may be written as one.
    const int64_t sizes = value != nullptr && value->tensor().tensor_shape().dim_size() == 1
                              ? value->tensor().tensor_shape().dim(0).size()
                              : count;
    if (list.node->op() != "Const" || count == 0 || restore.port >= sizes) {
      return graph_.error(
          list, fmt::format("expected a list of strings for output {} of `{}`", restore.port, restore.node->name()));
    }
    return value->tensor().string_val(std::min(restore.port, count - 1));
  }

  GraphView& graph_;
  Keys keys_;
  std::vector<TensorRef> pending_;
  std::set<std::pair<const GraphFrame*, const proto::NodeDef*>> seen_;
};

}  // namespace

bool GraphVariables::is_variable(const proto::NodeDef& node) {
  return node.op() == "VarHandleOp" || node.op() == "VariableV2" || node.op() == "Variable";
}

absl::StatusOr<GraphVariables> GraphVariables::open(GraphView& graph, const proto::SaverDef& saver,
                                                    const TensorBundleReader* bundle) {
  GraphVariables variables;
  variables.bundle_ = bundle;
  if (bundle != nullptr) {
    LOCKSTEP_ASSIGN_OR_RETURN(variables.object_keys_, object_names(*bundle));
  }
  if (bundle == nullptr || saver.restore_op_name().empty()) return variables;
  LOCKSTEP_ASSIGN_OR_RETURN(variables.keys_, RestoreWalk(graph).walk(saver.restore_op_name()));
  return variables;
}

absl::StatusOr<ParamTensor> GraphVariables::read(const GraphView& graph, const TensorRef& variable) const {
  if (bundle_ == nullptr) return graph.error(variable, "a variable, but there is no variables/variables.index");
  const auto key = keys_.find(variable.node);
  const std::string shared = string_attr(*variable.node, "shared_name", "");
  const std::string own = shared.empty() ? variable.node->name() : shared;
  std::string name = key != keys_.end() ? key->second : own;
  if (key == keys_.end() && !bundle_->entries().contains(own)) {
    // What Keras 3 hands to tf.saved_model.save: the restore operation fills copies of the variables.
    if (const auto object = object_keys_.find(own); object != object_keys_.end()) name = object->second;
  }
  const auto found = bundle_->find(name);
  if (!found.ok()) return needed_by(graph.describe(variable), graph.path(), found.status());
  const BundleEntry& entry = **found;
  ParamTensor tensor{.source = name, .shape = entry.shape, .values = {}};
  LOCKSTEP_ASSIGN_OR_RETURN(const int64_t elements, param_elements(entry.shape));
  if (const proto::AttrValue* attr = find_attr(*variable.node, "shape");
      attr != nullptr && !attr->shape().unknown_rank()) {
    bool same = attr->shape().dim_size() == static_cast<int>(entry.shape.size());
    for (int i = 0; same && i < attr->shape().dim_size(); ++i) {
      const int64_t size = attr->shape().dim(i).size();
      same = size == -1 || size == entry.shape[static_cast<size_t>(i)];
    }
    if (!same) {
      return graph.error(variable, fmt::format("`{}` of {} has shape {}, which is not the variable's", name,
                                               bundle_->prefix(), shape_text(entry.shape)));
    }
  }
  if (entry.dtype != TensorDtype::kFloat32) {
    return graph.unsupported(variable, fmt::format("a weight of type {}; supported: float32", dtype_name(entry.dtype)));
  }
  tensor.values.resize(static_cast<size_t>(elements));
  LOCKSTEP_RETURN_IF_ERROR(bundle_->read(name, tensor.values));
  return tensor;
}

}  // namespace lockstep
