// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/graph_head.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <utility>

#include "io/proto/saved_model.pb.h"

namespace lockstep {
namespace {

constexpr char kServingDefault[] = "serving_default";

class HeadFinder {
 public:
  HeadFinder(const proto::MetaGraphDef& meta_graph, GraphView& graph, GraphValues& values)
      : meta_graph_(meta_graph), graph_(graph), values_(values) {}

  absl::StatusOr<GraphHead> find() {
    std::vector<std::string> names;
    for (const auto& [name, signature] : meta_graph_.signature_def()) {
      // TensorFlow keeps the operation that initializes a model among the signatures.
      if (!name.starts_with("__saved_model") && !signature.outputs().empty()) names.push_back(name);
    }
    const auto chosen = meta_graph_.signature_def().find(names.size() == 1 ? names[0] : kServingDefault);
    if (chosen != meta_graph_.signature_def().end()) {
      LOCKSTEP_RETURN_IF_ERROR(annotate_signature(from_signature(chosen->second), chosen->first));
    } else if (names.empty()) {
      LOCKSTEP_RETURN_IF_ERROR(from_training_graph());
    } else {
      return absl::InvalidArgumentError(fmt::format("{}: several signatures ({}), but none is `{}`", graph_.path(),
                                                    fmt::join(names, ", "), kServingDefault));
    }
    return std::move(head_);
  }

 private:
  static absl::Status annotate_signature(const absl::Status& status, const std::string& name) {
    if (status.ok()) return status;
    return absl::Status(status.code(), fmt::format("{} (signature `{}`)", std::string(status.message()), name));
  }

  absl::Status from_signature(const proto::SignatureDef& signature) {
    for (const auto& [name, info] : signature.inputs()) {
      LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef input, graph_.find(graph_.top(), info.name()));
      head_.inputs.insert(input.node);
      if (info.has_tensor_shape()) head_.input_shapes[input.node] = &info.tensor_shape();
    }
    if (head_.inputs.empty()) {
      return absl::InvalidArgumentError(fmt::format("{}: a signature without inputs", graph_.path()));
    }
    if (signature.outputs().empty()) {
      return absl::InvalidArgumentError(fmt::format("{}: a signature without outputs", graph_.path()));
    }
    std::optional<TensorRef> logits;
    std::string first;
    // In the order of the names, so that messages are the same every time.
    const std::map<std::string, proto::TensorInfo> outputs(signature.outputs().begin(), signature.outputs().end());
    for (const auto& [name, info] : outputs) {
      LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef output, graph_.find(graph_.top(), info.name()));
      std::string kind;
      LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef tensor, strip(output, &kind));
      if (logits && tensor != *logits) {
        return graph_.unsupported(output, fmt::format("output `{}` is computed from {}, but output `{}` from {}; "
                                                      "supported: logits, softmax and argmax of one tensor",
                                                      name, graph_.describe(tensor), first, graph_.describe(*logits)));
      }
      if (kind == "logits" || kind == "LogSoftmax") {
        head_.notes.push_back(fmt::format("output `{}` of the file gives {}; here it is probabilities", name,
                                          kind == "logits" ? kind : "their logarithms"));
      }
      logits = tensor;
      first = name;
    }
    head_.logits = *logits;
    return absl::OkStatus();
  }

  absl::Status from_training_graph() {
    // Candidates, with the node that told.
    std::map<TensorRef, std::string> found;
    for (const proto::NodeDef& node : meta_graph_.graph_def().node()) {
      const bool loss = node.op() == "SparseSoftmaxCrossEntropyWithLogits";
      const bool end = node.op() == "Softmax" || node.op() == "LogSoftmax" || node.op() == "ArgMax";
      if (!loss && !end) continue;
      TensorRef tensor{graph_.top(), &node, 0};
      std::string kind;
      if (loss) {
        LOCKSTEP_ASSIGN_OR_RETURN(tensor, graph_.input(tensor, 0));
      }
      LOCKSTEP_ASSIGN_OR_RETURN(tensor, strip(tensor, &kind));
      // Others are labels and what is done with the loss.
      const std::string& op = tensor.node->op();
      if (op == "BiasAdd" || op == "Add" || op == "AddV2" || op == "MatMul") found.emplace(tensor, node.name());
    }
    if (found.size() == 1) {
      head_.logits = found.begin()->first;
      return absl::OkStatus();
    }
    std::vector<std::string> tensors;
    for (const auto& [tensor, by] : found) tensors.push_back(fmt::format("`{}` (by `{}`)", tensor.node->name(), by));
    return absl::InvalidArgumentError(fmt::format(
        "{}: no signature, and {} that would tell the network's output: expected one tensor that a Softmax, an ArgMax "
        "or a SparseSoftmaxCrossEntropyWithLogits uses{}{}",
        graph_.path(), found.empty() ? "nothing" : "several tensors", found.empty() ? "" : ", found ",
        fmt::join(tensors, ", ")));
  }

  // What an output is computed from, before ArgMax and Softmax. `kind`: the first of "ArgMax", "Softmax" and
  // "LogSoftmax" met, else "logits".
  absl::StatusOr<TensorRef> strip(TensorRef tensor, std::string* kind) {
    *kind = "logits";
    LOCKSTEP_ASSIGN_OR_RETURN(tensor, values_.skip_copies(tensor));
    if (tensor.node->op() == "Cast") {  // of classes to another type
      LOCKSTEP_ASSIGN_OR_RETURN(TensorRef from, graph_.input(tensor, 0));
      LOCKSTEP_ASSIGN_OR_RETURN(from, values_.skip_copies(from));
      if (from.node->op() == "ArgMax") {
        if (!holds_classes(*tensor.node)) {
          return graph_.unsupported(tensor, "of classes to anything but int32, int64 or float32");
        }
        tensor = from;
      }
    }
    if (tensor.node->op() == "ArgMax") {
      *kind = "ArgMax";
      LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef dimension, graph_.input(tensor, 1));
      LOCKSTEP_ASSIGN_OR_RETURN(const auto axis, values_.constant_integers(dimension));
      if (axis.size() != 1 || (axis[0] != 1 && axis[0] != -1)) {
        return graph_.unsupported(tensor, "the largest along another axis than that of the classes");
      }
      LOCKSTEP_ASSIGN_OR_RETURN(tensor, graph_.input(tensor, 0));
      LOCKSTEP_ASSIGN_OR_RETURN(tensor, values_.skip_copies(tensor));
    }
    if (tensor.node->op() == "Softmax" || tensor.node->op() == "LogSoftmax") {
      if (*kind == "logits") *kind = tensor.node->op();
      LOCKSTEP_ASSIGN_OR_RETURN(tensor, graph_.input(tensor, 0));
      LOCKSTEP_ASSIGN_OR_RETURN(tensor, values_.skip_copies(tensor));
    }
    return tensor;
  }

  // Whether the type that a Cast makes has every class: there are but two booleans.
  static bool holds_classes(const proto::NodeDef& cast) {
    const auto attr = cast.attr().find("DstT");
    const auto type = attr == cast.attr().end() ? proto::DT_INVALID : attr->second.type();
    return type == proto::DT_INT32 || type == proto::DT_INT64 || type == proto::DT_FLOAT;
  }

  const proto::MetaGraphDef& meta_graph_;
  GraphView& graph_;
  GraphValues& values_;
  GraphHead head_;
};

}  // namespace

absl::StatusOr<GraphHead> find_head(const proto::MetaGraphDef& meta_graph, GraphView& graph, GraphValues& values) {
  return HeadFinder(meta_graph, graph, values).find();
}

}  // namespace lockstep
