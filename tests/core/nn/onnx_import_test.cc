// SPDX-License-Identifier: Apache-2.0
// ONNX graphs made by hand: what is recognised, and what every other graph is answered.
#include <gmock/gmock.h>

#include "core/nn/import/onnx_import.h"
#include "io/proto/onnx.pb.h"
#include "tests/core/nn/import_fixture.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// images (n, 1, 4, 4) -> Conv 3x3, 2 filters -> Relu -> MaxPool -> Flatten -> Gemm 3 -> Softmax.
class OnnxModel {
 public:
  static constexpr char kFile[] = "hand.onnx";

  OnnxModel() {
    auto* opset = model_.add_opset_import();
    opset->set_domain("");
    opset->set_version(13);
    auto* input = graph().add_input();
    input->set_name("x");
    auto* type = input->mutable_type()->mutable_tensor_type();
    type->set_elem_type(onnx::TensorProto::FLOAT);
    type->mutable_shape()->add_dim()->set_dim_param("n");
    for (const int64_t size : {1, 4, 4}) type->mutable_shape()->add_dim()->set_dim_value(size);
    graph().add_output()->set_name("y");
    weight("k", {2, 1, 3, 3}, 18);
    weight("b", {2}, 2);
    weight("w", {8, 3}, 24);
    weight("c", {3}, 3);
    node("Conv", {"x", "k", "b"}, "conv");
    ints("conv", "pads", {1, 1, 1, 1});
    node("Relu", {"conv"}, "relu");
    node("MaxPool", {"relu"}, "pool");
    ints("pool", "kernel_shape", {2, 2});
    ints("pool", "strides", {2, 2});
    node("Flatten", {"pool"}, "flat");
    node("Gemm", {"flat", "w", "c"}, "logits");
    node("Softmax", {"logits"}, "y");
  }

  onnx::GraphProto& graph() { return *model_.mutable_graph(); }
  onnx::ModelProto& model() { return model_; }
  // A node that makes tensor `output`.
  onnx::NodeProto& node(const std::string& op, const std::vector<std::string>& inputs, const std::string& output) {
    onnx::NodeProto& added = *graph().add_node();
    added.set_op_type(op);
    for (const std::string& input : inputs) added.add_input(input);
    added.add_output(output);
    return added;
  }
  onnx::NodeProto& at(const std::string& output) {
    for (onnx::NodeProto& node : *graph().mutable_node()) {
      if (node.output(0) == output) return node;
    }
    LOCKSTEP_CHECK(false);
    std::abort();
  }
  onnx::AttributeProto& attr(const std::string& output, const std::string& name) {
    for (onnx::AttributeProto& attribute : *at(output).mutable_attribute()) {
      if (attribute.name() == name) return attribute;
    }
    onnx::AttributeProto& added = *at(output).add_attribute();
    added.set_name(name);
    return added;
  }
  void ints(const std::string& output, const std::string& name, const std::vector<int64_t>& values) {
    attr(output, name).clear_ints();
    for (const int64_t value : values) attr(output, name).add_ints(value);
  }
  onnx::TensorProto& tensor(const std::string& name) {
    for (onnx::TensorProto& tensor : *graph().mutable_initializer()) {
      if (tensor.name() == name) return tensor;
    }
    onnx::TensorProto& added = *graph().add_initializer();
    added.set_name(name);
    return added;
  }
  // Numbers 0, 1, 2, … / 64.
  void weight(const std::string& name, const std::vector<int64_t>& sizes, int count) {
    onnx::TensorProto& added = tensor(name);
    added.set_data_type(onnx::TensorProto::FLOAT);
    added.clear_float_data();
    for (const int64_t size : sizes) added.add_dims(size);
    for (int i = 0; i < count; ++i) added.add_float_data(static_cast<float>(i) / 64);
  }
  void shape(const std::string& name, const std::vector<int64_t>& sizes) {
    onnx::TensorProto& added = tensor(name);
    added.set_data_type(onnx::TensorProto::INT64);
    added.add_dims(static_cast<int64_t>(sizes.size()));
    for (const int64_t size : sizes) added.add_int64_data(size);
  }
  absl::StatusOr<TrainedModel> import() const { return import_onnx(model_.SerializeAsString(), kFile); }

 private:
  onnx::ModelProto model_;
};

class NnOnnxImport : public HandMadeImport<OnnxModel> {
 protected:
  // The same layers and the same weights.
  void expect_same_model() {
    const auto model = graph_.import(), plain = OnnxModel().import();
    ASSERT_TRUE(plain.ok()) << plain.status();
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(to_yaml(model->config), to_yaml(plain->config));
    EXPECT_EQ(weights_hash(*model), weights_hash(*plain));
  }
};

TEST_F(NnOnnxImport, WeightsChangeFromChannelsFirstToLast) {
  const auto model = graph_.import();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(to_yaml(model->config), to_yaml(*parse_model_config(kHandMadeNetwork, "test")));
  EXPECT_THAT(model->sources, ElementsAre("k", "b", "w", "c"));
  EXPECT_THAT(model->warnings, IsEmpty());
  const Network network = *Network::build(model->config);
  const float* conv = model->weights.data() + network.params()[0].offset;   // (h, w, i, o)
  const float* dense = model->weights.data() + network.params()[2].offset;  // rows (h, w, c)
  for (int i = 0; i < 18; ++i) EXPECT_EQ(conv[i], static_cast<float>(i % 2 * 9 + i / 2) / 64) << i;
  for (int i = 0; i < 24; ++i) {
    const int row = i / 3, theirs = row % 2 * 4 + row / 2;
    EXPECT_EQ(dense[i], static_cast<float>(theirs * 3 + i % 3) / 64) << i;
  }
}

// Another way to say the same: the image is moved to channels last before it is flattened. The rows then are ours.
TEST_F(NnOnnxImport, TransposeBeforeTheFlattenLeavesTheRowsAlone) {
  graph_.node("Transpose", {"pool"}, "hwc");
  graph_.ints("hwc", "perm", {0, 2, 3, 1});
  graph_.at("flat").set_input(0, "hwc");
  const auto model = graph_.import();
  ASSERT_TRUE(model.ok()) << model.status();
  const Network network = *Network::build(model->config);
  const float* dense = model->weights.data() + network.params()[2].offset;
  for (int i = 0; i < 24; ++i) EXPECT_EQ(dense[i], static_cast<float>(i) / 64) << i;
}

TEST_F(NnOnnxImport, InputMayBeChannelsLastOrFlat) {
  auto& type = *graph_.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape();
  type.mutable_dim(1)->set_dim_value(4);
  type.mutable_dim(3)->set_dim_value(1);
  graph_.node("Transpose", {"x"}, "chw");
  graph_.ints("chw", "perm", {0, 3, 1, 2});
  graph_.at("conv").set_input(0, "chw");
  expect_same_model();
  type.mutable_dim()->RemoveLast();
  type.mutable_dim()->RemoveLast();
  type.mutable_dim(1)->set_dim_value(16);
  graph_.shape("image", {-1, 1, 4, 4});
  graph_.node("Reshape", {"x", "image"}, "reshaped");
  graph_.at("conv").set_input(0, "reshaped");
  expect_same_model();
}

TEST_F(NnOnnxImport, FlattenMayBeAReshape) {
  graph_.shape("shape", {0, -1});
  graph_.at("flat").set_op_type("Reshape");
  graph_.at("flat").add_input("shape");
  expect_same_model();
  graph_.tensor("shape").set_int64_data(0, -1);
  graph_.tensor("shape").set_int64_data(1, 8);
  expect_same_model();
  graph_.tensor("shape").set_int64_data(1, 4);
  expect_unsupported({"node `flat` (Reshape)", "mixes them"});
}

TEST_F(NnOnnxImport, BatchMayBeFixed) {
  graph_.graph()
      .mutable_input(0)
      ->mutable_type()
      ->mutable_tensor_type()
      ->mutable_shape()
      ->mutable_dim(0)
      ->set_dim_value(1);
  graph_.shape("shape", {1, 8});
  graph_.at("flat").set_op_type("Reshape");
  graph_.at("flat").add_input("shape");
  expect_same_model();
}

TEST_F(NnOnnxImport, GemmMayBeMatMulAndAdd) {
  graph_.node("MatMul", {"flat", "w"}, "product");
  graph_.at("logits").set_op_type("Add");
  graph_.at("logits").set_input(0, "c");
  graph_.at("logits").set_input(1, "product");
  graph_.at("logits").mutable_input()->RemoveLast();
  expect_same_model();
}

TEST_F(NnOnnxImport, GemmMayTransposeItsKernel) {
  graph_.tensor("w").set_dims(0, 3);
  graph_.tensor("w").set_dims(1, 8);
  for (int i = 0; i < 24; ++i) graph_.tensor("w").set_float_data(i, static_cast<float>(i % 8 * 3 + i / 8) / 64);
  graph_.attr("logits", "transB").set_i(1);
  expect_same_model();
}

TEST_F(NnOnnxImport, WeightsMayBeRawBytesConstantsOrInputs) {
  onnx::TensorProto& w = graph_.tensor("w");
  const std::vector<float> values(w.float_data().begin(), w.float_data().end());
  w.set_raw_data(values.data(), values.size() * sizeof(float));
  w.clear_float_data();
  graph_.graph().add_input()->set_name("k");  // before IR version 4 every initializer was listed
  graph_.node("Constant", {}, "bias");
  *graph_.attr("bias", "value").mutable_t() = graph_.tensor("c");
  graph_.at("logits").set_input(2, "bias");
  expect_same_model();
}

TEST_F(NnOnnxImport, PaddingMayBeAutomatic) {
  graph_.at("conv").clear_attribute();
  graph_.attr("conv", "auto_pad").set_s("SAME_UPPER");
  expect_same_model();
  graph_.attr("conv", "auto_pad").set_s("SAME_LOWER");
  expect_unsupported({"node `conv` (Conv)", "auto_pad SAME_LOWER"});
}

TEST_F(NnOnnxImport, PadsThatTensorFlowDoesNotKnowAreNamed) {
  graph_.ints("conv", "pads", {2, 1, 0, 1});
  expect_unsupported({"node `conv` (Conv)", "pads of 2, 1, 0, 1 (top, left, bottom, right)"});
}

TEST_F(NnOnnxImport, DropoutTellsItsRate) {
  graph_.node("Dropout", {"flat"}, "dropped");
  graph_.at("logits").set_input(0, "dropped");
  const auto rate = [&] {
    const auto model = graph_.import();
    return model.ok() ? std::get<DropoutConfig>(model->config.layers.at(2).kind).rate : -1;
  };
  EXPECT_EQ(rate(), 0.5);
  graph_.attr("dropped", "ratio").set_f(0.4f);
  EXPECT_EQ(rate(), 0.4);
  graph_.tensor("ratio").set_data_type(onnx::TensorProto::FLOAT);
  graph_.tensor("ratio").add_float_data(0.3f);
  graph_.at("dropped").add_input("ratio");
  EXPECT_EQ(rate(), 0.3);
}

TEST_F(NnOnnxImport, DropoutOfTrainingIsNamed) {
  graph_.node("Dropout", {"flat", "", "training"}, "dropped");
  graph_.at("logits").set_input(0, "dropped");
  onnx::TensorProto& training = graph_.tensor("training");
  training.set_data_type(onnx::TensorProto::BOOL);
  training.add_int32_data(0);
  EXPECT_TRUE(graph_.import().ok()) << graph_.import().status();
  training.set_int32_data(0, 1);
  expect_unsupported({"node `dropped` (Dropout)", "training_mode `training`"});
  training.clear_int32_data();
  training.set_raw_data(std::string(1, '\1'));
  expect_unsupported({"node `dropped` (Dropout)", "training_mode"});
  training.set_raw_data(std::string(1, '\0'));
  EXPECT_TRUE(graph_.import().ok()) << graph_.import().status();
  // Neither known nor false: who feeds it may drop.
  training.set_data_type(onnx::TensorProto::FLOAT);
  expect_unsupported({"node `dropped` (Dropout)", "training_mode"});
  graph_.graph().mutable_initializer()->RemoveLast();
  graph_.graph().add_input()->set_name("training");
  expect_unsupported({"node `dropped` (Dropout)", "training_mode"});
}

TEST_F(NnOnnxImport, DropoutTakesNothingButOneBooleanForFalse) {
  graph_.node("Constant", {}, "constant");
  onnx::TensorProto& training = *graph_.attr("constant", "value").mutable_t();
  training.set_data_type(onnx::TensorProto::BOOL);
  training.add_int32_data(0);
  graph_.node("Identity", {"constant"}, "training");
  graph_.node("Dropout", {"flat", "", "training"}, "dropped");
  graph_.at("logits").set_input(0, "dropped");
  EXPECT_TRUE(graph_.import().ok()) << graph_.import().status();
  training.set_int32_data(0, 256);
  expect_unsupported({"node `dropped` (Dropout)", "training_mode"});
  training.set_int32_data(0, 0);
  training.add_int32_data(0);
  expect_unsupported({"node `dropped` (Dropout)", "training_mode"});
  training.clear_int32_data();
  expect_unsupported({"node `dropped` (Dropout)", "training_mode"});
  training.set_raw_data(std::string(4, '\0'));
  expect_unsupported({"node `dropped` (Dropout)", "training_mode"});
}

TEST_F(NnOnnxImport, AttributesThatChangeTheMeaningAreNamed) {
  graph_.attr("conv", "group").set_i(2);
  expect_unsupported({"node `conv` (Conv)", "a grouped convolution"});
  graph_.attr("conv", "group").set_i(1);
  graph_.ints("conv", "dilations", {2, 2});
  expect_unsupported({"node `conv` (Conv)", "dilations"});
  graph_.ints("conv", "dilations", {1, 1});
  graph_.attr("logits", "alpha").set_f(2);
  expect_unsupported({"node `logits` (Gemm)", "alpha"});
  graph_.attr("logits", "alpha").set_f(1);
  graph_.attr("y", "axis").set_i(0);
  expect_unsupported({"node `y` (Softmax)", "another axis"});
}

TEST_F(NnOnnxImport, CeilModeIsTakenWhereItChangesNothing) {
  graph_.attr("pool", "ceil_mode").set_i(1);
  expect_same_model();
  graph_.ints("pool", "kernel_shape", {3, 3});
  expect_unsupported({"node `pool` (MaxPool)", "ceil_mode"});
}

TEST_F(NnOnnxImport, OperatorOutsideTheFamilyIsNamedWithItsNode) {
  graph_.at("relu").set_op_type("LeakyRelu");
  graph_.at("relu").set_name("/features/1");
  expect_unsupported({"node `/features/1` (LeakyRelu)", "this operator is not supported. Supported: Conv, Relu"});
  graph_.at("relu").set_op_type("Relu");
  graph_.at("relu").set_domain("com.example");
  expect_unsupported({"node `/features/1` (com.example.Relu)", "another domain"});
}

// Its classes would be others than those of the dense layer.
TEST_F(NnOnnxImport, RearrangedOutputsAreNamed) {
  graph_.shape("shape", {-1, 3, 1});
  graph_.node("Reshape", {"logits", "shape"}, "folded");
  graph_.at("y").set_input(0, "folded");
  expect_unsupported({"node `folded` (Reshape)", "(3, 1)", "one number a class"});
  graph_.shape("flat_shape", {-1, 3});
  graph_.node("Reshape", {"folded", "flat_shape"}, "unfolded");
  graph_.at("y").set_input(0, "unfolded");
  expect_same_model();
}

TEST_F(NnOnnxImport, OnlyClassesBecomeIntegers) {
  graph_.node("Cast", {"y"}, "whole");
  graph_.attr("whole", "to").set_i(onnx::TensorProto::INT64);
  graph_.graph().mutable_output(0)->set_name("whole");
  expect_unsupported({"node `whole` (Cast)", "classes"});
  graph_.node("ArgMax", {"logits"}, "class");
  graph_.attr("class", "axis").set_i(1);
  graph_.at("whole").set_input(0, "class");
  expect_same_model();
  graph_.attr("whole", "to").set_i(onnx::TensorProto::INT32);
  expect_same_model();
  graph_.attr("whole", "to").set_i(onnx::TensorProto::BOOL);
  expect_unsupported({"node `whole` (Cast)", "of classes to anything but"});
}

TEST_F(NnOnnxImport, ScaleOfTheInputIsNamed) {
  graph_.node("Div", {"x", "c"}, "scaled");
  graph_.at("conv").set_input(0, "scaled");
  expect_unsupported({"node `scaled` (Div)", "A scale of the input is not supported"});
}

TEST_F(NnOnnxImport, WeightsInAnotherFileAreUnsupported) {
  graph_.tensor("w").set_data_location(onnx::TensorProto::EXTERNAL);
  expect_unsupported({"tensor `w`", "in another file; save the model as one file"});
}

TEST_F(NnOnnxImport, WeightsMustHaveTheirNumbers) {
  graph_.tensor("w").set_dims(0, 9);
  expect_error(absl::StatusCode::kDataLoss, {"tensor `w`", "not as many numbers as its shape says"});
  graph_.tensor("w").set_dims(0, int64_t{1} << 60);
  expect_error(absl::StatusCode::kDataLoss, {"tensor `w`"});
  graph_.tensor("w").set_dims(0, -8);
  expect_error(absl::StatusCode::kDataLoss, {"tensor `w`"});
  graph_.tensor("w").set_dims(0, 8);
  graph_.tensor("w").set_data_type(onnx::TensorProto::DOUBLE);
  expect_unsupported({"tensor `w`", "ONNX's type 11"});
}

TEST_F(NnOnnxImport, WeightsOfAnotherShapeAreNamed) {
  graph_.weight("v", {6, 3}, 18);
  graph_.at("logits").set_input(1, "v");
  expect_invalid({"node `logits` (Gemm)", "a kernel `v` of shape (6, 3)", "does not fit 8 inputs"});
}

TEST_F(NnOnnxImport, CyclesAndLooseEndsAreErrors) {
  graph_.at("conv").set_input(0, "relu");
  expect_invalid({"circle"});
  graph_.at("conv").set_input(0, "nobody");
  expect_invalid({"no node makes the tensor `nobody`"});
  graph_.node("Identity", {"i2"}, "i1");
  graph_.node("Identity", {"i1"}, "i2");
  graph_.at("conv").set_input(0, "i1");
  expect_invalid({"circles"});
  graph_.at("conv").set_input(0, "x");
  graph_.at("relu").clear_input();
  expect_invalid({"node `relu` (Relu)", "expected an input 0, found 0 inputs"});
}

TEST_F(NnOnnxImport, ModelMustBeWhole) {
  EXPECT_TRUE(absl::IsDataLoss(import_onnx("", "empty").status()));
  EXPECT_TRUE(absl::IsDataLoss(import_onnx("no protobuf", "text").status()));
  graph_.graph().clear_output();
  expect_error(absl::StatusCode::kDataLoss, {"a graph without outputs"});
  graph_.node("Relu", {"conv"}, "relu");
  expect_error(absl::StatusCode::kDataLoss, {"two nodes make the tensor `relu`"});
  graph_.model().mutable_opset_import(0)->set_version(6);
  expect_unsupported({"opset 6"});
  graph_.model().clear_graph();
  expect_error(absl::StatusCode::kDataLoss, {"without a graph"});
}

TEST_F(NnOnnxImport, InputMustBeFloatsOfKnownShape) {
  auto& type = *graph_.graph().mutable_input(0)->mutable_type()->mutable_tensor_type();
  type.mutable_shape()->mutable_dim(2)->set_dim_param("height");
  expect_invalid({"input `x`", "every size must be known"});
  type.set_elem_type(11);
  expect_unsupported({"input `x`", "of ONNX's type 11"});
  type.set_elem_type(onnx::TensorProto::FLOAT);
  type.clear_shape();
  expect_unsupported({"input `x`", "unknown shape"});
}

}  // namespace
}  // namespace lockstep
