// SPDX-License-Identifier: Apache-2.0
// The graph of a SavedModel, node by node; docs/formats/saved_model.md has the same list.
#include "core/nn/graph_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "core/nn/init.h"
#include "core/nn/layer_list.h"
#include "core/nn/saved_model_export.h"
#include "io/proto/saved_model.pb.h"
#include "io/protobuf_bytes.h"
#include "io/saved_model.h"
#include "tests/support/documented_bytes.h"
#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

// Every kind of layer where TensorFlow's graph looks different from the reference's.
constexpr char kUnusual[] = R"(
image: {height: 9, width: 8, depth: 3}
classes: 4
layers:
  - dropout: {rate: 0.1}
  - max_pool: {window: 3, stride: 2, padding: same}
  - conv: {filters: 5, kernel: 2, stride: 2, padding: valid}
  - dropout: {rate: 0.2}
  - dense: {units: 6}
  - conv: {filters: 7, kernel: 1, activation: relu}
  - dense: {units: 8, activation: relu}
  - dense: {units: 4}
)";

struct Described {
  ModelConfig config;
  Network network;
  std::vector<float> weights;

  explicit Described(ModelConfig c) : config(std::move(c)), network(*Network::build(config)) {
    weights.resize(static_cast<size_t>(network.params().buffer_size()));
    initialize_weights(network.params(), 7, weights.data());
  }
};

Described reference() {
  return Described(*load_model_config(std::string(LOCKSTEP_SOURCE_DIR) + "/configs/models/mnist_cnn.yaml"));
}
Described unusual() { return Described(*parse_model_config(kUnusual, "test")); }

// "Conv2D(Reshape, conv2d/kernel/Read/ReadVariableOp)"
std::string call_of(const proto::NodeDef& node) {
  return fmt::format("{}({})", node.op(), fmt::join(node.input(), ", "));
}

class Graph {
 public:
  explicit Graph(const proto::GraphDef& graph) : graph_(graph) {
    for (const auto& node : graph.node()) EXPECT_TRUE(nodes_.emplace(node.name(), &node).second) << node.name();
  }
  const proto::NodeDef& node(const std::string& name) const {
    const auto it = nodes_.find(name);
    LOCKSTEP_CHECK(it != nodes_.end());
    return *it->second;
  }
  bool has(const std::string& name) const { return nodes_.count(name) > 0; }
  std::string call(const std::string& name) const { return has(name) ? call_of(node(name)) : "no node " + name; }
  const proto::AttrValue& attr(const std::string& name, const std::string& key) const {
    return node(name).attr().at(key);
  }
  std::vector<int64_t> ints(const std::string& name, const std::string& key) const {
    const auto& list = attr(name, key).list().i();
    return {list.begin(), list.end()};
  }
  std::vector<int64_t> int_constant(const std::string& name) const {
    const auto& values = attr(name, "value").tensor().int_val();
    return {values.begin(), values.end()};
  }
  std::vector<std::string> attr_names(const std::string& name) const {
    std::vector<std::string> names;
    for (const auto& [key, value] : node(name).attr()) names.push_back(key);
    return names;
  }

  // Each input names a node that is there, and was listed before.
  void expect_sound() const {
    std::map<std::string, bool> seen;
    for (const auto& node : graph_.node()) {
      for (std::string input : node.input()) {
        if (input.starts_with('^')) input.erase(0, 1);
        EXPECT_TRUE(seen.count(input.substr(0, input.find(':')))) << node.name() << " has input " << input;
      }
      seen[node.name()] = true;
    }
  }

 private:
  const proto::GraphDef& graph_;
  std::map<std::string, const proto::NodeDef*> nodes_;
};

proto::GraphDef graph_of(const Described& model) {
  proto::GraphDef graph;
  build_graph(model.config, model.network, &graph);
  return graph;
}

std::vector<int64_t> sizes_of(const proto::TensorShapeProto& shape) {
  std::vector<int64_t> sizes;
  for (const auto& dim : shape.dim()) sizes.push_back(dim.size());
  return sizes;
}

TEST(GraphExport, ReferenceModelComputesLikeTheTutorials) {
  const Described model = reference();
  const proto::GraphDef def = graph_of(model);
  const Graph graph(def);
  graph.expect_sound();
  EXPECT_EQ(def.versions().producer(), 24);
  EXPECT_EQ(def.versions().min_consumer(), 0);
  EXPECT_EQ(sizes_of(graph.attr("Placeholder", "shape").shape()), (std::vector<int64_t>{-1, 784}));
  const std::vector<std::pair<std::string, std::string>> calls{
      {"Placeholder", "Placeholder()"},
      {"Reshape", "Reshape(Placeholder, Reshape/shape)"},
      {"conv2d/convolution", "Conv2D(Reshape, conv2d/kernel/Read/ReadVariableOp)"},
      {"conv2d/BiasAdd", "BiasAdd(conv2d/convolution, conv2d/bias/Read/ReadVariableOp)"},
      {"conv2d/Relu", "Relu(conv2d/BiasAdd)"},
      {"max_pooling2d/MaxPool", "MaxPool(conv2d/Relu)"},
      {"conv2d_1/convolution", "Conv2D(max_pooling2d/MaxPool, conv2d_1/kernel/Read/ReadVariableOp)"},
      {"conv2d_1/BiasAdd", "BiasAdd(conv2d_1/convolution, conv2d_1/bias/Read/ReadVariableOp)"},
      {"conv2d_1/Relu", "Relu(conv2d_1/BiasAdd)"},
      {"max_pooling2d_1/MaxPool", "MaxPool(conv2d_1/Relu)"},
      {"Reshape_1", "Reshape(max_pooling2d_1/MaxPool, Reshape_1/shape)"},
      {"dense/MatMul", "MatMul(Reshape_1, dense/kernel/Read/ReadVariableOp)"},
      {"dense/BiasAdd", "BiasAdd(dense/MatMul, dense/bias/Read/ReadVariableOp)"},
      {"dense/Relu", "Relu(dense/BiasAdd)"},
      {"dropout/Identity", "Identity(dense/Relu)"},
      {"dense_1/MatMul", "MatMul(dropout/Identity, dense_1/kernel/Read/ReadVariableOp)"},
      {"dense_1/BiasAdd", "BiasAdd(dense_1/MatMul, dense_1/bias/Read/ReadVariableOp)"},
      {"softmax_tensor", "Softmax(dense_1/BiasAdd)"},
      {"ArgMax", "ArgMax(dense_1/BiasAdd, ArgMax/dimension)"}};
  for (const auto& [name, call] : calls) EXPECT_EQ(graph.call(name), call);
  EXPECT_THAT(graph.int_constant("Reshape/shape"), ElementsAre(-1, 28, 28, 1));
  EXPECT_THAT(graph.int_constant("Reshape_1/shape"), ElementsAre(-1, 3136));
  EXPECT_THAT(graph.int_constant("ArgMax/dimension"), ElementsAre(1));
  EXPECT_THAT(sizes_of(graph.attr("ArgMax/dimension", "value").tensor().tensor_shape()), IsEmpty());
  EXPECT_THAT(graph.ints("conv2d/convolution", "strides"), ElementsAre(1, 1, 1, 1));
  EXPECT_EQ(graph.attr("conv2d/convolution", "padding").s(), "SAME");
  EXPECT_THAT(graph.ints("max_pooling2d/MaxPool", "ksize"), ElementsAre(1, 2, 2, 1));
  EXPECT_THAT(graph.ints("max_pooling2d/MaxPool", "strides"), ElementsAre(1, 2, 2, 1));
  EXPECT_EQ(graph.attr("max_pooling2d/MaxPool", "padding").s(), "VALID");
}

// An attribute that TensorFlow 1.0 does not know is an error there.
TEST(GraphExport, AttributesAreThoseOfTensorFlow1) {
  const std::map<std::string, std::vector<std::string>> known{{"Placeholder", {"dtype", "shape"}},
                                                              {"Const", {"dtype", "value"}},
                                                              {"Reshape", {"T", "Tshape"}},
                                                              {"VarHandleOp", {"dtype", "shape", "shared_name"}},
                                                              {"ReadVariableOp", {"dtype"}},
                                                              {"AssignVariableOp", {"dtype"}},
                                                              {"Conv2D", {"T", "padding", "strides"}},
                                                              {"MaxPool", {"T", "ksize", "padding", "strides"}},
                                                              {"BiasAdd", {"T"}},
                                                              {"Relu", {"T"}},
                                                              {"MatMul", {"T"}},
                                                              {"Identity", {"T"}},
                                                              {"Softmax", {"T"}},
                                                              {"ArgMax", {"T", "Tidx"}},
                                                              {"RestoreV2", {"dtypes"}},
                                                              {"SaveV2", {"dtypes"}},
                                                              {"NoOp", {}}};
  for (const Described& model : {reference(), unusual()}) {
    const proto::GraphDef def = graph_of(model);
    const Graph graph(def);
    for (const auto& node : def.node()) {
      ASSERT_TRUE(known.count(node.op())) << node.op();
      EXPECT_THAT(graph.attr_names(node.name()), testing::UnorderedElementsAreArray(known.at(node.op())))
          << node.name();
      EXPECT_EQ(node.device(), "");
    }
  }
}

TEST(GraphExport, VariablesHaveHandleReadValueAndAssignment) {
  const Described model = reference();
  const proto::GraphDef def = graph_of(model);
  const Graph graph(def);
  for (const Param& param : model.network.params().params()) {
    const std::string& name = param.name;
    EXPECT_EQ(graph.call(name), "VarHandleOp()");
    EXPECT_EQ(graph.attr(name, "shared_name").s(), name);
    EXPECT_EQ(graph.attr(name, "dtype").type(), proto::DT_FLOAT);
    EXPECT_EQ(sizes_of(graph.attr(name, "shape").shape()), param.shape);
    EXPECT_EQ(graph.call(name + "/Read/ReadVariableOp"), fmt::format("ReadVariableOp({})", name));
    EXPECT_EQ(graph.call(name + "/Assign"), fmt::format("AssignVariableOp({0}, {0}/Initializer/zeros)", name));
    const proto::TensorProto& zeros = graph.attr(name + "/Initializer/zeros", "value").tensor();
    EXPECT_EQ(sizes_of(zeros.tensor_shape()), param.shape);
    EXPECT_THAT(zeros.float_val(), ElementsAre(0));  // repeated by TensorFlow
  }
  EXPECT_EQ(graph.attr("global_step", "dtype").type(), proto::DT_INT64);
  EXPECT_TRUE(graph.attr("global_step", "shape").has_shape());
  EXPECT_THAT(graph.attr("global_step/Initializer/zeros", "value").tensor().int64_val(), ElementsAre(0));
}

TEST(GraphExport, RestoringReadsEveryVariableOfTheBundle) {
  const proto::GraphDef def = graph_of(reference());
  const Graph graph(def);
  EXPECT_EQ(graph.attr("save/Const", "value").tensor().string_val(0), "model");
  EXPECT_EQ(graph.call("save/RestoreV2"),
            "RestoreV2(save/Const, save/RestoreV2/tensor_names, save/RestoreV2/shape_and_slices)");
  const auto& names = graph.attr("save/RestoreV2/tensor_names", "value").tensor();
  EXPECT_THAT(sizes_of(names.tensor_shape()), ElementsAre(9));
  EXPECT_THAT(names.string_val(),
              ElementsAre("conv2d/bias", "conv2d/kernel", "conv2d_1/bias", "conv2d_1/kernel", "dense/bias",
                          "dense/kernel", "dense_1/bias", "dense_1/kernel", "global_step"));
  EXPECT_THAT(graph.attr("save/RestoreV2/shape_and_slices", "value").tensor().string_val(),
              testing::AllOf(SizeIs(9), testing::Each("")));
  const auto& dtypes = graph.attr("save/RestoreV2", "dtypes").list().type();
  ASSERT_EQ(dtypes.size(), 9);
  EXPECT_EQ(dtypes[0], proto::DT_FLOAT);
  EXPECT_EQ(dtypes[8], proto::DT_INT64);
  EXPECT_EQ(graph.call("save/Identity_1"), "Identity(save/RestoreV2)");
  EXPECT_EQ(graph.call("save/Identity_9"), "Identity(save/RestoreV2:8)");
  EXPECT_EQ(graph.call("save/AssignVariableOp"), "AssignVariableOp(conv2d/bias, save/Identity_1)");
  EXPECT_EQ(graph.call("save/AssignVariableOp_8"), "AssignVariableOp(global_step, save/Identity_9)");
  EXPECT_THAT(graph.node("save/restore_shard").input(),
              testing::AllOf(SizeIs(9), testing::Contains("^save/AssignVariableOp"),
                             testing::Contains("^save/AssignVariableOp_8")));
  EXPECT_EQ(graph.call("save/restore_all"), "NoOp(^save/restore_shard)");
  EXPECT_EQ(graph.node("save/SaveV2").input(3), "conv2d/bias/Read/ReadVariableOp");
  EXPECT_EQ(graph.call("save/control_dependency"), "Identity(save/Const, ^save/SaveV2)");
  EXPECT_THAT(graph.node("init").input(), testing::AllOf(SizeIs(9), testing::Contains("^dense_1/kernel/Assign")));
}

TEST(GraphExport, UnusualModelIsFollowedLayerByLayer) {
  const proto::GraphDef def = graph_of(unusual());
  const Graph graph(def);
  graph.expect_sound();
  EXPECT_EQ(sizes_of(graph.attr("Placeholder", "shape").shape()), (std::vector<int64_t>{-1, 9 * 8 * 3}));
  EXPECT_EQ(graph.call("dropout/Identity"), "Identity(Placeholder)");
  EXPECT_EQ(graph.call("Reshape"), "Reshape(dropout/Identity, Reshape/shape)");
  EXPECT_THAT(graph.int_constant("Reshape/shape"), ElementsAre(-1, 9, 8, 3));
  EXPECT_EQ(graph.call("max_pooling2d/MaxPool"), "MaxPool(Reshape)");
  EXPECT_THAT(graph.ints("max_pooling2d/MaxPool", "ksize"), ElementsAre(1, 3, 3, 1));
  EXPECT_THAT(graph.ints("max_pooling2d/MaxPool", "strides"), ElementsAre(1, 2, 2, 1));
  EXPECT_EQ(graph.attr("max_pooling2d/MaxPool", "padding").s(), "SAME");
  EXPECT_THAT(graph.ints("conv2d/convolution", "strides"), ElementsAre(1, 2, 2, 1));
  EXPECT_EQ(graph.attr("conv2d/convolution", "padding").s(), "VALID");
  EXPECT_FALSE(graph.has("conv2d/Relu"));
  EXPECT_EQ(graph.call("dropout_1/Identity"), "Identity(conv2d/BiasAdd)");
  EXPECT_THAT(graph.int_constant("Reshape_1/shape"), ElementsAre(-1, 2 * 2 * 5));
  EXPECT_FALSE(graph.has("dense/Relu"));
  EXPECT_EQ(graph.call("Reshape_2"), "Reshape(dense/BiasAdd, Reshape_2/shape)");
  EXPECT_THAT(graph.int_constant("Reshape_2/shape"), ElementsAre(-1, 1, 1, 6));
  EXPECT_EQ(graph.call("conv2d_1/Relu"), "Relu(conv2d_1/BiasAdd)");
  EXPECT_EQ(graph.call("dense_1/MatMul"), "MatMul(Reshape_3, dense_1/kernel/Read/ReadVariableOp)");
  EXPECT_EQ(graph.call("dense_2/MatMul"), "MatMul(dense_1/Relu, dense_2/kernel/Read/ReadVariableOp)");
  EXPECT_EQ(graph.call("softmax_tensor"), "Softmax(dense_2/BiasAdd)");
}

TEST(GraphExport, DenseLayersOnTheInputNeedNoReshape) {
  const Described model(
      *parse_model_config("image: {height: 4, width: 3}\nclasses: 2\nlayers:\n  - dense: {units: 2}\n", "test"));
  const proto::GraphDef def = graph_of(model);
  const Graph graph(def);
  EXPECT_EQ(graph.call("dense/MatMul"), "MatMul(Placeholder, dense/kernel/Read/ReadVariableOp)");
  EXPECT_FALSE(graph.has("Reshape"));
}

TEST(GraphExport, FrozenGraphHoldsTheWeightsAndNothingToRestore) {
  const Described model = unusual();
  proto::GraphDef def;
  build_frozen_graph(model.config, model.network, model.weights.data(), 1100, &def);
  const Graph graph(def);
  graph.expect_sound();
  for (const Param& param : model.network.params().params()) {
    const proto::TensorProto& tensor = graph.attr(param.name, "value").tensor();
    EXPECT_EQ(sizes_of(tensor.tensor_shape()), param.shape);
    const std::span<const float> values(model.weights.data() + param.offset, static_cast<size_t>(param.size));
    EXPECT_EQ(tensor.tensor_content(), bytes_of(values)) << param.name;
    EXPECT_EQ(graph.call(param.name + "/Read/ReadVariableOp"), fmt::format("Identity({})", param.name));
  }
  EXPECT_EQ(graph.attr("global_step", "value").tensor().tensor_content(), std::string("\x4c\x04\0\0\0\0\0\0", 8));
  for (const auto& node : def.node()) EXPECT_NE(node.op(), "VarHandleOp");
  EXPECT_FALSE(graph.has("save/restore_all"));
  EXPECT_FALSE(graph.has("init"));
}

TEST(GraphExport, BytesForTensorBoardAreTheGraph) {
  const Described model = reference();
  proto::GraphDef parsed;
  ASSERT_TRUE(parsed.ParseFromString(*graph_bytes(model.config, model.network)));
  EXPECT_EQ(*protobuf_bytes(parsed), *protobuf_bytes(graph_of(model)));
  EXPECT_LT(protobuf_bytes(parsed)->size(), 20000u);  // no weights
}

TEST(LayerList, TellsNameShapesAndParametersOfEachLayer) {
  const Described model = unusual();
  std::vector<std::string> lines;
  for (const ListedLayer& layer : list_layers(model.config, model.network)) {
    lines.push_back(fmt::format("{} {} {} {}", layer.name, layer.input.to_string(), layer.output.to_string(),
                                layer.kernel == nullptr ? "-" : layer.kernel->name + " " + layer.bias->name));
  }
  EXPECT_THAT(lines, ElementsAre("dropout 9x8x3 9x8x3 -", "max_pooling2d 9x8x3 5x4x3 -",
                                 "conv2d 5x4x3 2x2x5 conv2d/kernel conv2d/bias", "dropout_1 2x2x5 2x2x5 -",
                                 "dense 2x2x5 1x1x6 dense/kernel dense/bias",
                                 "conv2d_1 1x1x6 1x1x7 conv2d_1/kernel conv2d_1/bias",
                                 "dense_1 1x1x7 1x1x8 dense_1/kernel dense_1/bias",
                                 "dense_2 1x1x8 1x1x4 dense_2/kernel dense_2/bias"));
}

class SavedModelExport : public testing::Test {
 protected:
  absl::StatusOr<std::string> export_model(const Described& model, const SavedModelExportOptions& options = {}) {
    return export_saved_model(dir_.path(), model.config, model.network, model.weights.data(), kStep, options);
  }

  static constexpr int64_t kStep = 10008;
  TmpDir dir_;
};

TEST_F(SavedModelExport, ReferenceModelHasTheSizeOfTheTutorials) {
  const auto directory = export_model(reference());
  ASSERT_TRUE(directory.ok()) << directory.status();
  EXPECT_EQ(std::filesystem::file_size(*directory + "/variables/variables.data-00000-of-00001"), 13098544u);
}

TEST_F(SavedModelExport, SignaturesSaverAndCollectionsAreThoseOfTheTutorial) {
  const Described model = reference();
  ASSERT_TRUE(export_model(model).ok());
  const auto files = read_saved_model(dir_.path());
  ASSERT_TRUE(files.ok()) << files.status();
  const proto::MetaGraphDef& graph = *files->meta_graph;
  ASSERT_EQ(graph.signature_def().size(), 2u);
  for (const char* name : {"serving_default", "prediction"}) {
    const proto::SignatureDef& signature = graph.signature_def().at(name);
    EXPECT_EQ(signature.method_name(), "tensorflow/serving/predict");
    ASSERT_EQ(signature.inputs().size(), 1u);
    EXPECT_EQ(signature.inputs().at("inputs").name(), "Placeholder:0");
    EXPECT_THAT(sizes_of(signature.inputs().at("inputs").tensor_shape()), ElementsAre(-1, 784));
    ASSERT_EQ(signature.outputs().size(), 2u);
    EXPECT_EQ(signature.outputs().at("classes").name(), "ArgMax:0");
    EXPECT_EQ(signature.outputs().at("classes").dtype(), proto::DT_INT64);
    EXPECT_THAT(sizes_of(signature.outputs().at("classes").tensor_shape()), ElementsAre(-1));
    EXPECT_EQ(signature.outputs().at("probabilities").name(), "softmax_tensor:0");
    EXPECT_THAT(sizes_of(signature.outputs().at("probabilities").tensor_shape()), ElementsAre(-1, 10));
  }
  EXPECT_EQ(graph.saver_def().filename_tensor_name(), "save/Const:0");
  EXPECT_EQ(graph.saver_def().save_tensor_name(), "save/control_dependency:0");
  EXPECT_EQ(graph.saver_def().restore_op_name(), "save/restore_all");
  EXPECT_EQ(graph.saver_def().version(), proto::SaverDef::V2);
  EXPECT_FALSE(graph.saver_def().sharded());
  EXPECT_TRUE(graph.object_graph_def().empty());
  EXPECT_EQ(graph.collection_def().at("variables").bytes_list().value_size(), 9);
  EXPECT_EQ(graph.collection_def().at("trainable_variables").bytes_list().value_size(), 8);
  proto::VariableDef step;
  ASSERT_TRUE(step.ParseFromString(graph.collection_def().at("global_step").bytes_list().value(0)));
  EXPECT_EQ(step.variable_name(), "global_step:0");
  EXPECT_EQ(step.initializer_name(), "global_step/Assign");
  EXPECT_EQ(step.snapshot_name(), "global_step/Read/ReadVariableOp:0");
  EXPECT_TRUE(step.is_resource());
  EXPECT_FALSE(step.trainable());
}

TEST_F(SavedModelExport, BundleHoldsTheWeightsAndTheStep) {
  const Described model = unusual();
  ASSERT_TRUE(export_model(model).ok());
  const auto files = read_saved_model(dir_.path());
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(files->variables->entries().size(), model.network.params().params().size() + 1);
  for (const Param& param : model.network.params().params()) {
    std::vector<float> values(static_cast<size_t>(param.size));
    ASSERT_TRUE(files->variables->read(param.name, values).ok());
    EXPECT_TRUE(std::equal(values.begin(), values.end(), model.weights.data() + param.offset)) << param.name;
  }
  EXPECT_THAT(*files->variables->read_int64("global_step"), ElementsAre(kStep));
}

TEST_F(SavedModelExport, WritesTheDocumentedExample) {
  Described model(
      *parse_model_config("image: {height: 1, width: 2}\nclasses: 2\nlayers:\n  - dense: {units: 2}\n", "test"));
  const std::vector<Param>& params = model.network.params().params();
  float* kernel = model.weights.data() + params[0].offset;
  for (int i = 0; i < 4; ++i) kernel[i] = static_cast<float>(i + 1);
  float* bias = model.weights.data() + params[1].offset;
  bias[0] = 0.5f;
  bias[1] = -0.5f;
  const std::string page = std::string(LOCKSTEP_SOURCE_DIR) + "/docs/formats/saved_model.md";
  const auto directory = export_saved_model(dir_.file("a"), model.config, model.network, model.weights.data(), 200);
  ASSERT_TRUE(directory.ok()) << directory.status();
  const std::string bytes = slurp(*directory + "/saved_model.pb");
  EXPECT_EQ(bytes.size(), 4137u);
  const auto documented = documented_bytes(page, 1);
  EXPECT_THAT(documented, SizeIs(4));
  EXPECT_TRUE(holds_in_order(bytes, documented));

  const auto frozen =
      export_saved_model(dir_.file("b"), model.config, model.network, model.weights.data(), 200, {.frozen = true});
  ASSERT_TRUE(frozen.ok()) << frozen.status();
  const auto node = documented_bytes(page, 2);
  EXPECT_THAT(node, SizeIs(1));
  EXPECT_THAT(slurp(*frozen + "/saved_model.pb"), HasSubstr(node[0]));
}

TEST_F(SavedModelExport, FrozenModelHasNoVariablesDirectory) {
  const auto directory = export_model(unusual(), {.frozen = true});
  ASSERT_TRUE(directory.ok()) << directory.status();
  EXPECT_THAT(list_directory(*directory).value(), ElementsAre("saved_model.pb"));
  const auto files = read_saved_model(*directory);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_FALSE(files->meta_graph->has_saver_def());
  EXPECT_TRUE(files->meta_graph->collection_def().empty());
  EXPECT_EQ(files->meta_graph->signature_def().size(), 2u);
}

TEST_F(SavedModelExport, FrozenModelThatNoProtobufHoldsIsRefused) {
  // 2.2 GiB of weights, of which none are made.
  const ModelConfig config = *parse_model_config(
      "image: {height: 1000, width: 600}\nclasses: 2\nlayers:\n  - dense: {units: 1000}\n  - dense: {units: 2}\n",
      "test");
  const Network network = *Network::build(config);
  const auto refused = export_saved_model(dir_.path(), config, network, nullptr, 1, {.frozen = true});
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("too many for a frozen graph"));
  EXPECT_THAT(list_directory(dir_.path()).value(), IsEmpty());
}

TEST_F(SavedModelExport, KnowsWhatTheNewestExportHolds) {
  const Described model = unusual();
  const auto holds = [&](const float* weights, int64_t step) {
    return holds_export_of(dir_.path(), model.network, weights, step);
  };
  EXPECT_FALSE(holds(model.weights.data(), kStep));
  ASSERT_TRUE(export_model(model).ok());
  EXPECT_TRUE(holds(model.weights.data(), kStep));
  EXPECT_FALSE(holds(model.weights.data(), kStep + 1));
  std::vector<float> others = model.weights;
  others[static_cast<size_t>(model.network.params().params().back().offset)] += 1;
  EXPECT_FALSE(holds(others.data(), kStep));
  EXPECT_FALSE(holds_export_of(dir_.path(), reference().network, reference().weights.data(), kStep));
}

TEST_F(SavedModelExport, KeepsAsManyAsAsked) {
  const Described model = unusual();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(export_model(model, {.exports_to_keep = 2}).ok());
  EXPECT_THAT(list_directory(dir_.path()).value(), SizeIs(2));
  ASSERT_TRUE(export_model(model).ok());
  EXPECT_THAT(list_directory(dir_.path()).value(), SizeIs(1));
}

TEST_F(SavedModelExport, FullDiskLeavesTheOldExport) {
  const Described model = unusual();
  const auto old = export_model(model);
  ASSERT_TRUE(old.ok()) << old.status();
  NoSpaceAfter fault(100);
  const ScopedFileHooks hooks(&fault);
  const auto written = export_model(model);
  EXPECT_THAT(std::string(written.status().message()), HasSubstr("cannot write"));
  EXPECT_THAT(list_directory(dir_.path()).value(), ElementsAre(base_name(*old)));
}

}  // namespace
}  // namespace lockstep
