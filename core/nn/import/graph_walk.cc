// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/graph_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <map>
#include <string_view>

#include "io/proto/graph.pb.h"

namespace lockstep {
namespace {

constexpr double kRateTolerance = 1e-4;

// A rate as its author wrote it: 0.4, not the double nearest to the float nearest to it.
double shortest(double rate) { return std::strtod(fmt::format("{}", static_cast<float>(rate)).c_str(), nullptr); }

// `dropout/Identity`, say, which Keras, tf.layers and our export leave of a dropout in a graph for prediction. Deeper
// in its scope (`dropout/cond/Identity`) there are copies of a dropout that is still there.
bool is_idle_dropout(const TensorRef& copy) {
  if (copy.node->op() != "Identity") return false;
  const std::string_view name = copy.node->name();
  const size_t slash = name.rfind('/');
  if (name.substr(slash + 1).starts_with("dropout")) return true;  // npos + 1 is 0: all of it
  if (slash == std::string_view::npos) return false;
  const std::string_view scopes = name.substr(0, slash);
  return scopes.substr(scopes.rfind('/') + 1).starts_with("dropout");
}

bool starts_network(const std::string& op) {
  return op == "Placeholder" || op.starts_with("QueueDequeue") || op == "IteratorGetNext";
}

const std::map<std::string_view, GraphOp>& plain_operators() {
  static const std::map<std::string_view, GraphOp> operators{
      {"Conv2D", GraphOp::kConv},        {"BiasAdd", GraphOp::kBias},        {"Relu", GraphOp::kRelu},
      {"MaxPool", GraphOp::kMaxPool},    {"Reshape", GraphOp::kReshape},     {"Squeeze", GraphOp::kReshape},
      {"ExpandDims", GraphOp::kReshape}, {"Transpose", GraphOp::kTranspose}, {"MatMul", GraphOp::kMatMul}};
  return operators;
}

class Walker {
 public:
  Walker(GraphView& graph, GraphValues& values, const std::set<const proto::NodeDef*>& inputs)
      : graph_(graph), values_(values), inputs_(inputs) {}

  absl::StatusOr<GraphWalk> walk(TensorRef at) {
    while (true) {
      std::vector<TensorRef> copies;
      LOCKSTEP_ASSIGN_OR_RETURN(at, values_.skip_copies(at, &copies));
      std::copy_if(copies.begin(), copies.end(), std::back_inserter(walk_.idle_dropouts), is_idle_dropout);
      LOCKSTEP_RETURN_IF_ERROR(graph_.step(at));
      if (!seen_.insert(at).second) return graph_.error(at, "the graph goes round in a circle");
      const std::string& op = at.node->op();
      if (inputs_.contains(at.node) || starts_network(op)) break;
      LOCKSTEP_ASSIGN_OR_RETURN(at, advance(at, op));
    }
    walk_.input = at;
    std::reverse(walk_.steps.begin(), walk_.steps.end());
    std::reverse(walk_.idle_dropouts.begin(), walk_.idle_dropouts.end());
    return std::move(walk_);
  }

 private:
  // Records the operator and returns where its data comes from.
  absl::StatusOr<TensorRef> advance(const TensorRef& at, const std::string& op) {
    if (const auto plain = plain_operators().find(op); plain != plain_operators().end()) {
      const bool weighted =
          plain->second == GraphOp::kConv || plain->second == GraphOp::kBias || plain->second == GraphOp::kMatMul;
      if (at.port != 0) return graph_.error(at, fmt::format("has no output {}", at.port));
      walk_.steps.push_back({plain->second, at, weighted ? 1 : -1});
      return graph_.input(at, 0);
    }
    if (op == "Add" || op == "AddV2") return sum(at);
    if (op == "Mul" || op == "Select" || op == "SelectV2") {
      LOCKSTEP_ASSIGN_OR_RETURN(const auto drop, dropout(at));
      if (drop) return record(at, *drop, true);
    }
    if (op == "Merge") return merge(at);
    if (op == "If" || op == "StatelessIf") return conditional(at);
    if (op == "PlaceholderWithDefault") return graph_.input(at, 0);
    return refuse(at, op);
  }

  absl::Status refuse(const TensorRef& at, const std::string& op) const {
    if (op == "Mul" || op == "RealDiv" || op == "Sub" || op == "Cast") {
      return graph_.unsupported(
          at,
          "calculates with the data itself. A scale of the input is not supported: networks here get pixels from 0 "
          "to 1, so export the model without that step. Supported: " +
              supported_operators());
    }
    return graph_.unsupported(at, "this operator is not supported. Supported: " + supported_operators());
  }

  absl::StatusOr<TensorRef> sum(const TensorRef& at) {
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef a, graph_.input(at, 0));
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef b, graph_.input(at, 1));
    LOCKSTEP_ASSIGN_OR_RETURN(const bool a_is_param, values_.is_param(a));
    LOCKSTEP_ASSIGN_OR_RETURN(const bool b_is_param, values_.is_param(b));
    if (a_is_param == b_is_param) {
      return graph_.unsupported(at, "adds two tensors of the network; supported: the sum with a bias");
    }
    walk_.steps.push_back({GraphOp::kBias, at, a_is_param ? 0 : 1});
    return a_is_param ? b : a;
  }

  // --- Dropout ---

  struct Drop {
    TensorRef data;
    std::optional<double> rate;
  };

  absl::StatusOr<TensorRef> record(const TensorRef& at, const Drop& drop, bool is_always_on) {
    walk_.steps.push_back({GraphOp::kDropout, at, -1, drop.rate, is_always_on});
    return drop.data;
  }

  // The forms of tf.nn.dropout through the years. In each, numbers survive where a random one exceeds a threshold, and
  // those that do are scaled up, before or after:
  //   (x / keep) * floor(keep + random)                       TensorFlow 1.0 to 1.12
  //   (x * scale) * cast(random >= rate)                      1.13 on
  //   select(random >= rate, x * scale, 0)                    2.12 on, also with x / (1 - rate) where the rate is fed
  absl::StatusOr<std::optional<Drop>> dropout(const TensorRef& at) {
    if (at.node->op() != "Mul") {
      LOCKSTEP_ASSIGN_OR_RETURN(const auto mask, mask_at(at, 0));
      if (!mask) return std::optional<Drop>();
      LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef otherwise, graph_.input(at, 2));
      if (!is_zero(otherwise)) return std::optional<Drop>();
      return scaled(at, 1, *mask);
    }
    for (const int side : {0, 1}) {
      LOCKSTEP_ASSIGN_OR_RETURN(const auto mask, mask_at(at, side));
      if (mask) return scaled(at, 1 - side, *mask);
    }
    return std::optional<Drop>();
  }

  struct Mask {
    TensorRef threshold;     // the rate, or what is kept
    bool threshold_is_kept;  // the latter
  };

  absl::StatusOr<std::optional<Mask>> mask_at(const TensorRef& at, int index) {
    LOCKSTEP_ASSIGN_OR_RETURN(TensorRef mask, graph_.input(at, index));
    LOCKSTEP_ASSIGN_OR_RETURN(mask, values_.skip_copies(mask));
    if (mask.node->op() == "Cast") {
      LOCKSTEP_ASSIGN_OR_RETURN(mask, graph_.input(mask, 0));
    }
    const bool floor = mask.node->op() == "Floor", compare = mask.node->op() == "GreaterEqual";
    if (!floor && !compare) return std::optional<Mask>();
    TensorRef sum = mask;
    if (floor) {
      LOCKSTEP_ASSIGN_OR_RETURN(sum, graph_.input(mask, 0));
      if (sum.node->op() != "Add" && sum.node->op() != "AddV2") return std::optional<Mask>();
    }
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef a, graph_.input(sum, 0));
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef b, graph_.input(sum, 1));
    if (is_random(a)) return std::optional<Mask>(Mask{b, floor});
    if (floor && is_random(b)) return std::optional<Mask>(Mask{a, true});
    return std::optional<Mask>();
  }

  // Uniform in [0, 1): the operator itself, or times one plus zero, as tf.random_uniform writes it.
  bool is_random(TensorRef tensor) {
    constexpr int kMostOperators = 4;
    for (int i = 0; i < kMostOperators; ++i) {
      const auto plain = values_.skip_copies(tensor);
      if (!plain.ok()) return false;
      const std::string& op = plain->node->op();
      if (op == "RandomUniform" || op == "StatelessRandomUniform" || op == "StatelessRandomUniformV2") return true;
      const bool add = op == "Add" || op == "AddV2", mul = op == "Mul";
      if (!add && !mul) return false;
      const auto a = graph_.input(*plain, 0), b = graph_.input(*plain, 1);
      if (!a.ok() || !b.ok() || values_.scalar(*b) != (mul ? 1.0 : 0.0)) return false;
      tensor = *a;
    }
    return false;
  }

  bool is_zero(const TensorRef& tensor) {
    if (values_.scalar(tensor) == 0.0) return true;
    const auto plain = values_.skip_copies(tensor);
    return plain.ok() && plain->node->op() == "ZerosLike";
  }

  // The data at input `index` before it was scaled up; checks that the scale is the mask's.
  absl::StatusOr<std::optional<Drop>> scaled(const TensorRef& at, int index, const Mask& mask) {
    LOCKSTEP_ASSIGN_OR_RETURN(TensorRef data, graph_.input(at, index));
    LOCKSTEP_ASSIGN_OR_RETURN(data, values_.skip_copies(data));
    const std::string& op = data.node->op();
    if (op != "RealDiv" && op != "Mul") return graph_.unsupported(data, "a dropout that does not scale");
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef x, graph_.input(data, 0));
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef factor, graph_.input(data, 1));
    std::optional<double> keep = values_.scalar(mask.threshold);
    if (keep && !mask.threshold_is_kept) keep = 1 - *keep;
    const std::optional<double> scale = values_.scalar(factor);
    if (keep && scale) {
      const double product = op == "Mul" ? *scale * *keep : *keep / *scale;
      if (!(std::abs(product - 1) < kRateTolerance)) {
        return graph_.unsupported(data, fmt::format("a dropout that keeps {} of the numbers but scales them by {}",
                                                    *keep, op == "Mul" ? *scale : 1 / *scale));
      }
      return std::optional<Drop>(Drop{x, shortest(1 - *keep)});
    }
    // The rate is fed: then the scale must come from it.
    if (op == "RealDiv" && mask.threshold_is_kept && same(factor, mask.threshold)) {
      return std::optional<Drop>(Drop{x, std::nullopt});
    }
    if (op == "RealDiv" && !mask.threshold_is_kept && is_rest(factor, mask.threshold)) {
      return std::optional<Drop>(Drop{x, std::nullopt});
    }
    if (op == "Mul" && is_inverse_of_rest(factor, mask.threshold)) return std::optional<Drop>(Drop{x, std::nullopt});
    return graph_.unsupported(data, "a dropout with a rate that is neither constant nor fed");
  }

  bool same(const TensorRef& a, const TensorRef& b) {
    const auto plain_a = values_.skip_copies(a), plain_b = values_.skip_copies(b);
    return plain_a.ok() && plain_b.ok() && *plain_a == *plain_b;
  }

  // factor == 1 - rate
  bool is_rest(const TensorRef& factor, const TensorRef& rate) {
    const auto difference = values_.skip_copies(factor);
    if (!difference.ok() || difference->node->op() != "Sub") return false;
    const auto minuend = graph_.input(*difference, 0), subtrahend = graph_.input(*difference, 1);
    return minuend.ok() && subtrahend.ok() && values_.scalar(*minuend) == 1.0 && same(*subtrahend, rate);
  }

  // factor == 1 / (1 - rate)
  bool is_inverse_of_rest(const TensorRef& factor, const TensorRef& rate) {
    const auto division = values_.skip_copies(factor);
    if (!division.ok() || division->node->op() != "RealDiv") return false;
    const auto one = graph_.input(*division, 0), rest = graph_.input(*division, 1);
    return one.ok() && rest.ok() && values_.scalar(*one) == 1.0 && is_rest(*rest, rate);
  }

  // --- Conditions ---

  struct DropBranch {
    Drop drop;
    TensorRef branch;  // the one that drops
  };

  // The two branches of a condition, when one is the dropout of the other: a dropout, whatever the condition is.
  absl::StatusOr<std::optional<DropBranch>> dropout_or_nothing(const TensorRef& a, const TensorRef& b) {
    for (const auto& [plain, other] : {std::pair(a, b), std::pair(b, a)}) {
      LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef inside, values_.skip_copies(other));
      const std::string& op = inside.node->op();
      if (op != "Mul" && op != "Select" && op != "SelectV2") continue;
      LOCKSTEP_ASSIGN_OR_RETURN(const auto drop, dropout(inside));
      if (drop && same(drop->data, plain)) return std::optional(DropBranch{*drop, other});
    }
    return std::optional<DropBranch>();
  }

  // Whether a Merge takes `side`, where the graph fixes it.
  absl::StatusOr<std::optional<bool>> is_taken(const TensorRef& side) {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto gate, find_switch(side));
    if (!gate) return std::optional<bool>();
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef predicate, graph_.input(*gate, 1));
    const auto value = values_.scalar(predicate);
    if (!value) return std::optional<bool>();
    return std::optional((gate->port == 1) == (*value != 0));
  }

  // Switch and Merge: two branches of one condition, which the graph must fix unless it is about a dropout.
  absl::StatusOr<TensorRef> merge(const TensorRef& at) {
    if (data_input_count(*at.node) != 2 || at.port != 0) return refuse(at, at.node->op());
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef a, graph_.input(at, 0));
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef b, graph_.input(at, 1));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto drop, dropout_or_nothing(a, b));
    if (drop) {
      LOCKSTEP_ASSIGN_OR_RETURN(const auto drops, is_taken(drop->branch));
      return record(at, drop->drop, drops.value_or(false));
    }
    for (const TensorRef& side : {a, b}) {
      LOCKSTEP_ASSIGN_OR_RETURN(const auto taken, is_taken(side));
      if (taken) return *taken ? side : (side == a ? b : a);
    }
    return graph_.unsupported(at, "a condition that decides between two networks and that the graph does not fix");
  }

  // The nearest Switch from which `tensor` comes. Its port says for which value of the condition `tensor` is alive.
  absl::StatusOr<std::optional<TensorRef>> find_switch(const TensorRef& tensor) {
    constexpr size_t kMostNodes = 256;
    std::vector<TensorRef> queue{tensor};
    std::set<TensorRef> seen{tensor};
    for (size_t i = 0; i < queue.size() && i < kMostNodes; ++i) {
      const TensorRef at = queue[i];
      if (at.node->op() == "Switch") return std::optional(at);
      for (int index = 0; index < data_input_count(*at.node); ++index) {
        LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef input, graph_.input(at, index));
        if (seen.insert(input).second) queue.push_back(input);
      }
    }
    return std::optional<TensorRef>();
  }

  absl::StatusOr<TensorRef> conditional(const TensorRef& at) {
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef predicate, graph_.input(at, 0));
    const auto value = values_.scalar(predicate);
    if (value) return graph_.branch(at, *value != 0);
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef yes, graph_.branch(at, true));
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef no, graph_.branch(at, false));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto drop, dropout_or_nothing(yes, no));
    if (drop) return record(at, drop->drop, false);
    return graph_.unsupported(at, "a condition that decides between two networks and that the graph does not fix");
  }

  GraphView& graph_;
  GraphValues& values_;
  const std::set<const proto::NodeDef*>& inputs_;
  std::set<TensorRef> seen_;
  GraphWalk walk_;
};

}  // namespace

std::string supported_operators() {
  return "Conv2D, BiasAdd, Add of a bias, Relu, MaxPool, Reshape, Squeeze, ExpandDims, Transpose, MatMul, dropout, "
         "Identity, and Softmax, LogSoftmax or ArgMax at the end";
}

absl::StatusOr<GraphWalk> walk_graph(GraphView& graph, GraphValues& values, TensorRef logits,
                                     const std::set<const proto::NodeDef*>& inputs) {
  return Walker(graph, values, inputs).walk(logits);
}

}  // namespace lockstep
