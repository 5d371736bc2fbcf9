// SPDX-License-Identifier: Apache-2.0
#include "core/nn/graph_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "core/nn/layer_list.h"
#include "io/proto/graph.pb.h"
#include "io/protobuf_bytes.h"
#include "io/tensor_bundle.h"
#include "io/tensor_bundle_names.h"

namespace lockstep {
namespace {

using proto::DataType;
using proto::NodeDef;
using proto::TensorProto;

// From 22 on a Placeholder's partly known shape binds. Runtimes older than the producer read the graph all the same.
constexpr int kProducer = 24;

void set_type(NodeDef* node, const char* name, DataType type) { (*node->mutable_attr())[name].set_type(type); }

void set_shape(std::span<const int64_t> sizes, proto::TensorShapeProto* shape) {
  shape->clear_dim();  // a scalar's shape is there, and empty
  for (const int64_t size : sizes) shape->add_dim()->set_size(size);
}

TensorProto tensor(DataType dtype, std::span<const int64_t> shape) {
  TensorProto tensor;
  tensor.set_dtype(dtype);
  set_shape(shape, tensor.mutable_tensor_shape());
  return tensor;
}

TensorProto int_tensor(const std::vector<int64_t>& values) {
  TensorProto t = tensor(proto::DT_INT32, std::vector<int64_t>{static_cast<int64_t>(values.size())});
  for (const int64_t value : values) t.add_int_val(static_cast<int32_t>(value));
  return t;
}

TensorProto string_tensor(const std::vector<std::string>& values) {
  TensorProto t = tensor(proto::DT_STRING, std::vector<int64_t>{static_cast<int64_t>(values.size())});
  for (const std::string& value : values) t.add_string_val(value);
  return t;
}

// Of the full shape with one value: TensorFlow repeats the last one.
TensorProto zeros(DataType dtype, const std::vector<int64_t>& shape) {
  TensorProto t = tensor(dtype, shape);
  if (dtype == proto::DT_FLOAT) {
    t.add_float_val(0);
  } else {
    t.add_int64_val(0);
  }
  return t;
}

struct Variable {
  std::string name;
  DataType dtype = proto::DT_FLOAT;
  std::vector<int64_t> shape;
  std::string_view bytes;  // of its value; empty when it is restored
};

// "name" for 0, "name_1", …, as TensorFlow makes names unique.
std::string numbered(const char* name, int index) {
  return index == 0 ? std::string(name) : fmt::format("{}_{}", name, index);
}

class GraphBuilder {
 public:
  explicit GraphBuilder(proto::GraphDef* graph) : graph_(graph) { graph_->mutable_versions()->set_producer(kProducer); }

  // `variables` in the order in which they are to be listed.
  void build(const std::vector<ListedLayer>& layers, const std::vector<Variable>& variables, bool frozen) {
    add_input(layers.front().input);
    for (const Variable& variable : variables) frozen ? add_constant(variable) : add_variable(variable);
    for (const ListedLayer& layer : layers) {
      std::visit([&](const auto& kind) { add_layer(kind, layer); }, layer.config.kind);
    }
    add_outputs();
    if (frozen) return;
    add_restore(variables);
    add_save(variables);
    NodeDef* init = add("init", "NoOp", {});
    for (const Variable& v : variables) init->add_input("^" + graph_names::initializer(v.name));
  }

 private:
  NodeDef* add(const std::string& name, const char* op, const std::vector<std::string>& inputs) {
    NodeDef* node = graph_->add_node();
    node->set_name(name);
    node->set_op(op);
    for (const std::string& input : inputs) node->add_input(input);
    return node;
  }

  // Appends a node behind the last one, of type float.
  NodeDef* then(const std::string& name, const char* op, const std::vector<std::string>& further_inputs = {}) {
    NodeDef* node = add(name, op, {at_});
    for (const std::string& input : further_inputs) node->add_input(input);
    set_type(node, "T", proto::DT_FLOAT);
    at_ = name;
    return node;
  }

  std::string constant(const std::string& name, TensorProto value) {
    NodeDef* node = add(name, "Const", {});
    set_type(node, "dtype", value.dtype());
    *(*node->mutable_attr())["value"].mutable_tensor() = std::move(value);
    return name;
  }

  void add_input(const FeatureShape& shape) {
    NodeDef* node = add(graph_names::kInput, "Placeholder", {});
    set_type(node, "dtype", proto::DT_FLOAT);
    set_shape(std::vector<int64_t>{-1, shape.size()}, (*node->mutable_attr())["shape"].mutable_shape());
    at_ = graph_names::kInput;
    is_flat_ = true;
  }

  void add_variable(const Variable& v) {
    NodeDef* handle = add(v.name, "VarHandleOp", {});
    set_type(handle, "dtype", v.dtype);
    set_shape(v.shape, (*handle->mutable_attr())["shape"].mutable_shape());
    (*handle->mutable_attr())["shared_name"].set_s(v.name);
    set_type(add(graph_names::read(v.name), "ReadVariableOp", {v.name}), "dtype", v.dtype);
    const std::string value = constant(graph_names::initial_value(v.name), zeros(v.dtype, v.shape));
    set_type(add(graph_names::initializer(v.name), "AssignVariableOp", {v.name, value}), "dtype", v.dtype);
  }

  void add_constant(const Variable& v) {
    TensorProto value = tensor(v.dtype, v.shape);
    value.set_tensor_content(std::string(v.bytes));
    constant(v.name, std::move(value));
    set_type(add(graph_names::read(v.name), "Identity", {v.name}), "T", v.dtype);
  }

  void reshape(const std::vector<int64_t>& sizes) {
    const std::string name = numbered("Reshape", reshapes_++);
    const std::string shape = constant(name + "/shape", int_tensor(sizes));
    set_type(then(name, "Reshape", {shape}), "Tshape", proto::DT_INT32);
  }
  void to_images(const FeatureShape& shape) {
    if (is_flat_) reshape({-1, shape.height, shape.width, shape.channels});
    is_flat_ = false;
  }
  void to_vectors(const FeatureShape& shape) {
    if (!is_flat_) reshape({-1, shape.size()});
    is_flat_ = true;
  }

  void set_window(NodeDef* node, const char* name, int size) {
    auto* list = (*node->mutable_attr())[name].mutable_list();
    for (const int side : {1, size, size, 1}) list->add_i(side);
  }
  void set_padding(NodeDef* node, Padding padding) {
    (*node->mutable_attr())["padding"].set_s(padding == Padding::kSame ? "SAME" : "VALID");
  }

  void add_bias(const ListedLayer& layer, bool relu) {
    then(layer.name + "/BiasAdd", "BiasAdd", {graph_names::read(layer.bias->name)});
    if (relu) then(layer.name + "/Relu", "Relu");
  }

  void add_layer(const ConvConfig& c, const ListedLayer& layer) {
    to_images(layer.input);
    NodeDef* node = then(layer.name + "/convolution", "Conv2D", {graph_names::read(layer.kernel->name)});
    set_window(node, "strides", c.stride);
    set_padding(node, c.padding);
    add_bias(layer, c.relu);
  }

  void add_layer(const MaxPoolConfig& c, const ListedLayer& layer) {
    to_images(layer.input);
    NodeDef* node = then(layer.name + "/MaxPool", "MaxPool");
    set_window(node, "ksize", c.window);
    set_window(node, "strides", c.stride);
    set_padding(node, c.padding);
  }

  void add_layer(const DenseConfig& c, const ListedLayer& layer) {
    to_vectors(layer.input);
    then(layer.name + "/MatMul", "MatMul", {graph_names::read(layer.kernel->name)});
    add_bias(layer, c.relu);
  }

  void add_layer(const DropoutConfig&, const ListedLayer& layer) { then(layer.name + "/Identity", "Identity"); }

  // The last layer is dense: at_ are the logits.
  void add_outputs() {
    const std::string logits = at_;
    then(graph_names::kProbabilities, "Softmax");
    TensorProto axis = tensor(proto::DT_INT32, {});
    axis.add_int_val(1);
    const std::string dimension = constant("ArgMax/dimension", std::move(axis));
    NodeDef* classes = add(graph_names::kClasses, "ArgMax", {logits, dimension});
    set_type(classes, "T", proto::DT_FLOAT);
    set_type(classes, "Tidx", proto::DT_INT32);
  }

  // Inputs of RestoreV2 and SaveV2: names, and the slices of each tensor ("": all of it).
  std::vector<std::string> bundle_inputs(const std::string& name, const std::vector<Variable>& variables) {
    std::vector<std::string> names;
    for (const Variable& v : variables) names.push_back(v.name);
    const std::vector<std::string> slices(names.size());
    return {graph_names::kSaveFilename, constant(name + "/tensor_names", string_tensor(names)),
            constant(name + "/shape_and_slices", string_tensor(slices))};
  }
  void set_dtypes(NodeDef* node, const std::vector<Variable>& variables) {
    for (const Variable& v : variables) (*node->mutable_attr())["dtypes"].mutable_list()->add_type(v.dtype);
  }

  // The bundle's prefix is fed to save/Const.
  void add_restore(const std::vector<Variable>& variables) {
    TensorProto prefix = tensor(proto::DT_STRING, {});
    prefix.add_string_val("model");
    constant(graph_names::kSaveFilename, std::move(prefix));
    const auto inputs = bundle_inputs("save/RestoreV2", variables);
    set_dtypes(add("save/RestoreV2", "RestoreV2", inputs), variables);
    std::vector<std::string> assigned;
    for (size_t i = 0; i < variables.size(); ++i) {
      const int index = static_cast<int>(i);
      const std::string value = numbered("save/Identity", index + 1);
      const std::string source = i == 0 ? "save/RestoreV2" : fmt::format("save/RestoreV2:{}", i);
      set_type(add(value, "Identity", {source}), "T", variables[i].dtype);
      const std::string assign = numbered("save/AssignVariableOp", index);
      set_type(add(assign, "AssignVariableOp", {variables[i].name, value}), "dtype", variables[i].dtype);
      assigned.push_back("^" + assign);
    }
    add("save/restore_shard", "NoOp", assigned);
    add(graph_names::kRestore, "NoOp", {"^save/restore_shard"});
  }

  // Nobody who serves the model needs it; it lets TensorFlow save the model again.
  void add_save(const std::vector<Variable>& variables) {
    auto inputs = bundle_inputs("save/SaveV2", variables);
    for (const Variable& v : variables) inputs.push_back(graph_names::read(v.name));
    set_dtypes(add("save/SaveV2", "SaveV2", inputs), variables);
    NodeDef* done = add(graph_names::kSaveTensor, "Identity", {graph_names::kSaveFilename, "^save/SaveV2"});
    set_type(done, "T", proto::DT_STRING);
  }

  proto::GraphDef* const graph_;
  std::string at_;        // the node that made the current activation
  bool is_flat_ = false;  // (N, size), not (N, H, W, C)
  int reshapes_ = 0;
};

// In bytewise order of their names, as in the bundle. `weights` may be null.
std::vector<Variable> variables_of(const Network& network, const float* weights, const int64_t* global_step) {
  std::vector<Variable> variables;
  for (const Param& param : network.params().params()) {
    Variable v{param.name, proto::DT_FLOAT, param.shape, {}};
    if (weights != nullptr) v.bytes = bytes_of({weights + param.offset, static_cast<size_t>(param.size)});
    variables.push_back(std::move(v));
  }
  variables.push_back({kGlobalStepVariable, proto::DT_INT64, {}, bytes_of({global_step, 1})});
  std::sort(variables.begin(), variables.end(), [](const Variable& a, const Variable& b) { return a.name < b.name; });
  return variables;
}

}  // namespace

namespace graph_names {
std::string initializer(const std::string& variable) { return variable + "/Assign"; }
std::string initial_value(const std::string& variable) { return variable + "/Initializer/zeros"; }
std::string read(const std::string& variable) { return variable + "/Read/ReadVariableOp"; }
}  // namespace graph_names

void build_graph(const ModelConfig& config, const Network& network, proto::GraphDef* graph) {
  const int64_t unused_step = 0;
  GraphBuilder(graph).build(list_layers(config, network), variables_of(network, nullptr, &unused_step), false);
}

void build_frozen_graph(const ModelConfig& config, const Network& network, const float* weights, int64_t global_step,
                        proto::GraphDef* graph) {
  GraphBuilder(graph).build(list_layers(config, network), variables_of(network, weights, &global_step), true);
}

absl::StatusOr<std::string> graph_bytes(const ModelConfig& config, const Network& network) {
  proto::GraphDef graph;
  build_graph(config, network, &graph);
  return protobuf_bytes(graph);
}

}  // namespace lockstep
