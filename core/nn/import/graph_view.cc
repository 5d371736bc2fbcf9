// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/graph_view.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "core/nn/import/limits.h"
#include "io/proto/graph.pb.h"

namespace lockstep {
namespace {

constexpr int kMaxCallDepth = 64;
constexpr size_t kMaxFrames = 4096;

template <typename Items>
absl::Status check_names(const Items& items, const std::string& path, std::string_view what) {
  std::set<std::string_view> names;
  for (const auto& item : items) {
    if (item.name().empty() || !names.insert(item.name()).second) {
      return absl::DataLossError(
          fmt::format("{}: a {} without a name, or two of the name `{}`", path, what, item.name()));
    }
  }
  return absl::OkStatus();
}

std::optional<int> parse_port(std::string_view text) {
  int port = -1;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (failed != std::errc() || end != text.data() + text.size() || port < 0) return std::nullopt;
  return port;
}

// A function names an output by its argument: "switch:output_true:0". Operators whose outputs are single tensors of
// different names need a table; the others are lists, where the number says which.
int port_of(const proto::NodeDef& node, std::string_view output, int index) {
  const bool second =
      (node.op() == "Switch" && output == "output_true") || (node.op() == "Merge" && output == "value_index");
  return second ? 1 : index;
}

bool is_call(const std::string& op) {
  return op == "PartitionedCall" || op == "StatefulPartitionedCall" || op == "StatelessPartitionedCall";
}

}  // namespace

int data_input_count(const proto::NodeDef& node) {
  int count = 0;
  for (const std::string& input : node.input()) count += input.starts_with('^') ? 0 : 1;
  return count;
}

const proto::AttrValue* find_attr(const proto::NodeDef& node, const std::string& name) {
  const auto it = node.attr().find(name);
  return it == node.attr().end() ? nullptr : &it->second;
}

std::string string_attr(const proto::NodeDef& node, const std::string& name, const std::string& otherwise) {
  const proto::AttrValue* attr = find_attr(node, name);
  return attr == nullptr ? otherwise : attr->s();
}

std::vector<int64_t> ints_attr(const proto::NodeDef& node, const std::string& name) {
  const proto::AttrValue* attr = find_attr(node, name);
  if (attr == nullptr) return {};
  return {attr->list().i().begin(), attr->list().i().end()};
}

int64_t int_attr(const proto::NodeDef& node, const std::string& name, int64_t otherwise) {
  const proto::AttrValue* attr = find_attr(node, name);
  return attr == nullptr ? otherwise : attr->i();
}

bool bool_attr(const proto::NodeDef& node, const std::string& name, bool otherwise) {
  const proto::AttrValue* attr = find_attr(node, name);
  return attr == nullptr ? otherwise : attr->b();
}

absl::Status GraphView::check(const proto::GraphDef& graph, const std::string& path) {
  LOCKSTEP_RETURN_IF_ERROR(check_names(graph.node(), path, "node"));
  std::set<std::string_view> names;
  for (const proto::FunctionDef& function : graph.library().function()) {
    const std::string& name = function.signature().name();
    if (name.empty() || !names.insert(name).second) {
      return absl::DataLossError(fmt::format("{}: a function without a name, or two of the name `{}`", path, name));
    }
    LOCKSTEP_RETURN_IF_ERROR(check_names(function.node_def(), path, fmt::format("node of function `{}`", name)));
    LOCKSTEP_RETURN_IF_ERROR(
        check_names(function.signature().input_arg(), path, fmt::format("argument of function `{}`", name)));
  }
  return absl::OkStatus();
}

GraphView::GraphView(const proto::GraphDef& graph, std::string path) : graph_(graph), path_(std::move(path)) {
  for (const proto::FunctionDef& function : graph_.library().function()) {
    functions_.emplace(function.signature().name(), &function);
  }
  GraphNames& names = names_[nullptr];
  for (const proto::NodeDef& node : graph_.node()) names.nodes.emplace(node.name(), &node);
  frames_.push_back({.names = &names});
  top_ = &frames_.back();
}

std::string GraphView::describe(const TensorRef& tensor) const {
  std::string text = fmt::format("node `{}` ({})", tensor.node->name(), tensor.node->op());
  if (tensor.frame->function != nullptr) {
    text += fmt::format(" of function `{}`", tensor.frame->function->signature().name());
  }
  return text;
}

absl::Status GraphView::error(const TensorRef& tensor, std::string_view problem) const {
  return absl::InvalidArgumentError(fmt::format("{}: {}: {}", path_, describe(tensor), problem));
}

absl::Status GraphView::unsupported(const TensorRef& tensor, std::string_view problem) const {
  return absl::UnimplementedError(fmt::format("{}: {}: {}", path_, describe(tensor), problem));
}

absl::Status GraphView::step(const TensorRef& tensor) {
  if (++steps_ <= kMaxImportSteps) return absl::OkStatus();
  return error(tensor,
               fmt::format("the graph goes round in circles, or needs more than {} steps to read", kMaxImportSteps));
}

absl::StatusOr<const GraphFrame*> GraphView::enter(const GraphFrame* frame, const proto::NodeDef* call,
                                                   const std::string& name, int first_argument) {
  const auto key = std::make_tuple(frame, call, name);
  if (const auto it = entered_.find(key); it != entered_.end()) return it->second;
  const TensorRef at{frame, call, 0};
  const auto function = functions_.find(name);
  if (function == functions_.end()) return error(at, fmt::format("calls `{}`, which is not in the file", name));
  if (frame->depth >= kMaxCallDepth || frames_.size() >= kMaxFrames) {
    return error(at, fmt::format("calls nest deeper than {}, or there are more than {}", kMaxCallDepth, kMaxFrames));
  }
  GraphNames& names = names_[function->second];
  if (names.nodes.empty() && names.arguments.empty()) {
    for (const proto::NodeDef& node : function->second->node_def()) names.nodes.emplace(node.name(), &node);
    int position = 0;
    for (const auto& arg : function->second->signature().input_arg()) names.arguments.emplace(arg.name(), position++);
  }
  frames_.push_back({.names = &names,
                     .function = function->second,
                     .call = call,
                     .caller = frame,
                     .first_argument = first_argument,
                     .depth = frame->depth + 1});
  entered_.emplace(key, &frames_.back());
  return &frames_.back();
}

absl::StatusOr<const GraphFrame*> GraphView::called(const GraphFrame* frame, const proto::NodeDef* node) {
  if (is_call(node->op())) {
    const proto::AttrValue* f = find_attr(*node, "f");
    return enter(frame, node, f == nullptr ? "" : f->func().name(), 0);
  }
  // Before TensorFlow 2 a function was called by its own name.
  if (functions_.contains(node->op())) return enter(frame, node, node->op(), 0);
  return nullptr;
}

absl::StatusOr<TensorRef> GraphView::branch(const TensorRef& tensor, bool condition) {
  const proto::AttrValue* f = find_attr(*tensor.node, condition ? "then_branch" : "else_branch");
  LOCKSTEP_ASSIGN_OR_RETURN(const GraphFrame* inside,
                            enter(tensor.frame, tensor.node, f == nullptr ? "" : f->func().name(), 1));
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string name, result(*inside, tensor));
  return find(inside, name);
}

// What function `inside` names as output `call.port`.
absl::StatusOr<std::string> GraphView::result(const GraphFrame& inside, const TensorRef& call) const {
  const auto& signature = inside.function->signature();
  if (call.port < signature.output_arg_size()) {
    const auto ret = inside.function->ret().find(signature.output_arg(call.port).name());
    if (ret != inside.function->ret().end()) return ret->second;
  }
  return error(call, fmt::format("function `{}` has no output {}", signature.name(), call.port));
}

// One hop: to a node, or (*again) to a tensor of the caller.
absl::StatusOr<TensorRef> GraphView::resolve(const GraphFrame* frame, std::string_view name, bool* again) {
  const auto fail = [&](std::string_view problem) {
    const std::string where =
        frame->function == nullptr ? "" : fmt::format(" of function `{}`", frame->function->signature().name());
    return absl::InvalidArgumentError(fmt::format("{}: tensor `{}`{}: {}", path_, name, where, problem));
  };
  *again = false;
  const size_t colon = name.find(':');
  const std::string_view node_name = name.substr(0, colon);
  const auto argument = frame->names->arguments.find(node_name);
  if (argument != frame->names->arguments.end() && colon == std::string_view::npos) {
    const int input = frame->first_argument + argument->second;
    if (input >= data_input_count(*frame->call)) return fail("the call does not pass this argument");
    *again = true;
    return TensorRef{frame->caller, frame->call, input};  // `port`: which input of the call
  }
  const auto it = frame->names->nodes.find(node_name);
  if (it == frame->names->nodes.end()) return fail("there is no such node");
  int port = 0;
  if (colon != std::string_view::npos) {
    const std::string_view rest = name.substr(colon + 1);
    const size_t second = rest.find(':');
    const auto number = parse_port(second == std::string_view::npos ? rest : rest.substr(second + 1));
    if (!number) return fail("expected the form `node:0`");
    port = second == std::string_view::npos ? *number : port_of(*it->second, rest.substr(0, second), *number);
  }
  return TensorRef{frame, it->second, port};
}

absl::StatusOr<TensorRef> GraphView::find(const GraphFrame* frame, std::string_view name) {
  std::string held(name);
  while (true) {
    bool again = false;
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef tensor, resolve(frame, held, &again));
    LOCKSTEP_RETURN_IF_ERROR(step(tensor));
    if (again) {
      frame = tensor.frame;
      held = tensor.node->input(tensor.port);
      continue;
    }
    LOCKSTEP_ASSIGN_OR_RETURN(const GraphFrame* inside, called(frame, tensor.node));
    if (inside == nullptr) return tensor;
    LOCKSTEP_ASSIGN_OR_RETURN(held, result(*inside, tensor));
    frame = inside;
  }
}

absl::StatusOr<TensorRef> GraphView::input(const TensorRef& tensor, int index) {
  if (index >= data_input_count(*tensor.node)) {
    return error(tensor,
                 fmt::format("expected at least {} inputs, found {}", index + 1, data_input_count(*tensor.node)));
  }
  // Control inputs come last.
  return find(tensor.frame, tensor.node->input(index));
}

}  // namespace lockstep
