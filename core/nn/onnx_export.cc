// SPDX-License-Identifier: Apache-2.0
#include "core/nn/onnx_export.h"

#include <fmt/format.h>

#include <bit>
#include <vector>

#include "core/base/file.h"
#include "core/nn/layer_list.h"
#include "io/proto/onnx.pb.h"
#include "io/protobuf_bytes.h"
#include "io/tensor_bundle.h"

namespace lockstep {
namespace {

using onnx::AttributeProto;
using onnx::NodeProto;
using onnx::TensorProto;

static_assert(std::endian::native == std::endian::little);  // raw_data is copied as it lies in memory

constexpr int kIrVersion = 7, kOpset = 13;                          // ONNX 1.8
constexpr int64_t kMaxParameters = (int64_t{1} << 29) - (1 << 20);  // 2 GiB of floats, less room for the graph
constexpr char kInput[] = "inputs", kClasses[] = "classes", kProbabilities[] = "probabilities";
constexpr char kBatch[] = "N";

// (R, S, C, K) to (K, C, R, S).
std::vector<float> filters_to_oihw(const float* filters, const std::vector<int64_t>& shape) {
  const int64_t R = shape[0], S = shape[1], C = shape[2], K = shape[3];
  std::vector<float> out(static_cast<size_t>(R * S * C * K));
  for (int64_t rs = 0; rs < R * S; ++rs) {
    for (int64_t c = 0; c < C; ++c) {
      for (int64_t k = 0; k < K; ++k) {
        out[static_cast<size_t>((k * C + c) * R * S + rs)] = filters[(rs * C + c) * K + k];
      }
    }
  }
  return out;
}

// Rows of a kernel (H * W * C, O) from the order (h, w, c) to (c, h, w), in which ONNX flattens the image before it.
std::vector<float> rows_to_chw(const float* kernel, const FeatureShape& image, int64_t O) {
  const int64_t pixels = int64_t{image.height} * image.width, C = image.channels;
  std::vector<float> out(static_cast<size_t>(pixels * C * O));
  for (int64_t p = 0; p < pixels; ++p) {
    for (int64_t c = 0; c < C; ++c) {
      std::copy_n(kernel + (p * C + c) * O, O, out.data() + (c * pixels + p) * O);
    }
  }
  return out;
}

class OnnxBuilder {
 public:
  OnnxBuilder(const Network& network, const float* weights, onnx::GraphProto* graph)
      : network_(network), weights_(weights), graph_(graph) {}

  void build(const std::vector<ListedLayer>& layers) {
    graph_->set_name("lockstep");
    describe(graph_->add_input(), kInput, TensorProto::FLOAT, {network_.input().size()});
    at_ = kInput;
    for (const ListedLayer& layer : layers) {
      std::visit([&](const auto& kind) { add_layer(kind, layer); }, layer.config.kind);
    }
    add_outputs();
  }

 private:
  // How the current activation lies in memory, (N, …).
  enum class Order { kFlatHwc, kFlatChw, kImage };

  // A tensor of the model's interface: (N, sizes…).
  void describe(onnx::ValueInfoProto* info, const char* name, TensorProto::DataType type,
                const std::vector<int64_t>& sizes) {
    info->set_name(name);
    auto* tensor = info->mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(type);
    tensor->mutable_shape()->add_dim()->set_dim_param(kBatch);
    for (const int64_t size : sizes) tensor->mutable_shape()->add_dim()->set_dim_value(size);
  }

  NodeProto* add(const char* op, const std::string& name, const std::vector<std::string>& inputs,
                 const std::string& output) {
    NodeProto* node = graph_->add_node();
    node->set_op_type(op);
    node->set_name(name);
    for (const std::string& input : inputs) node->add_input(input);
    node->add_output(output);
    return node;
  }

  // Appends a node behind the last one; its output has its name.
  NodeProto* then(const char* op, const std::string& name, const std::vector<std::string>& further_inputs = {}) {
    std::vector<std::string> inputs{at_};
    inputs.insert(inputs.end(), further_inputs.begin(), further_inputs.end());
    at_ = name;
    return add(op, name, inputs, name);
  }

  void set_int(NodeProto* node, const char* name, int64_t value) {
    AttributeProto* attribute = node->add_attribute();
    attribute->set_name(name);
    attribute->set_type(AttributeProto::INT);
    attribute->set_i(value);
  }
  void set_ints(NodeProto* node, const char* name, const std::vector<int64_t>& values) {
    AttributeProto* attribute = node->add_attribute();
    attribute->set_name(name);
    attribute->set_type(AttributeProto::INTS);
    attribute->mutable_ints()->Assign(values.begin(), values.end());
  }

  std::string constant(const std::string& name, TensorProto::DataType type, const std::vector<int64_t>& shape,
                       std::string_view bytes) {
    TensorProto* tensor = graph_->add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(type);
    tensor->mutable_dims()->Assign(shape.begin(), shape.end());
    tensor->set_raw_data(std::string(bytes));
    return name;
  }
  std::string floats(const std::string& name, const std::vector<int64_t>& shape, std::span<const float> values) {
    return constant(name, TensorProto::FLOAT, shape, bytes_of(values));
  }
  std::string parameter(const Param& param) {
    return floats(param.name, param.shape, {weights_ + param.offset, static_cast<size_t>(param.size)});
  }

  void reshape(const std::string& name, const std::vector<int64_t>& sizes) {
    const std::string shape =
        constant(name + "/shape", TensorProto::INT64, {static_cast<int64_t>(sizes.size())}, bytes_of(sizes));
    then("Reshape", name, {shape});
  }

  // To (N, C, H, W), from one layout or the other.
  void to_image(const ListedLayer& layer) {
    if (order_ == Order::kImage) return;
    const FeatureShape& s = layer.input;
    // Of one channel or one pixel both orders are the same.
    const bool needs_transpose = order_ == Order::kFlatHwc && s.channels > 1 && s.height * s.width > 1;
    if (needs_transpose) {
      reshape(layer.name + "/Reshape", {-1, s.height, s.width, s.channels});
      set_ints(then("Transpose", layer.name + "/Transpose"), "perm", {0, 3, 1, 2});
    } else {
      reshape(layer.name + "/Reshape", {-1, s.channels, s.height, s.width});
    }
    order_ = Order::kImage;
  }

  // TensorFlow's padding, spelled out: "auto_pad" means the same, but not every runtime agrees.
  void set_window(NodeProto* node, const FeatureShape& input, int window, int stride, Padding padding) {
    const WindowDim rows = window_dim(input.height, window, stride, padding);
    const WindowDim columns = window_dim(input.width, window, stride, padding);
    set_ints(node, "kernel_shape", {window, window});
    set_ints(node, "strides", {stride, stride});
    set_ints(node, "pads", {rows.pad_before, columns.pad_before, rows.pad_after, columns.pad_after});
  }

  void add_layer(const ConvConfig& c, const ListedLayer& layer) {
    to_image(layer);
    const std::vector<int64_t>& hwio = layer.kernel->shape;
    const std::string kernel = floats(layer.kernel->name, {hwio[3], hwio[2], hwio[0], hwio[1]},
                                      filters_to_oihw(weights_ + layer.kernel->offset, hwio));
    NodeProto* node = then("Conv", layer.name + "/Conv", {kernel, parameter(*layer.bias)});
    set_window(node, layer.input, c.kernel, c.stride, c.padding);
    if (c.relu) then("Relu", layer.name + "/Relu");
  }

  void add_layer(const MaxPoolConfig& c, const ListedLayer& layer) {
    to_image(layer);
    set_window(then("MaxPool", layer.name + "/MaxPool"), layer.input, c.window, c.stride, c.padding);
  }

  void add_layer(const DenseConfig& c, const ListedLayer& layer) {
    if (order_ == Order::kImage) {
      set_int(then("Flatten", layer.name + "/Flatten"), "axis", 1);
      order_ = Order::kFlatChw;
    }
    const std::string kernel = order_ == Order::kFlatChw
                                   ? floats(layer.kernel->name, layer.kernel->shape,
                                            rows_to_chw(weights_ + layer.kernel->offset, layer.input, c.units))
                                   : parameter(*layer.kernel);
    then("Gemm", layer.name + "/Gemm", {kernel, parameter(*layer.bias)});
    if (c.relu) then("Relu", layer.name + "/Relu");
    order_ = Order::kFlatHwc;
  }

  // Without a training_mode it passes its input on; the rate is for those who train further.
  void add_layer(const DropoutConfig& c, const ListedLayer& layer) {
    const auto rate = static_cast<float>(c.rate);
    then("Dropout", layer.name + "/Dropout", {floats(layer.name + "/rate", {}, {&rate, 1})});
  }

  void add_outputs() {
    set_int(add("Softmax", "softmax", {at_}, kProbabilities), "axis", 1);
    NodeProto* node = add("ArgMax", "argmax", {at_}, kClasses);
    set_int(node, "axis", 1);
    set_int(node, "keepdims", 0);
    describe(graph_->add_output(), kClasses, TensorProto::INT64, {});
    describe(graph_->add_output(), kProbabilities, TensorProto::FLOAT, {network_.classes()});
  }

  const Network& network_;
  const float* const weights_;
  onnx::GraphProto* const graph_;
  std::string at_;  // the current activation
  Order order_ = Order::kFlatHwc;
};

}  // namespace

absl::StatusOr<std::string> onnx_bytes(const ModelConfig& config, const Network& network, const float* weights,
                                       int64_t global_step) {
  if (network.params().parameter_count() > kMaxParameters) {
    return absl::InvalidArgumentError(
        fmt::format("{} parameters are too many for an ONNX file, which may have 2 GiB: export a SavedModel",
                    network.params().parameter_count()));
  }
  onnx::ModelProto model;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("lockstep");
  auto* opset = model.add_opset_import();
  opset->set_domain("");
  opset->set_version(kOpset);
  auto* step = model.add_metadata_props();
  step->set_key("global_step");
  step->set_value(fmt::format("{}", global_step));
  OnnxBuilder(network, weights, model.mutable_graph()).build(list_layers(config, network));
  return protobuf_bytes(model);
}

absl::Status export_onnx(const std::string& path, const ModelConfig& config, const Network& network,
                         const float* weights, int64_t global_step) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string bytes, onnx_bytes(config, network, weights, global_step));
  LOCKSTEP_RETURN_IF_ERROR(make_directories(directory_name(path)));
  return write_file_atomic(path, bytes);
}

}  // namespace lockstep
