// SPDX-License-Identifier: Apache-2.0
// TensorFlow graphs made by hand: what is recognised, and what every other graph is answered.
#include "core/nn/import/graph_import.h"

#include <gmock/gmock.h>

#include <cstring>
#include <functional>

#include "io/proto/saved_model.pb.h"
#include "tests/core/nn/import_fixture.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A graph under construction: images (n, 4, 4, 1) -> conv 3x3, 2 filters -> ReLU -> pool -> dense 3 -> softmax.
class Graph {
 public:
  static constexpr char kFile[] = "hand.pb";

  Graph() {
    node("x", "Placeholder");
    shape("x", {-1, 4, 4, 1});
    constant("k", {3, 3, 1, 2}, 0.1f);
    constant("b", {2}, 0.2f);
    constant("w", {8, 3}, 0.3f);
    constant("c", {3}, 0.4f);
    ints("flat", {-1, 8});
    window("conv", "Conv2D", {"x", "k"}, 1, "SAME");
    node("bias", "BiasAdd", {"conv", "b"});
    node("relu", "Relu", {"bias"});
    window("pool", "MaxPool", {"relu"}, 2, "VALID");
    list("pool", "ksize", {1, 2, 2, 1});
    node("reshape", "Reshape", {"pool", "flat"});
    node("matmul", "MatMul", {"reshape", "w"});
    node("logits", "BiasAdd", {"matmul", "c"});
    node("softmax", "Softmax", {"logits"});
    auto& signature = (*meta_.mutable_signature_def())["serving_default"];
    (*signature.mutable_inputs())["inputs"].set_name("x:0");
    (*signature.mutable_outputs())["probabilities"].set_name("softmax:0");
  }

  proto::NodeDef& node(const std::string& name, const std::string& op, const std::vector<std::string>& inputs = {}) {
    proto::NodeDef& added = *meta_.mutable_graph_def()->add_node();
    added.set_name(name);
    added.set_op(op);
    for (const std::string& input : inputs) added.add_input(input);
    return added;
  }
  proto::NodeDef& at(const std::string& name) {
    for (proto::NodeDef& node : *meta_.mutable_graph_def()->mutable_node()) {
      if (node.name() == name) return node;
    }
    LOCKSTEP_CHECK(false);
    std::abort();
  }
  proto::AttrValue& attr(const std::string& name, const std::string& key) { return (*at(name).mutable_attr())[key]; }
  void list(const std::string& name, const std::string& key, const std::vector<int64_t>& values) {
    auto& numbers = *attr(name, key).mutable_list();
    numbers.clear_i();
    for (const int64_t value : values) numbers.add_i(value);
  }
  void shape(const std::string& name, const std::vector<int64_t>& sizes) {
    auto& shape = *attr(name, "shape").mutable_shape();
    shape.clear_dim();
    for (const int64_t size : sizes) shape.add_dim()->set_size(size);
  }
  void window(const std::string& name, const std::string& op, const std::vector<std::string>& inputs, int64_t stride,
              const std::string& padding) {
    node(name, op, inputs);
    list(name, "strides", {1, stride, stride, 1});
    attr(name, "padding").set_s(padding);
  }
  // One number, repeated, as TensorFlow writes it.
  void constant(const std::string& name, const std::vector<int64_t>& sizes, float value) {
    node(name, "Const");
    auto& tensor = *attr(name, "value").mutable_tensor();
    tensor.set_dtype(proto::DT_FLOAT);
    for (const int64_t size : sizes) tensor.mutable_tensor_shape()->add_dim()->set_size(size);
    tensor.add_float_val(value);
  }
  void constant(const std::string& name, const std::vector<int64_t>& sizes, const std::vector<float>& values) {
    constant(name, sizes, 0.0f);
    auto& tensor = *attr(name, "value").mutable_tensor();
    tensor.clear_float_val();
    tensor.set_tensor_content(values.data(), values.size() * sizeof(float));
  }
  void ints(const std::string& name, const std::vector<int32_t>& values, bool scalar = false) {
    node(name, "Const");
    auto& tensor = *attr(name, "value").mutable_tensor();
    tensor.set_dtype(proto::DT_INT32);
    tensor.mutable_tensor_shape();
    if (!scalar) tensor.mutable_tensor_shape()->add_dim()->set_size(static_cast<int64_t>(values.size()));
    for (const int32_t value : values) tensor.add_int_val(value);
  }
  // Input `index` of `name` becomes `input`.
  void rewire(const std::string& name, int index, const std::string& input) { at(name).set_input(index, input); }

  proto::MetaGraphDef& meta() { return meta_; }
  absl::StatusOr<TrainedModel> import() const { return import_graph(meta_, nullptr, kFile); }

 private:
  proto::MetaGraphDef meta_;
};

std::string yaml_of(const absl::StatusOr<TrainedModel>& model) {
  return model.ok() ? to_yaml(model->config) : std::string(model.status().message());
}

class NnGraphImport : public HandMadeImport<Graph> {
 protected:
  void expect_same_network() { EXPECT_EQ(yaml_of(graph_.import()), yaml_of(Graph().import())); }
};

TEST_F(NnGraphImport, NetworkIsReadBackFromItsOutput) {
  const auto model = graph_.import();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(to_yaml(model->config), to_yaml(*parse_model_config(kHandMadeNetwork, "test")));
  EXPECT_THAT(model->sources, ElementsAre("k", "b", "w", "c"));
  EXPECT_THAT(model->warnings, IsEmpty());
  EXPECT_EQ(model->origin, "hand.pb");
  const Network network = *Network::build(model->config);
  for (const Param& param : network.params().params()) {
    const float expected = param.name == "conv2d/kernel"  ? 0.1f
                           : param.name == "conv2d/bias"  ? 0.2f
                           : param.name == "dense/kernel" ? 0.3f
                                                          : 0.4f;
    for (int64_t i = 0; i < param.size; ++i) EXPECT_EQ(model->weights.data()[param.offset + i], expected) << param.name;
  }
}

TEST_F(NnGraphImport, CopiesOnTheWayCountForNothing) {
  graph_.node("a", "Identity", {"relu"});
  graph_.node("b1", "StopGradient", {"a", "^conv"});
  graph_.rewire("pool", 0, "b1");
  graph_.node("read", "Identity", {"w"});
  graph_.rewire("matmul", 1, "read:0");
  expect_same_network();
}

TEST_F(NnGraphImport, BiasMayBeASum) {
  graph_.at("bias").set_op("Add");
  graph_.at("logits").set_op("AddV2");
  graph_.rewire("logits", 0, "c");
  graph_.rewire("logits", 1, "matmul");
  expect_same_network();
}

TEST_F(NnGraphImport, SumWithAnythingElseIsUnsupported) {
  graph_.at("bias").set_op("Add");
  graph_.rewire("bias", 1, "conv");
  expect_unsupported({"node `bias` (Add)", "adds two tensors of the network"});
}

TEST_F(NnGraphImport, LayerWithoutABiasGetsZeros) {
  graph_.rewire("relu", 0, "conv");
  const auto model = graph_.import();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(model->warnings, ElementsAre(HasSubstr("node `conv` (Conv2D) has no bias; conv2d/bias is zero")));
  EXPECT_THAT(model->sources, ElementsAre("k", "", "w", "c"));
}

TEST_F(NnGraphImport, ReluBehindThePoolIsTheSameNetwork) {
  graph_.rewire("pool", 0, "bias");
  graph_.rewire("relu", 0, "pool");
  graph_.rewire("reshape", 0, "relu");
  expect_same_network();
}

TEST_F(NnGraphImport, BiasBehindTheActivationIsUnsupported) {
  graph_.rewire("relu", 0, "conv");
  graph_.rewire("bias", 0, "relu");
  graph_.rewire("pool", 0, "bias");
  expect_unsupported({"node `bias` (BiasAdd)", "adds `b`, but not right behind a convolution"});
}

TEST_F(NnGraphImport, FlattenMayComputeItsShape) {
  graph_.node("shape", "Shape", {"pool"});
  graph_.ints("zero", {0});
  graph_.ints("one", {1});
  graph_.node("batch", "StridedSlice", {"shape", "zero", "one", "one"});
  graph_.attr("batch", "shrink_axis_mask").set_i(1);
  graph_.ints("eight", {8}, /*scalar=*/true);
  graph_.node("packed", "Pack", {"batch", "eight"});
  graph_.rewire("reshape", 1, "packed");
  expect_same_network();
}

TEST_F(NnGraphImport, FlattenMayMultiplySizes) {
  graph_.node("shape", "Shape", {"pool"});
  graph_.ints("one", {1});
  graph_.ints("four", {4});
  graph_.ints("zero", {0});
  graph_.node("sizes", "StridedSlice", {"shape", "one", "four", "one"});
  graph_.node("count", "Prod", {"sizes", "zero"});
  graph_.ints("open", {-1}, true);
  graph_.node("packed", "Pack", {"open", "count"});
  graph_.rewire("reshape", 1, "packed");
  expect_same_network();
}

TEST_F(NnGraphImport, ReshapeThatMixesExamplesIsUnsupported) {
  graph_.ints("mixed", {-1, 4});
  graph_.rewire("reshape", 1, "mixed");
  expect_unsupported({"node `reshape` (Reshape)", "[2, 2, 2] to [-1, 4] in a way that mixes them"});
}

TEST_F(NnGraphImport, FlatInputTakesItsImageFromTheFirstReshape) {
  graph_.shape("x", {-1, 16});
  graph_.ints("image", {-1, 4, 4, 1});
  graph_.node("first", "Reshape", {"x", "image"});
  graph_.rewire("conv", 0, "first");
  expect_same_network();
}

TEST_F(NnGraphImport, WeightsMayBeTransposedInTheGraph) {
  std::vector<float> rows(24), columns(24);
  for (size_t i = 0; i < 24; ++i) rows[i] = static_cast<float>(i);
  for (size_t i = 0; i < 24; ++i) columns[i] = rows[i % 8 * 3 + i / 8];
  graph_.constant("w1", {8, 3}, rows);
  graph_.constant("w2", {3, 8}, columns);
  graph_.rewire("matmul", 1, "w1");
  const auto plain = graph_.import();
  graph_.rewire("matmul", 1, "w2");
  graph_.attr("matmul", "transpose_b").set_b(true);
  const auto flagged = graph_.import();
  graph_.attr("matmul", "transpose_b").set_b(false);
  graph_.ints("swap", {1, 0});
  graph_.node("w3", "Transpose", {"w2", "swap"});
  graph_.rewire("matmul", 1, "w3");
  const auto transposed = graph_.import();
  ASSERT_TRUE(plain.ok() && flagged.ok() && transposed.ok()) << flagged.status() << transposed.status();
  EXPECT_EQ(weights_hash(*flagged), weights_hash(*plain));
  EXPECT_EQ(weights_hash(*transposed), weights_hash(*plain));
}

// Flattened as (C, H, W), the rows of the kernel come in another order than ours.
TEST_F(NnGraphImport, FlattenedChannelsFirstPermutesTheRows) {
  std::vector<float> rows(24);
  for (size_t i = 0; i < 24; ++i) rows[i] = static_cast<float>(i / 3);
  graph_.constant("w1", {8, 3}, rows);
  graph_.rewire("matmul", 1, "w1");
  graph_.ints("order", {0, 3, 1, 2});
  graph_.node("chw", "Transpose", {"pool", "order"});
  graph_.rewire("reshape", 0, "chw");
  const auto model = graph_.import();
  ASSERT_TRUE(model.ok()) << model.status();
  const Network network = *Network::build(model->config);
  const float* kernel = model->weights.data() + network.params()[2].offset;
  // Row (h, w, c) of ours is row c * 4 + h * 2 + w of theirs.
  for (int row = 0; row < 8; ++row) {
    EXPECT_EQ(kernel[3 * row], static_cast<float>(row % 2 * 4 + row / 2)) << row;
  }
}

TEST_F(NnGraphImport, ExplicitPadsAreTakenWhereTheyAreSame) {
  graph_.attr("conv", "padding").set_s("EXPLICIT");
  graph_.list("conv", "explicit_paddings", {0, 0, 1, 1, 1, 1, 0, 0});
  expect_same_network();
  graph_.list("conv", "explicit_paddings", {0, 0, 2, 0, 1, 1, 0, 0});
  expect_unsupported({"node `conv` (Conv2D)", "pads of 2, 1, 0, 1"});
}

TEST_F(NnGraphImport, DropoutOfEveryAgeIsRecognised) {
  graph_.ints("size", {2});
  graph_.node("random", "RandomUniform", {"size"});
  graph_.constant("rate", {}, 0.25f);
  graph_.constant("keep", {}, 0.75f);
  graph_.constant("scale", {}, 1 / 0.75f);
  graph_.constant("none", {}, 0.0f);
  graph_.node("kept", "GreaterEqual", {"random", "rate"});
  graph_.node("sum", "Add", {"random", "keep"});
  graph_.node("floor", "Floor", {"sum"});
  graph_.node("divided", "RealDiv", {"reshape", "keep"});
  graph_.node("scaled", "Mul", {"reshape", "scale"});
  graph_.node("cast", "Cast", {"kept"});
  graph_.node("oldest", "Mul", {"divided", "floor"});
  graph_.node("old", "Mul", {"scaled", "cast"});
  graph_.node("new", "SelectV2", {"kept", "scaled", "none"});
  for (const char* form : {"oldest", "old", "new"}) {
    graph_.rewire("matmul", 0, form);
    const auto model = graph_.import();
    ASSERT_TRUE(model.ok()) << form << ": " << model.status();
    ASSERT_EQ(model->config.layers.size(), 4u) << form;
    EXPECT_EQ(std::get<DropoutConfig>(model->config.layers[2].kind).rate, 0.25) << form;
    EXPECT_THAT(model->warnings, ElementsAre(AllOf(HasSubstr(std::string("node `") + form + "` ("),
                                                   HasSubstr("on when TensorFlow predicts"))));
  }
  // One that scales by something else computes something else.
  graph_.constant("wrong", {}, 1.5f);
  graph_.rewire("scaled", 1, "wrong");
  expect_unsupported({"node `scaled` (Mul)", "keeps 0.75 of the numbers but scales them by 1.5"});
}

// What is left of a dropout in a graph for prediction: nothing but a copy with its name.
TEST_F(NnGraphImport, DropoutThatIsOnlyANameIsToldToWhoTrains) {
  for (const char* name : {"dropout", "dropout/Identity", "tower/dropout_1/Identity"}) {
    graph_.node(name, "Identity", {"reshape"});
    graph_.rewire("matmul", 0, name);
    const auto model = graph_.import();
    ASSERT_TRUE(model.ok()) << name << ": " << model.status();
    EXPECT_THAT(model->warnings, IsEmpty()) << name;
    EXPECT_THAT(model->training_warnings,
                ElementsAre(AllOf(HasSubstr("node `" + std::string(name) + "` (Identity)"), HasSubstr("model.yaml"))));
  }
  // A copy of another name, also behind a dropout that is in the graph.
  for (const char* name : {"identity", "my_dropout/Identity", "dropout/cond/Identity"}) {
    graph_.node(name, "Identity", {"reshape"});
    graph_.rewire("matmul", 0, name);
    const auto model = graph_.import();
    ASSERT_TRUE(model.ok()) << name << ": " << model.status();
    EXPECT_THAT(model->training_warnings, IsEmpty()) << name;
  }
}

// The last layer gives one number a class, as it is.
TEST_F(NnGraphImport, WhatFollowsTheLastDenseLayerIsRefusedByName) {
  graph_.node("cut", "Relu", {"logits"});
  graph_.rewire("softmax", 0, "cut");
  expect_unsupported({"node `cut` (Relu)", "acts on the outputs of the last dense layer"});
  graph_.ints("size", {2});
  graph_.node("random", "RandomUniform", {"size"});
  graph_.constant("rate", {}, 0.25f);
  graph_.constant("scale", {}, 1 / 0.75f);
  graph_.constant("none", {}, 0.0f);
  graph_.node("kept", "GreaterEqual", {"random", "rate"});
  graph_.node("scaled", "Mul", {"logits", "scale"});
  graph_.node("drop", "SelectV2", {"kept", "scaled", "none"});
  graph_.rewire("softmax", 0, "drop");
  expect_unsupported({"behind node `drop` (SelectV2)", "does not end in a dense layer"});
}

// What tf.compat.v1.nn.dropout and tf.nn.dropout make of a rate, or of what is kept, that is fed: no number to take.
TEST_F(NnGraphImport, DropoutThatIsFedIsLeftOutWithAWarning) {
  graph_.ints("size", {2});
  graph_.node("random", "RandomUniform", {"size"});
  graph_.node("fed", "Placeholder");
  graph_.constant("one", {}, 1.0f);
  graph_.constant("none", {}, 0.0f);
  graph_.node("rate", "Sub", {"one", "fed"});
  graph_.node("kept", "GreaterEqual", {"random", "rate"});
  graph_.node("rest", "Sub", {"one", "rate"});
  graph_.node("inverse", "RealDiv", {"one", "rest"});
  graph_.node("divided", "RealDiv", {"reshape", "rest"});
  graph_.node("scaled", "Mul", {"reshape", "inverse"});
  graph_.node("divides", "SelectV2", {"kept", "divided", "none"});
  graph_.node("multiplies", "SelectV2", {"kept", "scaled", "none"});
  for (const std::string form : {"divides", "multiplies"}) {
    graph_.rewire("matmul", 0, form);
    const auto model = graph_.import();
    ASSERT_TRUE(model.ok()) << form << ": " << model.status();
    EXPECT_EQ(model->config.layers.size(), 3u) << form;
    EXPECT_THAT(model->warnings, ElementsAre(HasSubstr("node `" + form + "` (SelectV2): a dropout whose rate is fed")));
  }
  // What does not come from the rate is no dropout's scale.
  graph_.node("other", "Placeholder");
  graph_.rewire("rest", 1, "other");
  graph_.rewire("matmul", 0, "divides");
  expect_unsupported({"node `divided` (RealDiv)", "a dropout with a rate that is neither constant nor fed"});
}

TEST_F(NnGraphImport, OperatorOutsideTheFamilyIsNamedWithItsNode) {
  graph_.at("relu").set_op("Elu");
  expect_unsupported({"node `relu` (Elu)", "this operator is not supported. Supported: Conv2D, BiasAdd"});
}

// Its classes would be others than those of the dense layer.
TEST_F(NnGraphImport, RearrangedOutputsAreNamed) {
  graph_.ints("column", {-1, 3, 1});
  graph_.node("folded", "Reshape", {"logits", "column"});
  graph_.rewire("softmax", 0, "folded");
  expect_error(absl::StatusCode::kUnimplemented, {"`folded` (Reshape)", "(3, 1)", "one number a class"});
  graph_.ints("row", {-1, 3});
  graph_.node("unfolded", "Reshape", {"folded", "row"});
  graph_.rewire("softmax", 0, "unfolded");
  expect_same_network();
}

TEST_F(NnGraphImport, TransposedOutputsAreNamed) {
  graph_.ints("order", {1, 0});
  graph_.node("turned", "Transpose", {"logits", "order"});
  graph_.rewire("softmax", 0, "turned");
  expect_error(absl::StatusCode::kUnimplemented, {"`turned` (Transpose)"});
}

TEST_F(NnGraphImport, ChosenOutputsAreNamed) {
  for (const std::string op : {"StridedSlice", "GatherV2", "ReverseV2", "ConcatV2", "Mul"}) {
    graph_ = Graph();
    graph_.ints("which", {0, 1});
    graph_.node("chosen", op, {"logits", "which", "which", "which"});
    graph_.rewire("softmax", 0, "chosen");
    expect_error(absl::StatusCode::kUnimplemented, {"`chosen` (" + op + ")"});
  }
}

TEST_F(NnGraphImport, OnlyClassesBecomeIntegers) {
  graph_.node("whole", "Cast", {"softmax"});
  graph_.attr("whole", "DstT").set_type(proto::DT_INT64);
  (*(*graph_.meta().mutable_signature_def())["serving_default"].mutable_outputs())["probabilities"].set_name("whole:0");
  expect_error(absl::StatusCode::kUnimplemented, {"`whole` (Cast)"});
  // On the way to the probabilities neither, nor to a type with fewer digits or classes.
  graph_.rewire("whole", 0, "logits");
  graph_.rewire("softmax", 0, "whole");
  (*(*graph_.meta().mutable_signature_def())["serving_default"].mutable_outputs())["probabilities"].set_name(
      "softmax:0");
  expect_unsupported({"node `whole` (Cast)"});
  graph_.rewire("softmax", 0, "logits");
  graph_.ints("one", {1}, true);
  graph_.node("class", "ArgMax", {"logits", "one"});
  graph_.rewire("whole", 0, "class");
  (*(*graph_.meta().mutable_signature_def())["serving_default"].mutable_outputs())["classes"].set_name("whole:0");
  for (const auto type : {proto::DT_INT32, proto::DT_INT64, proto::DT_FLOAT}) {
    graph_.attr("whole", "DstT").set_type(type);
    expect_same_network();
  }
  graph_.attr("whole", "DstT").set_type(proto::DT_BOOL);
  expect_unsupported({"node `whole` (Cast)", "of classes to anything but int32, int64 or float32"});
}

// A permutation that a plain look at the shapes would not see.
TEST_F(NnGraphImport, PermutedOutputsAreNamed) {
  graph_.constant("w4", {8, 4}, 0.3f);
  graph_.constant("c4", {4}, 0.4f);
  graph_.rewire("matmul", 1, "w4");
  graph_.rewire("logits", 1, "c4");
  graph_.ints("square", {-1, 2, 2});
  graph_.ints("order", {0, 2, 1});
  graph_.ints("row", {-1, 4});
  graph_.node("folded", "Reshape", {"logits", "square"});
  graph_.node("turned", "Transpose", {"folded", "order"});
  graph_.node("unfolded", "Reshape", {"turned", "row"});
  graph_.rewire("softmax", 0, "unfolded");
  expect_unsupported({"node `unfolded` (Reshape)", "one number a class, in their order"});
}

// Behind the Softmax, where nothing but ArgMax may come, and for the classes alone.
TEST_F(NnGraphImport, RearrangedProbabilitiesAndClassesAreNamed) {
  graph_.ints("column", {-1, 3, 1});
  graph_.ints("order", {1, 0});
  graph_.ints("one", {1}, true);
  graph_.node("folded", "Reshape", {"softmax", "column"});
  graph_.node("turned", "Transpose", {"softmax", "order"});
  graph_.node("expanded", "ExpandDims", {"softmax", "one"});
  graph_.node("part", "StridedSlice", {"softmax", "one", "one", "one"});
  graph_.node("of_part", "ArgMax", {"part", "one"});
  auto& outputs = *(*graph_.meta().mutable_signature_def())["serving_default"].mutable_outputs();
  for (const std::string name : {"folded", "turned", "expanded"}) {
    outputs["probabilities"].set_name(name + ":0");
    expect_unsupported({"node `softmax` (Softmax)"});
  }
  outputs["probabilities"].set_name("part:0");
  expect_unsupported({"node `part` (StridedSlice)"});
  outputs["probabilities"].set_name("softmax:0");
  outputs["classes"].set_name("of_part:0");
  expect_unsupported(
      {"output `probabilities` is computed from node `logits` (BiasAdd), but output `classes` from node "
       "`part` (StridedSlice)"});
}

TEST_F(NnGraphImport, ScaleOfTheInputIsNamed) {
  graph_.constant("scale", {}, 1 / 255.0f);
  graph_.node("scaled", "Mul", {"x", "scale"});
  graph_.rewire("conv", 0, "scaled");
  expect_unsupported({"node `scaled` (Mul)", "A scale of the input is not supported", "pixels from 0 to 1"});
}

TEST_F(NnGraphImport, AttributesThatChangeTheMeaningAreNamed) {
  graph_.attr("conv", "data_format").set_s("NCHW");
  expect_unsupported({"node `conv` (Conv2D)", "data_format NCHW"});
  graph_.attr("conv", "data_format").set_s("NHWC");
  graph_.list("conv", "dilations", {1, 2, 2, 1});
  expect_unsupported({"node `conv` (Conv2D)", "a dilated convolution"});
  graph_.list("conv", "dilations", {1, 1, 1, 1});
  graph_.list("conv", "strides", {1, 2, 1, 1});
  expect_unsupported({"node `conv` (Conv2D)", "strides 2x1"});
  graph_.list("conv", "strides", {2, 1, 1, 1});
  expect_unsupported({"node `conv` (Conv2D)", "strides [2, 1, 1, 1]"});
  graph_.list("conv", "strides", {1, 1, 1, 1});
  graph_.attr("matmul", "transpose_a").set_b(true);
  expect_unsupported({"node `matmul` (MatMul)", "transposed examples"});
}

TEST_F(NnGraphImport, WeightsOfAnotherShapeAreNamed) {
  graph_.constant("w1", {9, 3}, 1.0f);
  graph_.rewire("matmul", 1, "w1");
  expect_invalid({"node `matmul` (MatMul)", "a kernel `w1` of shape (9, 3)", "does not fit 8 inputs"});
  graph_.rewire("matmul", 1, "w");
  graph_.constant("b1", {3}, 1.0f);
  graph_.rewire("bias", 1, "b1");
  expect_unsupported({"node `bias` (BiasAdd)", "adds `b1` of shape (3)"});
}

TEST_F(NnGraphImport, ConstantsMustHaveTheirNumbers) {
  auto& kernel = *graph_.attr("k", "value").mutable_tensor();
  kernel.clear_float_val();
  kernel.set_tensor_content(std::string(17, 'x'));
  expect_invalid({"node `k` (Const)", "without as many numbers as its shape says"});
  kernel.clear_tensor_content();
  for (int i = 0; i < 19; ++i) kernel.add_float_val(1);  // one too many
  expect_invalid({"node `k` (Const)"});
  kernel.set_dtype(proto::DT_DOUBLE);
  expect_unsupported({"node `k` (Const)", "float32"});
}

// TensorFlow's graph optimizer leaves all numbers out where they are zeros, of shapes as of weights.
TEST_F(NnGraphImport, ConstantWithoutNumbersIsZeros) {
  graph_.attr("b", "value").mutable_tensor()->clear_float_val();
  graph_.node("sizes", "Shape", {"pool"});
  for (const char* name : {"from", "to", "step"}) graph_.ints(name, {name == std::string("from") ? 0 : 1});
  graph_.attr("from", "value").mutable_tensor()->clear_int_val();
  graph_.node("examples", "StridedSlice", {"sizes", "from", "to", "step"});
  graph_.attr("examples", "shrink_axis_mask").set_i(1);
  graph_.ints("rest", {8}, true);
  graph_.node("shape", "Pack", {"examples", "rest"});
  graph_.rewire("reshape", 1, "shape");
  expect_same_network();
  const auto model = graph_.import();
  ASSERT_TRUE(model.ok()) << model.status();
  const Network network = *Network::build(model->config);
  const Param& bias = network.params().params()[1];
  ASSERT_EQ(bias.size, 2);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(model->weights.data()[bias.offset + i], 0.0f);
  EXPECT_EQ(model->weights.data()[0], 0.1f);
}

TEST_F(NnGraphImport, HugeSizesGetNoMemory) {
  auto& kernel = *graph_.attr("k", "value").mutable_tensor();
  kernel.mutable_tensor_shape()->mutable_dim(0)->set_size(int64_t{1} << 40);
  expect_invalid({"node `k` (Const)"});
  kernel.mutable_tensor_shape()->mutable_dim(0)->set_size(int64_t{1} << 30);
  expect_invalid({"node `k` (Const)"});
  kernel.mutable_tensor_shape()->mutable_dim(0)->set_size(-3);
  expect_invalid({"node `k` (Const)"});
  kernel.mutable_tensor_shape()->mutable_dim(0)->set_size(3);
  graph_.shape("x", {-1, int64_t{1} << 62, 4, 1});
  expect_invalid({"node `x` (Placeholder)", "every size must be known"});
  graph_.shape("x", {-1, 1 << 20, 1 << 20, 1});  // an image that no network of ours may have
  EXPECT_FALSE(graph_.import().ok());
}

TEST_F(NnGraphImport, CyclesAndLooseEndsAreErrors) {
  graph_.rewire("conv", 0, "relu");
  expect_invalid({"circle"});
  graph_.rewire("conv", 0, "nobody");
  expect_invalid({"tensor `nobody`", "there is no such node"});
  graph_.rewire("conv", 0, "x:17x");
  expect_invalid({"`x:17x`"});
  graph_.rewire("conv", 0, "x");
  graph_.node("i1", "Identity", {"i2"});
  graph_.node("i2", "Identity", {"i1"});
  graph_.rewire("conv", 0, "i1");
  expect_invalid({"circles"});
  graph_.rewire("conv", 0, "x");
  graph_.at("matmul").mutable_input()->RemoveLast();
  expect_invalid({"node `matmul` (MatMul)", "expected at least 2 inputs, found 1"});
}

TEST_F(NnGraphImport, NamesMustBeUnique) {
  graph_.node("relu", "Relu", {"x"});
  expect_error(absl::StatusCode::kDataLoss, {"two of the name `relu`"});
}

TEST_F(NnGraphImport, VariableNeedsACheckpoint) {
  graph_.node("v", "VarHandleOp");
  graph_.node("v/read", "ReadVariableOp", {"v"});
  graph_.rewire("matmul", 1, "v/read");
  expect_invalid({"node `v` (VarHandleOp)", "no variables/variables.index"});
}

// --- Signatures ---

TEST_F(NnGraphImport, OutputsMustComeFromOneTensor) {
  auto& signature = (*graph_.meta().mutable_signature_def())["serving_default"];
  (*signature.mutable_outputs())["hidden"].set_name("relu:0");
  expect_unsupported({"output `probabilities`", "node `relu`"});
}

TEST_F(NnGraphImport, SignatureNeedsOutputs) {
  (*graph_.meta().mutable_signature_def())["serving_default"].clear_outputs();
  expect_invalid({"a signature without outputs"});
}

TEST_F(NnGraphImport, ClassesAreTheLargestLogit) {
  graph_.ints("one", {1}, true);
  graph_.node("classes", "ArgMax", {"softmax", "one"});
  auto& signature = (*graph_.meta().mutable_signature_def())["serving_default"];
  (*signature.mutable_outputs())["classes"].set_name("classes:0");
  expect_same_network();
  graph_.ints("zero", {0}, true);
  graph_.rewire("classes", 1, "zero");
  expect_unsupported({"node `classes` (ArgMax)", "along another axis"});
}

TEST_F(NnGraphImport, LogitsAsOutputAreNoted) {
  auto& signature = (*graph_.meta().mutable_signature_def())["serving_default"];
  (*signature.mutable_outputs())["probabilities"].set_name("logits:0");
  const auto model = graph_.import();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(model->warnings, ElementsAre(HasSubstr("gives logits; here it is probabilities")));
}

TEST_F(NnGraphImport, SignatureIsTheDefaultOrTheOnlyOne) {
  auto& signatures = *graph_.meta().mutable_signature_def();
  const proto::SignatureDef signature = signatures["serving_default"];
  signatures["predict"] = signature;
  expect_same_network();
  signatures.erase("serving_default");
  expect_same_network();
  signatures["other"] = signature;
  expect_invalid({"several signatures (", "but none is `serving_default`"});
}

TEST_F(NnGraphImport, GraphWithoutSignatureIsReadFromItsSoftmax) {
  graph_.meta().clear_signature_def();
  expect_same_network();
  graph_.node("second", "Softmax", {"matmul"});
  expect_invalid({"several tensors", "`logits` (by `softmax`)", "`matmul` (by `second`)"});
}

TEST_F(NnGraphImport, InputMustBeTheSignatures) {
  graph_.node("y", "Placeholder");
  graph_.shape("y", {-1, 4, 4, 1});
  graph_.rewire("conv", 0, "y");
  expect_unsupported({"node `y` (Placeholder)", "at no input of its signature"});
}

TEST_F(NnGraphImport, InputOfUnknownShapeIsAnError) {
  graph_.at("x").clear_attr();
  expect_unsupported({"node `x` (Placeholder)", "unknown shape"});
}

// --- Functions ---

// Moves the layers from `conv` to `matmul` into a function that `call` calls.
void move_into_function(Graph* graph, const std::string& op) {
  proto::GraphDef& def = *graph->meta().mutable_graph_def();
  proto::FunctionDef& function = *def.mutable_library()->add_function();
  function.mutable_signature()->set_name("body");
  for (const char* argument : {"image", "kernel"}) function.mutable_signature()->add_input_arg()->set_name(argument);
  function.mutable_signature()->add_output_arg()->set_name("out");
  proto::NodeDef& conv = *function.add_node_def();
  conv = graph->at("conv");
  conv.set_input(0, "image");
  conv.set_input(1, "kernel");
  (*function.mutable_ret())["out"] = "conv:output:0";
  proto::NodeDef& call = graph->node("call", op, {"x", "k"});
  (*call.mutable_attr())["f"].mutable_func()->set_name("body");
  graph->rewire("bias", 0, "call");
}

TEST_F(NnGraphImport, FunctionsAreEntered) {
  move_into_function(&graph_, "StatefulPartitionedCall");
  expect_same_network();
}

TEST_F(NnGraphImport, FunctionMayBeCalledByItsName) {
  move_into_function(&graph_, "body");
  expect_same_network();
}

TEST_F(NnGraphImport, ErrorsNameTheFunctionOfTheirNode) {
  move_into_function(&graph_, "PartitionedCall");
  auto& library = *graph_.meta().mutable_graph_def()->mutable_library();
  library.mutable_function(0)->mutable_node_def(0)->set_op("Conv3D");
  expect_unsupported({"node `conv` (Conv3D) of function `body`"});
  library.mutable_function(0)->mutable_ret()->clear();
  expect_invalid({"function `body` has no output 0"});
  library.clear_function();
  expect_invalid({"node `call` (PartitionedCall)", "calls `body`, which is not in the file"});
}

TEST_F(NnGraphImport, FunctionThatCallsItselfEnds) {
  move_into_function(&graph_, "PartitionedCall");
  proto::FunctionDef& body = *graph_.meta().mutable_graph_def()->mutable_library()->mutable_function(0);
  proto::NodeDef& again = *body.add_node_def();
  again.set_name("again");
  again.set_op("PartitionedCall");
  again.add_input("image");
  again.add_input("kernel");
  (*again.mutable_attr())["f"].mutable_func()->set_name("body");
  (*body.mutable_ret())["out"] = "again:output:0";
  expect_invalid({"calls nest deeper than"});
}

TEST_F(NnGraphImport, ConditionThatTheGraphFixesIsDecided) {
  move_into_function(&graph_, "PartitionedCall");
  proto::GraphDef& def = *graph_.meta().mutable_graph_def();
  def.mutable_library()->mutable_function()->Add()->CopyFrom(def.library().function(0));
  proto::FunctionDef& other = *def.mutable_library()->mutable_function(1);
  other.mutable_signature()->set_name("other");
  other.mutable_node_def(0)->set_op("Conv3D");
  graph_.node("yes", "Const");
  graph_.attr("yes", "value").mutable_tensor()->set_dtype(proto::DT_BOOL);
  graph_.attr("yes", "value").mutable_tensor()->add_bool_val(true);
  proto::NodeDef& condition = graph_.node("if", "If", {"yes", "x", "k"});
  (*condition.mutable_attr())["then_branch"].mutable_func()->set_name("body");
  (*condition.mutable_attr())["else_branch"].mutable_func()->set_name("other");
  graph_.rewire("bias", 0, "if");
  expect_same_network();
  graph_.attr("yes", "value").mutable_tensor()->set_bool_val(0, false);
  expect_unsupported({"Conv3D"});
}

// A function of the library that returns its one argument, or a dropout of it.
void add_dropout_branch(Graph* graph, const std::string& name, bool drops) {
  proto::FunctionDef& function = *graph->meta().mutable_graph_def()->mutable_library()->add_function();
  function.mutable_signature()->set_name(name);
  function.mutable_signature()->add_input_arg()->set_name("data");
  function.mutable_signature()->add_output_arg()->set_name("out");
  const auto node = [&](const std::string& node_name, const std::string& op, const std::vector<std::string>& inputs) {
    proto::NodeDef& added = *function.add_node_def();
    added.set_name(node_name);
    added.set_op(op);
    for (const std::string& input : inputs) added.add_input(input);
    return &added;
  };
  const auto number = [&](const std::string& node_name, float value) {
    auto& tensor = *(*node(node_name, "Const", {})->mutable_attr())["value"].mutable_tensor();
    tensor.set_dtype(proto::DT_FLOAT);
    tensor.mutable_tensor_shape();
    tensor.add_float_val(value);
  };
  (*function.mutable_ret())["out"] = drops ? "drop:output:0" : "same:output:0";
  if (!drops) {
    node("same", "Identity", {"data"});
    return;
  }
  number("rate", 0.25f);
  number("scale", 1 / 0.75f);
  number("none", 0);
  node("size", "Shape", {"data"});
  node("random", "RandomUniform", {"size:output:0"});
  node("kept", "GreaterEqual", {"random:output:0", "rate:output:0"});
  node("scaled", "Mul", {"data", "scale:output:0"});
  node("drop", "SelectV2", {"kept:z:0", "scaled:z:0", "none:output:0"});
}

TEST_F(NnGraphImport, ConditionOfADropoutNeedsNoValue) {
  add_dropout_branch(&graph_, "training", true);
  add_dropout_branch(&graph_, "predicting", false);
  graph_.node("is_training", "Placeholder");
  proto::NodeDef& condition = graph_.node("if", "If", {"is_training", "reshape"});
  auto& attr = *condition.mutable_attr();
  attr["then_branch"].mutable_func()->set_name("training");
  attr["else_branch"].mutable_func()->set_name("predicting");
  graph_.rewire("matmul", 0, "if");
  auto model = graph_.import();
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_EQ(model->config.layers.size(), 4u);
  EXPECT_EQ(std::get<DropoutConfig>(model->config.layers[2].kind).rate, 0.25);
  EXPECT_THAT(model->warnings, IsEmpty());  // the caller can switch it off
  // Branches that differ in more: the graph must say which.
  const int last = graph_.meta().graph_def().library().function_size() - 1;
  auto& predicting = *graph_.meta().mutable_graph_def()->mutable_library()->mutable_function(last);
  predicting.mutable_node_def(0)->set_op("Relu");
  expect_unsupported({"node `if` (If)", "a condition that decides between two networks"});
}

}  // namespace
}  // namespace lockstep
