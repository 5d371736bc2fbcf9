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
  absl::StatusOr<TrainedModel> import() const { return import_onnx(model_.SerializeAsString(), "hand.onnx"); }

 private:
  onnx::ModelProto model_;
};

class NnOnnxImport : public testing::Test {
 protected:
  // The same layers and the same weights.
  void expect_same_model() {
    const auto model = onnx_.import(), plain = OnnxModel().import();
    ASSERT_TRUE(plain.ok()) << plain.status();
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(to_yaml(model->config), to_yaml(plain->config));
    EXPECT_EQ(weights_hash(*model), weights_hash(*plain));
  }
  void expect_error(absl::StatusCode code, const std::vector<std::string>& parts) {
    const absl::Status status = onnx_.import().status();
    EXPECT_EQ(status.code(), code) << status;
    for (const std::string& part : parts) EXPECT_THAT(std::string(status.message()), HasSubstr(part));
    EXPECT_THAT(std::string(status.message()), HasSubstr("hand.onnx"));
  }
  void expect_unsupported(const std::vector<std::string>& parts) {
    expect_error(absl::StatusCode::kUnimplemented, parts);
  }
  void expect_invalid(const std::vector<std::string>& parts) {
    expect_error(absl::StatusCode::kInvalidArgument, parts);
  }

  OnnxModel onnx_;
};

constexpr char kNetwork[] = R"(
image: {height: 4, width: 4}
classes: 3
layers:
  - conv: {filters: 2, kernel: 3, activation: relu}
  - max_pool: {window: 2}
  - dense: {units: 3}
)";

TEST_F(NnOnnxImport, WeightsChangeFromChannelsFirstToLast) {
  const auto model = onnx_.import();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(to_yaml(model->config), to_yaml(*parse_model_config(kNetwork, "test")));
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
  onnx_.node("Transpose", {"pool"}, "hwc");
  onnx_.ints("hwc", "perm", {0, 2, 3, 1});
  onnx_.at("flat").set_input(0, "hwc");
  const auto model = onnx_.import();
  ASSERT_TRUE(model.ok()) << model.status();
  const Network network = *Network::build(model->config);
  const float* dense = model->weights.data() + network.params()[2].offset;
  for (int i = 0; i < 24; ++i) EXPECT_EQ(dense[i], static_cast<float>(i) / 64) << i;
}

TEST_F(NnOnnxImport, InputMayBeChannelsLastOrFlat) {
  auto& type = *onnx_.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape();
  type.mutable_dim(1)->set_dim_value(4);
  type.mutable_dim(3)->set_dim_value(1);
  onnx_.node("Transpose", {"x"}, "chw");
  onnx_.ints("chw", "perm", {0, 3, 1, 2});
  onnx_.at("conv").set_input(0, "chw");
  expect_same_model();
  type.mutable_dim()->RemoveLast();
  type.mutable_dim()->RemoveLast();
  type.mutable_dim(1)->set_dim_value(16);
  onnx_.shape("image", {-1, 1, 4, 4});
  onnx_.node("Reshape", {"x", "image"}, "reshaped");
  onnx_.at("conv").set_input(0, "reshaped");
  expect_same_model();
}

TEST_F(NnOnnxImport, FlattenMayBeAReshape) {
  onnx_.shape("shape", {0, -1});
  onnx_.at("flat").set_op_type("Reshape");
  onnx_.at("flat").add_input("shape");
  expect_same_model();
  onnx_.tensor("shape").set_int64_data(0, -1);
  onnx_.tensor("shape").set_int64_data(1, 8);
  expect_same_model();
  onnx_.tensor("shape").set_int64_data(1, 4);
  expect_unsupported({"node `flat` (Reshape)", "mixes them"});
}

TEST_F(NnOnnxImport, BatchMayBeFixed) {
  onnx_.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(0)->set_dim_value(
      1);
  onnx_.shape("shape", {1, 8});
  onnx_.at("flat").set_op_type("Reshape");
  onnx_.at("flat").add_input("shape");
  expect_same_model();
}

TEST_F(NnOnnxImport, GemmMayBeMatMulAndAdd) {
  onnx_.node("MatMul", {"flat", "w"}, "product");
  onnx_.at("logits").set_op_type("Add");
  onnx_.at("logits").set_input(0, "c");
  onnx_.at("logits").set_input(1, "product");
  onnx_.at("logits").mutable_input()->RemoveLast();
  expect_same_model();
}

TEST_F(NnOnnxImport, GemmMayTransposeItsKernel) {
  onnx_.tensor("w").set_dims(0, 3);
  onnx_.tensor("w").set_dims(1, 8);
  for (int i = 0; i < 24; ++i) onnx_.tensor("w").set_float_data(i, static_cast<float>(i % 8 * 3 + i / 8) / 64);
  onnx_.attr("logits", "transB").set_i(1);
  expect_same_model();
}

TEST_F(NnOnnxImport, WeightsMayBeRawBytesConstantsOrInputs) {
  onnx::TensorProto& w = onnx_.tensor("w");
  const std::vector<float> values(w.float_data().begin(), w.float_data().end());
  w.set_raw_data(values.data(), values.size() * sizeof(float));
  w.clear_float_data();
  onnx_.graph().add_input()->set_name("k");  // before IR version 4 every initializer was listed
  onnx_.node("Constant", {}, "bias");
  *onnx_.attr("bias", "value").mutable_t() = onnx_.tensor("c");
  onnx_.at("logits").set_input(2, "bias");
  expect_same_model();
}

TEST_F(NnOnnxImport, PaddingMayBeAutomatic) {
  onnx_.at("conv").clear_attribute();
  onnx_.attr("conv", "auto_pad").set_s("SAME_UPPER");
  expect_same_model();
  onnx_.attr("conv", "auto_pad").set_s("SAME_LOWER");
  expect_unsupported({"node `conv` (Conv)", "auto_pad SAME_LOWER"});
}

TEST_F(NnOnnxImport, PadsThatTensorFlowDoesNotKnowAreNamed) {
  onnx_.ints("conv", "pads", {2, 1, 0, 1});
  expect_unsupported({"node `conv` (Conv)", "pads of 2, 1, 0, 1 (top, left, bottom, right)"});
}

TEST_F(NnOnnxImport, DropoutTellsItsRate) {
  onnx_.node("Dropout", {"flat"}, "dropped");
  onnx_.at("logits").set_input(0, "dropped");
  const auto rate = [&] {
    const auto model = onnx_.import();
    return model.ok() ? std::get<DropoutConfig>(model->config.layers.at(2).kind).rate : -1;
  };
  EXPECT_EQ(rate(), 0.5);
  onnx_.attr("dropped", "ratio").set_f(0.4f);
  EXPECT_EQ(rate(), 0.4);
  onnx_.tensor("ratio").set_data_type(onnx::TensorProto::FLOAT);
  onnx_.tensor("ratio").add_float_data(0.3f);
  onnx_.at("dropped").add_input("ratio");
  EXPECT_EQ(rate(), 0.3);
}

TEST_F(NnOnnxImport, AttributesThatChangeTheMeaningAreNamed) {
  onnx_.attr("conv", "group").set_i(2);
  expect_unsupported({"node `conv` (Conv)", "a grouped convolution"});
  onnx_.attr("conv", "group").set_i(1);
  onnx_.ints("conv", "dilations", {2, 2});
  expect_unsupported({"node `conv` (Conv)", "dilations"});
  onnx_.ints("conv", "dilations", {1, 1});
  onnx_.attr("logits", "alpha").set_f(2);
  expect_unsupported({"node `logits` (Gemm)", "alpha"});
  onnx_.attr("logits", "alpha").set_f(1);
  onnx_.attr("y", "axis").set_i(0);
  expect_unsupported({"node `y` (Softmax)", "another axis"});
}

TEST_F(NnOnnxImport, CeilModeIsTakenWhereItChangesNothing) {
  onnx_.attr("pool", "ceil_mode").set_i(1);
  expect_same_model();
  onnx_.ints("pool", "kernel_shape", {3, 3});
  expect_unsupported({"node `pool` (MaxPool)", "ceil_mode"});
}

TEST_F(NnOnnxImport, OperatorOutsideTheFamilyIsNamedWithItsNode) {
  onnx_.at("relu").set_op_type("LeakyRelu");
  onnx_.at("relu").set_name("/features/1");
  expect_unsupported({"node `/features/1` (LeakyRelu)", "this operator is not supported. Supported: Conv, Relu"});
  onnx_.at("relu").set_op_type("Relu");
  onnx_.at("relu").set_domain("com.example");
  expect_unsupported({"node `/features/1` (com.example.Relu)", "another domain"});
}

// Its classes would be others than those of the dense layer.
TEST_F(NnOnnxImport, RearrangedOutputsAreNamed) {
  onnx_.shape("shape", {-1, 3, 1});
  onnx_.node("Reshape", {"logits", "shape"}, "folded");
  onnx_.at("y").set_input(0, "folded");
  expect_unsupported({"node `folded` (Reshape)", "(3, 1)", "one number a class"});
  onnx_.shape("flat_shape", {-1, 3});
  onnx_.node("Reshape", {"folded", "flat_shape"}, "unfolded");
  onnx_.at("y").set_input(0, "unfolded");
  expect_same_model();
}

TEST_F(NnOnnxImport, OnlyClassesBecomeIntegers) {
  onnx_.node("Cast", {"y"}, "whole");
  onnx_.attr("whole", "to").set_i(onnx::TensorProto::INT64);
  onnx_.graph().mutable_output(0)->set_name("whole");
  expect_unsupported({"node `whole` (Cast)", "classes"});
  onnx_.node("ArgMax", {"logits"}, "class");
  onnx_.attr("class", "axis").set_i(1);
  onnx_.at("whole").set_input(0, "class");
  expect_same_model();
}

TEST_F(NnOnnxImport, ScaleOfTheInputIsNamed) {
  onnx_.node("Div", {"x", "c"}, "scaled");
  onnx_.at("conv").set_input(0, "scaled");
  expect_unsupported({"node `scaled` (Div)", "A scale of the input is not supported"});
}

TEST_F(NnOnnxImport, WeightsInAnotherFileAreUnsupported) {
  onnx_.tensor("w").set_data_location(onnx::TensorProto::EXTERNAL);
  expect_unsupported({"tensor `w`", "in another file; save the model as one file"});
}

TEST_F(NnOnnxImport, WeightsMustHaveTheirNumbers) {
  onnx_.tensor("w").set_dims(0, 9);
  expect_error(absl::StatusCode::kDataLoss, {"tensor `w`", "not as many numbers as its shape says"});
  onnx_.tensor("w").set_dims(0, int64_t{1} << 60);
  expect_error(absl::StatusCode::kDataLoss, {"tensor `w`"});
  onnx_.tensor("w").set_dims(0, -8);
  expect_error(absl::StatusCode::kDataLoss, {"tensor `w`"});
  onnx_.tensor("w").set_dims(0, 8);
  onnx_.tensor("w").set_data_type(onnx::TensorProto::DOUBLE);
  expect_unsupported({"tensor `w`", "ONNX's type 11"});
}

TEST_F(NnOnnxImport, WeightsOfAnotherShapeAreNamed) {
  onnx_.weight("v", {6, 3}, 18);
  onnx_.at("logits").set_input(1, "v");
  expect_invalid({"node `logits` (Gemm)", "a kernel `v` of shape (6, 3)", "does not fit 8 inputs"});
}

TEST_F(NnOnnxImport, CyclesAndLooseEndsAreErrors) {
  onnx_.at("conv").set_input(0, "relu");
  expect_invalid({"circle"});
  onnx_.at("conv").set_input(0, "nobody");
  expect_invalid({"no node makes the tensor `nobody`"});
  onnx_.node("Identity", {"i2"}, "i1");
  onnx_.node("Identity", {"i1"}, "i2");
  onnx_.at("conv").set_input(0, "i1");
  expect_invalid({"circles"});
  onnx_.at("conv").set_input(0, "x");
  onnx_.at("relu").clear_input();
  expect_invalid({"node `relu` (Relu)", "expected an input 0, found 0 inputs"});
}

TEST_F(NnOnnxImport, ModelMustBeWhole) {
  EXPECT_TRUE(absl::IsDataLoss(import_onnx("", "empty").status()));
  EXPECT_TRUE(absl::IsDataLoss(import_onnx("no protobuf", "text").status()));
  onnx_.graph().clear_output();
  expect_error(absl::StatusCode::kDataLoss, {"a graph without outputs"});
  onnx_.node("Relu", {"conv"}, "relu");
  expect_error(absl::StatusCode::kDataLoss, {"two nodes make the tensor `relu`"});
  onnx_.model().mutable_opset_import(0)->set_version(6);
  expect_unsupported({"opset 6"});
  onnx_.model().clear_graph();
  expect_error(absl::StatusCode::kDataLoss, {"without a graph"});
}

TEST_F(NnOnnxImport, InputMustBeFloatsOfKnownShape) {
  auto& type = *onnx_.graph().mutable_input(0)->mutable_type()->mutable_tensor_type();
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
