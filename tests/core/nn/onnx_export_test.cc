// SPDX-License-Identifier: Apache-2.0
// The ONNX model, node by node; docs/formats/onnx.md has the same list.
#include "core/nn/onnx_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "core/nn/init.h"
#include "io/proto/onnx.pb.h"
#include "tests/support/documented_bytes.h"
#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using onnx::TensorProto;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kUnusual[] = R"(
image: {height: 9, width: 8, depth: 3}
classes: 4
layers:
  - conv: {filters: 5, kernel: 2, stride: 1}
  - dropout: {rate: 0.25}
  - max_pool: {window: 3, stride: 2, padding: same}
  - conv: {filters: 6, kernel: 2, stride: 3, padding: same, activation: relu}
  - dense: {units: 6}
  - conv: {filters: 7, kernel: 1, activation: relu}
  - dense: {units: 4}
)";

class OnnxExport : public testing::Test {
 protected:
  void use(ModelConfig config) {
    config_ = std::move(config);
    network_ = *Network::build(config_);
    weights_.resize(static_cast<size_t>(network_.params().buffer_size()));
    initialize_weights(network_.params(), 7, weights_.data());
    const auto bytes = onnx_bytes(config_, network_, weights_.data(), 1100);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    ASSERT_TRUE(model_.ParseFromString(*bytes));
    for (const auto& tensor : model_.graph().initializer()) {
      EXPECT_TRUE(constants_.emplace(tensor.name(), &tensor).second) << tensor.name();
    }
  }

  // "Conv conv2d/Relu <- a, b [kernel_shape 2 2]", one for each node.
  std::vector<std::string> lines() const {
    std::vector<std::string> lines;
    for (const auto& node : model_.graph().node()) {
      std::string line = fmt::format("{} {} <- {}", node.op_type(), node.output(0), fmt::join(node.input(), ", "));
      for (const auto& attribute : node.attribute()) {
        line += attribute.type() == onnx::AttributeProto::INT
                    ? fmt::format(" {}={}", attribute.name(), attribute.i())
                    : fmt::format(" {}={}", attribute.name(), fmt::join(attribute.ints(), ","));
      }
      lines.push_back(line);
    }
    return lines;
  }

  template <typename T>
  std::vector<T> values(const std::string& name) const {
    const std::string& raw = constants_.at(name)->raw_data();
    std::vector<T> values(raw.size() / sizeof(T));
    std::memcpy(values.data(), raw.data(), raw.size());
    return values;
  }
  std::vector<int64_t> dims(const std::string& name) const {
    const auto& dims = constants_.at(name)->dims();
    return {dims.begin(), dims.end()};
  }
  const float* weights_of(const std::string& name) const {
    for (const Param& param : network_.params().params()) {
      if (param.name == name) return weights_.data() + param.offset;
    }
    return nullptr;
  }

  ModelConfig config_;
  Network network_;
  std::vector<float> weights_;
  onnx::ModelProto model_;
  std::map<std::string, const TensorProto*> constants_;
};

TEST_F(OnnxExport, ReferenceModelNodeByNode) {
  use(*load_model_config(std::string(LOCKSTEP_SOURCE_DIR) + "/configs/models/mnist_cnn.yaml"));
  EXPECT_THAT(
      lines(),
      ElementsAre("Reshape conv2d/Reshape <- inputs, conv2d/Reshape/shape",
                  "Conv conv2d/Conv <- conv2d/Reshape, conv2d/kernel, conv2d/bias kernel_shape=5,5 strides=1,1 "
                  "pads=2,2,2,2",
                  "Relu conv2d/Relu <- conv2d/Conv",
                  "MaxPool max_pooling2d/MaxPool <- conv2d/Relu kernel_shape=2,2 strides=2,2 pads=0,0,0,0",
                  "Conv conv2d_1/Conv <- max_pooling2d/MaxPool, conv2d_1/kernel, conv2d_1/bias kernel_shape=5,5 "
                  "strides=1,1 pads=2,2,2,2",
                  "Relu conv2d_1/Relu <- conv2d_1/Conv",
                  "MaxPool max_pooling2d_1/MaxPool <- conv2d_1/Relu kernel_shape=2,2 strides=2,2 pads=0,0,0,0",
                  "Flatten dense/Flatten <- max_pooling2d_1/MaxPool axis=1",
                  "Gemm dense/Gemm <- dense/Flatten, dense/kernel, dense/bias", "Relu dense/Relu <- dense/Gemm",
                  "Dropout dropout/Dropout <- dense/Relu, dropout/rate",
                  "Gemm dense_1/Gemm <- dropout/Dropout, dense_1/kernel, dense_1/bias",
                  "Softmax probabilities <- dense_1/Gemm axis=1", "ArgMax classes <- dense_1/Gemm axis=1 keepdims=0"));
  EXPECT_THAT(values<int64_t>("conv2d/Reshape/shape"), ElementsAre(-1, 1, 28, 28));
  EXPECT_THAT(dims("conv2d_1/kernel"), ElementsAre(64, 32, 5, 5));
  EXPECT_THAT(values<float>("dropout/rate"), ElementsAre(0.4f));
}

TEST_F(OnnxExport, HeaderAndInterface) {
  use(*load_model_config(std::string(LOCKSTEP_SOURCE_DIR) + "/configs/models/mnist_cnn.yaml"));
  EXPECT_EQ(model_.ir_version(), 7);
  ASSERT_EQ(model_.opset_import_size(), 1);
  EXPECT_EQ(model_.opset_import(0).domain(), "");
  EXPECT_EQ(model_.opset_import(0).version(), 13);
  EXPECT_EQ(model_.metadata_props(0).key(), "global_step");
  EXPECT_EQ(model_.metadata_props(0).value(), "1100");
  const auto check = [](const onnx::ValueInfoProto& info, const char* name, int type, int64_t size) {
    EXPECT_EQ(info.name(), name);
    const auto& tensor = info.type().tensor_type();
    EXPECT_EQ(tensor.elem_type(), type);
    ASSERT_EQ(tensor.shape().dim_size(), size == 0 ? 1 : 2);
    EXPECT_EQ(tensor.shape().dim(0).dim_param(), "N");
    if (size > 0) {
      EXPECT_EQ(tensor.shape().dim(1).dim_value(), size);
    }
  };
  ASSERT_EQ(model_.graph().input_size(), 1);
  check(model_.graph().input(0), "inputs", TensorProto::FLOAT, 784);
  ASSERT_EQ(model_.graph().output_size(), 2);
  check(model_.graph().output(0), "classes", TensorProto::INT64, 0);
  check(model_.graph().output(1), "probabilities", TensorProto::FLOAT, 10);
}

TEST_F(OnnxExport, UnusualModelNodeByNode) {
  use(*parse_model_config(kUnusual, "test"));
  EXPECT_THAT(
      lines(),
      ElementsAre("Reshape conv2d/Reshape <- inputs, conv2d/Reshape/shape",
                  "Transpose conv2d/Transpose <- conv2d/Reshape perm=0,3,1,2",
                  // TensorFlow pads an even kernel behind.
                  "Conv conv2d/Conv <- conv2d/Transpose, conv2d/kernel, conv2d/bias kernel_shape=2,2 strides=1,1 "
                  "pads=0,0,1,1",
                  "Dropout dropout/Dropout <- conv2d/Conv, dropout/rate",
                  // 9 rows give 5 with one before and one behind, 8 columns give 4 with one behind.
                  "MaxPool max_pooling2d/MaxPool <- dropout/Dropout kernel_shape=3,3 strides=2,2 pads=1,0,1,1",
                  // Windows that leave gaps: nothing to pad.
                  "Conv conv2d_1/Conv <- max_pooling2d/MaxPool, conv2d_1/kernel, conv2d_1/bias kernel_shape=2,2 "
                  "strides=3,3 pads=0,0,0,1",
                  "Relu conv2d_1/Relu <- conv2d_1/Conv", "Flatten dense/Flatten <- conv2d_1/Relu axis=1",
                  "Gemm dense/Gemm <- dense/Flatten, dense/kernel, dense/bias",
                  "Reshape conv2d_2/Reshape <- dense/Gemm, conv2d_2/Reshape/shape",
                  "Conv conv2d_2/Conv <- conv2d_2/Reshape, conv2d_2/kernel, conv2d_2/bias kernel_shape=1,1 "
                  "strides=1,1 pads=0,0,0,0",
                  "Relu conv2d_2/Relu <- conv2d_2/Conv", "Flatten dense_1/Flatten <- conv2d_2/Relu axis=1",
                  "Gemm dense_1/Gemm <- dense_1/Flatten, dense_1/kernel, dense_1/bias",
                  "Softmax probabilities <- dense_1/Gemm axis=1", "ArgMax classes <- dense_1/Gemm axis=1 keepdims=0"));
  EXPECT_THAT(values<int64_t>("conv2d/Reshape/shape"), ElementsAre(-1, 9, 8, 3));
  EXPECT_THAT(values<int64_t>("conv2d_2/Reshape/shape"), ElementsAre(-1, 6, 1, 1));
}

TEST_F(OnnxExport, FiltersGoFromHwioToOihw) {
  use(*parse_model_config(kUnusual, "test"));
  const int64_t R = 2, S = 2, C = 3, K = 5;
  EXPECT_THAT(dims("conv2d/kernel"), ElementsAre(K, C, R, S));
  const std::vector<float> oihw = values<float>("conv2d/kernel");
  const float* hwio = weights_of("conv2d/kernel");
  for (int64_t k = 0; k < K; ++k) {
    for (int64_t c = 0; c < C; ++c) {
      for (int64_t r = 0; r < R; ++r) {
        for (int64_t s = 0; s < S; ++s) {
          EXPECT_EQ(oihw[static_cast<size_t>(((k * C + c) * R + r) * S + s)], hwio[((r * S + s) * C + c) * K + k]);
        }
      }
    }
  }
  EXPECT_EQ(values<float>("conv2d/bias"), std::vector<float>(5));
}

TEST_F(OnnxExport, RowsBehindAnImageFollowItsChannels) {
  use(*parse_model_config(kUnusual, "test"));
  const int64_t H = 2, W = 2, C = 6, O = 6;  // rows: ceil(5 / 3), columns: ceil(4 / 3)
  EXPECT_THAT(dims("dense/kernel"), ElementsAre(H * W * C, O));
  const std::vector<float> rows = values<float>("dense/kernel");
  const float* nhwc = weights_of("dense/kernel");
  for (int64_t c = 0; c < C; ++c) {
    for (int64_t p = 0; p < H * W; ++p) {
      for (int64_t o = 0; o < O; ++o) {
        EXPECT_EQ(rows[static_cast<size_t>((c * H * W + p) * O + o)], nhwc[(p * C + c) * O + o]);
      }
    }
  }
}

TEST_F(OnnxExport, RowsBehindVectorsStay) {
  use(*parse_model_config(
      "image: {height: 3, width: 2, depth: 3}\nclasses: 2\nlayers:\n  - dense: {units: 5}\n  - dense: {units: 2}\n",
      "test"));
  EXPECT_THAT(lines()[0], HasSubstr("Gemm dense/Gemm <- inputs"));
  for (const char* name : {"dense/kernel", "dense_1/kernel"}) {
    const std::vector<float> rows = values<float>(name);
    EXPECT_TRUE(std::equal(rows.begin(), rows.end(), weights_of(name))) << name;
  }
}

TEST_F(OnnxExport, FileIsWholeOrNotThere) {
  use(*parse_model_config(kUnusual, "test"));
  const TmpDir dir;
  const std::string path = dir.file("new/model.onnx");
  ASSERT_TRUE(export_onnx(path, config_, network_, weights_.data(), 1100).ok());
  const std::string good = slurp(path);
  EXPECT_EQ(good, *onnx_bytes(config_, network_, weights_.data(), 1100));
  NoSpaceAfter fault(100);
  const ScopedFileHooks hooks(&fault);
  const absl::Status status = export_onnx(path, config_, network_, weights_.data(), 1101);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot write"));
  EXPECT_EQ(slurp(path), good);
  EXPECT_THAT(list_directory(dir.file("new")).value(), ElementsAre("model.onnx"));
}

TEST_F(OnnxExport, WritesTheDocumentedExample) {
  const ModelConfig config =
      *parse_model_config("image: {height: 1, width: 2}\nclasses: 2\nlayers:\n  - dense: {units: 2}\n", "test");
  const Network network = *Network::build(config);
  const std::vector<Param>& params = network.params().params();
  std::vector<float> weights(static_cast<size_t>(network.params().buffer_size()));
  for (int i = 0; i < 4; ++i) weights[static_cast<size_t>(params[0].offset + i)] = static_cast<float>(i + 1);
  weights[static_cast<size_t>(params[1].offset)] = 0.5f;
  weights[static_cast<size_t>(params[1].offset + 1)] = -0.5f;
  const auto documented = documented_bytes(std::string(LOCKSTEP_SOURCE_DIR) + "/docs/formats/onnx.md", 0);
  EXPECT_THAT(documented, ElementsAre(*onnx_bytes(config, network, weights.data(), 200)));
}

TEST_F(OnnxExport, ModelThatNoProtobufHoldsIsRefused) {
  const ModelConfig config = *parse_model_config(
      "image: {height: 1000, width: 600}\nclasses: 2\nlayers:\n  - dense: {units: 1000}\n  - dense: {units: 2}\n",
      "test");
  const auto bytes = onnx_bytes(config, *Network::build(config), nullptr, 1);
  EXPECT_THAT(std::string(bytes.status().message()), HasSubstr("too many for an ONNX file"));
}

}  // namespace
}  // namespace lockstep
