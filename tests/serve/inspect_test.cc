// SPDX-License-Identifier: Apache-2.0
#include "serve/inspect/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "core/base/file.h"
#include "io/event_writer.h"
#include "io/example.h"
#include "io/png_writer.h"
#include "io/proto/onnx.pb.h"
#include "io/proto/saved_model.pb.h"
#include "io/tensor_bundle.h"
#include "io/tfrecord.h"
#include "tests/io/io_fixtures.h"
#include "tests/serve/model_fixture.h"
#include "tests/support/damage.h"
#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr size_t kBitStride = 5;  // every bit of a byte in turn

InspectReport inspected(const std::string& path) {
  const auto report = inspect(path);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *report : InspectReport();
}

// Inspects damaged bytes as a file of this name and prints all of it, which must not fail; whether damage was told.
bool tells_damage(const std::string& path, const std::string& bytes) {
  spill(path, bytes);
  const auto report = inspect(path);
  if (!report.ok()) return true;
  EXPECT_THAT(to_text(*report), HasSubstr(path));
  EXPECT_TRUE(nlohmann::json::accept(to_json(*report)));
  return !all_damage(*report).empty();
}

InspectValue fact(const InspectReport& report, const std::string& name) {
  for (const auto& [key, value] : report.facts) {
    if (key == name) return value;
  }
  ADD_FAILURE() << "no fact " << name;
  return nullptr;
}

const InspectTable& table(const InspectReport& report, const std::string& title) {
  static const InspectTable none;
  for (const InspectTable& candidate : report.tables) {
    if (candidate.title == title) return candidate;
  }
  ADD_FAILURE() << "no table " << title;
  return none;
}

class Inspect : public testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& bytes) {
    spill(dir_.file(name), bytes);
    return dir_.file(name);
  }

  // Records of 2x1 images with labels 3, 1, 3.
  static std::string records() {
    std::string out;
    for (const int label : {3, 1, 3}) {
      std::string example;
      append_example({2, 1, 1}, label, "ab", example);
      append_record(example, out);
    }
    return out;
  }

  std::string bundle() {
    const std::vector<float> values = {1, -2, std::numeric_limits<float>::quiet_NaN(), 4.5f};
    const std::vector<int64_t> step = {42};
    EXPECT_TRUE(
        write_tensor_bundle(dir_.file("model.ckpt-42"), {{"w/kernel", TensorDtype::kFloat32, {2, 2}, bytes_of(values)},
                                                         {"global_step", TensorDtype::kInt64, {}, bytes_of(step)}})
            .ok());
    return dir_.file("model.ckpt-42");
  }

  TmpDir dir_;
};

TEST_F(Inspect, IdxImagesAndLabels) {
  const std::string images = idx_bytes({2, 1, 3}, std::string("\x00\x0a\x14\x1e\x28\x32", 6));
  for (const bool gzip : {false, true}) {
    const auto report = inspected(file("any-name", gzip ? compressed(images, Compression::kGzip) : images));
    EXPECT_EQ(report.kind, gzip ? "IDX, gzip" : "IDX");
    EXPECT_EQ(report.summary, "2 images of 1x3x1");
    EXPECT_EQ(fact(report, "highest pixel"), 50);
    EXPECT_EQ(fact(report, "mean pixel"), 25.0);
    EXPECT_EQ(report.checksums, gzip ? 1 : 0);
    EXPECT_THAT(report.damage, IsEmpty());
  }
  const auto labels = inspected(file("labels", idx_bytes({4}, std::string("\7\1\7\7", 4))));
  EXPECT_EQ(labels.summary, "4 labels");
  EXPECT_THAT(table(labels, "labels").rows, ElementsAre(ElementsAre(1, 1), ElementsAre(7, 3)));
}

TEST_F(Inspect, RecordsOfExamples) {
  const auto report = inspected(file("some.data", records()));
  EXPECT_EQ(report.kind, "TFRecords of tf.train.Example");
  EXPECT_EQ(report.summary, "3 records of 2x1x1, labels 1 to 3");
  EXPECT_EQ(report.checksums, 6);
  EXPECT_THAT(table(report, "labels").rows, ElementsAre(ElementsAre(1, 1), ElementsAre(3, 2)));
  EXPECT_THAT(table(report, "features").rows,
              ElementsAre(ElementsAre("depth", "int64", 3, "1"), ElementsAre("height", "int64", 3, "1"),
                          ElementsAre("image_raw", "bytes", 3, "1"), ElementsAre("label", "int64", 3, "1"),
                          ElementsAre("width", "int64", 3, "1")));
  const auto inflated = inspected(file("some.gz", compressed(records(), Compression::kGzip)));
  EXPECT_EQ(inflated.summary, report.summary);
  EXPECT_EQ(fact(inflated, "compression"), "gzip");
  EXPECT_EQ(inspected(file("none.tfrecords", "")).summary, "0 records");
}

TEST_F(Inspect, ExamplesUnfitForTrainingAreCounted) {
  std::string bytes = records();
  // {"label": [5, 6]}, by hand.
  const std::string no_image("\x0a\x11\x0a\x0f\x0a\x05label\x12\x06\x1a\x04\x0a\x02\x05\x06", 19);
  append_record(no_image, bytes);
  const auto report = inspected(file("records", bytes));
  EXPECT_EQ(fact(report, "unfit for training"), 1);
  EXPECT_THAT(fact(report, "the first of them").get<std::string>(), HasSubstr("record 3: key `"));
  EXPECT_EQ(table(report, "features").rows[3], (std::vector<InspectValue>{"label", "int64", 4, "1 to 2"}));
}

TEST_F(Inspect, RecordsOfAnythingElse) {
  std::string bytes;
  append_record("", bytes);
  append_record("\xff\xff\xff", bytes);
  const auto report = inspected(file("records", bytes));
  EXPECT_EQ(report.kind, "TFRecords");
  EXPECT_EQ(fact(report, "longest record"), 3);
}

TEST_F(Inspect, EventFile) {
  {
    const auto writer = EventWriter::open(dir_.file("run")).value();
    ASSERT_TRUE(writer->add_scalar(5, "loss", 0.5f).ok());
    ASSERT_TRUE(writer->add_scalar(9, "loss", 0.25f).ok());
    ASSERT_TRUE(writer->add_histogram(9, "kernel", std::vector<float>{1, 2, 3}).ok());
    ASSERT_TRUE(writer->add_image(9, "wrong", std::vector<uint8_t>(6), 2, 3, 1).ok());
    proto::GraphDef graph;
    graph.add_node()->set_name("a");
    ASSERT_TRUE(writer->add_graph(graph.SerializeAsString()).ok());
  }
  const std::string name = list_directory(dir_.file("run")).value().at(0);
  const auto report = inspected(join_path(dir_.file("run"), name));
  EXPECT_EQ(report.kind, "TensorBoard events");
  EXPECT_EQ(report.summary, "6 events, 3 tags, last step 9");
  EXPECT_EQ(fact(report, "graph"), "1 nodes");
  EXPECT_EQ(fact(report, "version"), "brain.Event:2");
  EXPECT_THAT(table(report, "tags").rows,
              ElementsAre(ElementsAre("kernel", "histogram", 1, 9, 9, "3 values, 1 to 3"),
                          ElementsAre("loss", "scalar", 2, 5, 9, 0.25), ElementsAre("wrong", "image", 1, 9, 9, "3x2")));
}

TEST_F(Inspect, CheckpointByAnyOfItsNames) {
  const std::string prefix = bundle();
  for (const std::string suffix : {"", ".index", ".data-00000-of-00001"}) {
    const auto report = inspected(prefix + suffix);
    EXPECT_EQ(report.kind, "tensor bundle (TensorFlow checkpoint V2)");
    EXPECT_EQ(report.summary, "2 tensors, step 42");
    EXPECT_EQ(report.checksums, 3);
    EXPECT_THAT(table(report, "tensors").rows,
                ElementsAre(ElementsAre("global_step", "int64", "()", 42.0, 42.0, 42.0, 0),
                            ElementsAre("w/kernel", "float32", "(2, 2)", -2.0, 4.5, 3.5 / 3, 1)));
  }
}

template <typename T>
std::string bytes_of_all(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T)};
}

TEST_F(Inspect, TensorsOfEveryTypeOfNumber) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  // Of float16: 1, -2, infinity, and the smallest number.
  const auto half = bytes_of_all<uint16_t>({0x3c00, 0xc000, 0x7c00}), smallest = bytes_of_all<uint16_t>({0x0001});
  const auto bfloat = bytes_of_all<uint16_t>({0x3f80, 0x4040});  // 1, 3
  const auto i8 = bytes_of_all<int8_t>({-128, 127}), u8 = bytes_of_all<uint8_t>({0, 255});
  const auto i16 = bytes_of_all<int16_t>({-300, 300}), u16 = bytes_of_all<uint16_t>({65535});
  const auto i32 = bytes_of_all<int32_t>({-70000}), u32 = bytes_of_all<uint32_t>({4294967295});
  const auto u64 = bytes_of_all<uint64_t>({uint64_t{1} << 63}), yes_no = bytes_of_all<uint8_t>({0, 1});
  const auto f64 = bytes_of_all<double>({0.5}), complex = bytes_of_all<float>({1, 2, kNan, 0});
  ASSERT_TRUE(write_tensor_bundle(dir_.file("types"), {{"a", TensorDtype::kFloat16, {3}, half},
                                                       {"b", TensorDtype::kFloat16, {}, smallest},
                                                       {"c", TensorDtype::kBfloat16, {2}, bfloat},
                                                       {"d", TensorDtype::kInt8, {2}, i8},
                                                       {"e", TensorDtype::kUint8, {2}, u8},
                                                       {"f", TensorDtype::kInt16, {2}, i16},
                                                       {"g", TensorDtype::kUint16, {1}, u16},
                                                       {"h", TensorDtype::kInt32, {1}, i32},
                                                       {"i", TensorDtype::kUint32, {1}, u32},
                                                       {"j", TensorDtype::kUint64, {1}, u64},
                                                       {"k", TensorDtype::kBool, {2}, yes_no},
                                                       {"l", TensorDtype::kDouble, {1}, f64},
                                                       {"m", TensorDtype::kComplex64, {2}, complex},
                                                       {"n", TensorDtype::kFloat32, {0}, ""}})
                  .ok());
  const auto report = inspected(dir_.file("types"));
  EXPECT_EQ(report.checksums, 15);
  EXPECT_THAT(report.damage, IsEmpty());
  const double tiny = std::ldexp(1.0, -24), large = std::ldexp(1.0, 63);
  EXPECT_THAT(
      table(report, "tensors").rows,
      ElementsAre(ElementsAre("a", "float16", "(3)", -2, 1, -0.5, 1),
                  ElementsAre("b", "float16", "()", tiny, tiny, tiny, 0),
                  ElementsAre("c", "bfloat16", "(2)", 1, 3, 2, 0), ElementsAre("d", "int8", "(2)", -128, 127, -0.5, 0),
                  ElementsAre("e", "uint8", "(2)", 0, 255, 127.5, 0), ElementsAre("f", "int16", "(2)", -300, 300, 0, 0),
                  ElementsAre("g", "uint16", "(1)", 65535, 65535, 65535, 0),
                  ElementsAre("h", "int32", "(1)", -70000, -70000, -70000, 0),
                  ElementsAre("i", "uint32", "(1)", 4294967295, 4294967295, 4294967295, 0),
                  ElementsAre("j", "uint64", "(1)", large, large, large, 0),
                  ElementsAre("k", "bool", "(2)", 0, 1, 0.5, 0), ElementsAre("l", "float64", "(1)", 0.5, 0.5, 0.5, 0),
                  ElementsAre("m", "complex64", "(2)", nullptr, nullptr, nullptr, 1),
                  ElementsAre("n", "float32", "(0)", nullptr, nullptr, nullptr, nullptr)));
}

// Of nothing that was not looked at does a report say that it has no non-finite number.
TEST_F(Inspect, TensorsThatAreNoNumbersHaveNoFigures) {
  const auto report = inspected(LOCKSTEP_SOURCE_DIR "/tests/data/tensorflow_models/checkpoint_v2/ckpt-1");
  EXPECT_THAT(report.damage, IsEmpty());
  EXPECT_THAT(table(report, "tensors").rows, testing::Contains(ElementsAre("_CHECKPOINTABLE_OBJECT_GRAPH", "string",
                                                                           "()", nullptr, nullptr, nullptr, nullptr)));
}

TEST_F(Inspect, WhatAnInterruptedWriterLeftIsDamage) {
  EXPECT_THAT(inspected(file("events.out.tfevents.1.host", "")).damage, ElementsAre(HasSubstr("no events")));
  EXPECT_THAT(inspected(file("none.tfrecord", "")).damage, IsEmpty());
  EXPECT_THAT(inspected(file("model.ckpt-7.data-00000-of-00001", "some floats")).damage,
              ElementsAre(AllOf(HasSubstr("model.ckpt-7.index"), HasSubstr("missing"))));
}

TEST_F(Inspect, MetaGraphBesideACheckpoint) {
  const auto report = inspected(LOCKSTEP_SOURCE_DIR "/tests/data/tensorflow_models/checkpoint_v1/model.ckpt-70.meta");
  EXPECT_THAT(report.kind, testing::StartsWith("MetaGraphDef"));
  EXPECT_THAT(report.damage, IsEmpty());
  EXPECT_THAT(report.summary, testing::EndsWith(" nodes"));
  // Two layers of each; the gradients of a dense layer are two more products.
  EXPECT_THAT(table(report, "operators").rows,
              AllOf(testing::Contains(ElementsAre("Conv2D", 2)), testing::Contains(ElementsAre("MatMul", 6))));
  const std::string bytes = slurp(LOCKSTEP_SOURCE_DIR "/tests/data/tensorflow_models/checkpoint_v1/model.ckpt-70.meta");
  EXPECT_THAT(inspected(file("cut.meta", bytes.substr(0, bytes.size() / 2))).damage,
              ElementsAre(HasSubstr("no protobuf MetaGraphDef")));
  EXPECT_THAT(inspected(file("empty.meta", "")).damage, ElementsAre(HasSubstr("without a graph")));
  EXPECT_EQ(inspected(file("other.meta", "name=x\n")).kind, "text");
}

TEST_F(Inspect, CheckpointState) {
  bundle();
  const std::string good = "model_checkpoint_path: \"model.ckpt-42\"\nall_model_checkpoint_paths: \"model.ckpt-42\"\n";
  EXPECT_THAT(inspected(file("checkpoint", good)).damage, IsEmpty());
  const auto missing = inspected(file("checkpoint", "model_checkpoint_path: \"model.ckpt-50\"\n"));
  EXPECT_THAT(missing.damage, ElementsAre(HasSubstr("but there is no " + dir_.file("model.ckpt-50.index"))));
}

std::string saved_model_bytes() {
  proto::SavedModel model;
  model.set_saved_model_schema_version(1);
  auto& graph = *model.add_meta_graphs();
  graph.mutable_meta_info_def()->add_tags("serve");
  auto& signature = (*graph.mutable_signature_def())["serving_default"];
  auto& input = (*signature.mutable_inputs())["inputs"];
  input.set_name("x:0");
  input.set_dtype(proto::DT_FLOAT);
  input.mutable_tensor_shape()->add_dim()->set_size(-1);
  input.mutable_tensor_shape()->add_dim()->set_size(784);
  for (const char* op : {"Placeholder", "Relu", "Relu"}) graph.mutable_graph_def()->add_node()->set_op(op);
  auto& constant = *graph.mutable_graph_def()->add_node();
  constant.set_op("Const");
  constant.set_name("w");
  auto& tensor = *(*constant.mutable_attr())["value"].mutable_tensor();
  tensor.set_dtype(proto::DT_FLOAT);
  tensor.mutable_tensor_shape()->add_dim()->set_size(2);
  const std::vector<float> values = {0.5f, 1.5f};
  tensor.set_tensor_content(std::string(bytes_of(values)));
  return model.SerializeAsString();
}

TEST_F(Inspect, SavedModelWithVariablesAndWithout) {
  std::filesystem::create_directories(dir_.file("export/variables"));
  file("export/saved_model.pb", saved_model_bytes());
  for (const std::string& path : {dir_.file("export"), dir_.file("export/saved_model.pb")}) {
    const auto report = inspected(path);
    EXPECT_EQ(report.kind, "SavedModel");
    EXPECT_EQ(report.summary, "4 nodes");
    EXPECT_EQ(fact(report, "tags"), "serve");
    EXPECT_THAT(table(report, "signatures").rows,
                ElementsAre(ElementsAre("serving_default", "input", "inputs", "float32", "(?, 784)", "x:0")));
    EXPECT_THAT(table(report, "operators").rows,
                ElementsAre(ElementsAre("Const", 1), ElementsAre("Placeholder", 1), ElementsAre("Relu", 2)));
    EXPECT_THAT(table(report, "constants").rows, ElementsAre(ElementsAre("w", "float32", "(2)", 0.5, 1.5, 1.0, 0)));
  }
  EXPECT_EQ(fact(inspected(dir_.file("export")), "variables"), "none: the weights are constants");
  for (const std::string suffix : {".index", ".data-00000-of-00001"}) {
    std::filesystem::copy_file(bundle() + suffix, dir_.file("export/variables/variables" + suffix));
  }
  const auto report = inspected(dir_.file("export"));
  EXPECT_EQ(report.summary, "4 nodes, 2 tensors, step 42");
  EXPECT_EQ(report.checksums, 3);
  EXPECT_THAT(table(report, "tensors").rows, SizeIs(2));
}

// TensorFlow's own file, and its hash.
TEST_F(Inspect, FingerprintKnowsTheIndexOfTheVariables) {
  const std::string model = dir_.file("model");
  std::filesystem::copy(LOCKSTEP_SOURCE_DIR "/tests/data/tensorflow_models/v2_module", model,
                        std::filesystem::copy_options::recursive);
  const auto sound = inspected(model + "/fingerprint.pb");
  EXPECT_EQ(sound.kind, "fingerprint of a SavedModel");
  EXPECT_EQ(sound.checksums, 1);
  EXPECT_THAT(sound.damage, IsEmpty());
  const auto whole = inspected(model);
  EXPECT_EQ(fact(whole, "fingerprint"), sound.summary);
  EXPECT_EQ(whole.checksums_over, "CRC-32C of the index and of every tensor; the hash of the index");
  EXPECT_THAT(whole.damage, IsEmpty());

  // The index of another model, which is sound itself.
  std::filesystem::copy_file(bundle() + ".index", model + "/variables/variables.index",
                             std::filesystem::copy_options::overwrite_existing);
  for (const std::string& path : {model, model + "/fingerprint.pb"}) {
    EXPECT_THAT(inspected(path).damage, Contains(AllOf(HasSubstr(model + "/fingerprint.pb: checkpoint_hash is "),
                                                       HasSubstr("variables.index has "))));
  }
  spill(model + "/fingerprint.pb", "\x08");
  EXPECT_THAT(inspected(model).damage, Contains(HasSubstr("no protobuf FingerprintDef")));
  spill(model + "/fingerprint.pb", "");
  EXPECT_THAT(inspected(model).damage, Contains(HasSubstr(model + "/fingerprint.pb: empty")));
}

// As a copy leaves it that was made of the .pb file alone.
TEST_F(Inspect, SavedModelWhoseVariablesAreMissing) {
  std::filesystem::create_directories(dir_.file("export"));
  proto::SavedModel model;
  ASSERT_TRUE(model.ParseFromString(saved_model_bytes()));
  for (const std::string op : {"VarHandleOp", "VariableV2", "Variable"}) {
    for (const bool in_function : {false, true}) {
      proto::SavedModel damaged = model;
      auto& graph = *damaged.mutable_meta_graphs(0)->mutable_graph_def();
      auto& node = in_function ? *graph.mutable_library()->add_function()->add_node_def() : *graph.add_node();
      node.set_op(op);
      node.set_name("dense/kernel");
      file("export/saved_model.pb", damaged.SerializeAsString());
      EXPECT_THAT(inspected(dir_.file("export")).damage,
                  ElementsAre(AllOf(HasSubstr(dir_.file("export/variables/variables.index") + ": missing"),
                                    HasSubstr("`dense/kernel`"))));
    }
  }
}

std::string onnx_bytes() {
  onnx::ModelProto model;
  model.set_ir_version(7);
  model.set_producer_name("someone");
  model.add_opset_import()->set_version(13);
  auto& graph = *model.mutable_graph();
  graph.add_node()->set_op_type("Gemm");
  auto& tensor = *graph.add_initializer();
  tensor.set_name("w");
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  tensor.add_dims(3);
  for (const float value : {1.0f, 2.0f, 6.0f}) tensor.add_float_data(value);
  auto& input = *graph.add_input();
  input.set_name("inputs");
  auto& type = *input.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx::TensorProto::FLOAT);
  type.mutable_shape()->add_dim()->set_dim_param("N");
  type.mutable_shape()->add_dim()->set_dim_value(784);
  return model.SerializeAsString();
}

TEST_F(Inspect, Onnx) {
  const auto report = inspected(file("model", onnx_bytes()));
  EXPECT_EQ(report.kind, "ONNX");
  EXPECT_EQ(report.summary, "1 nodes, 1 tensors");
  EXPECT_EQ(fact(report, "opset"), "13");
  EXPECT_THAT(table(report, "values").rows, ElementsAre(ElementsAre("input", "inputs", "float32", "(N, 784)")));
  EXPECT_THAT(table(report, "initializers").rows, ElementsAre(ElementsAre("w", "float32", "(3)", 1.0, 6.0, 3.0, 0)));
}

// A tensor in an ONNX file: its row, or the damage it is.
TEST_F(Inspect, OnnxTensorsOfOtherTypesAndOfOtherSizesThanTheySay) {
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(onnx_bytes()));
  auto& tensor = *model.mutable_graph()->mutable_initializer(0);
  tensor.clear_float_data();
  tensor.set_raw_data(std::string(6, '\1'));
  constexpr int kFloat16 = 10;
  const double kTiny = std::ldexp(0x101, -24);
  tensor.set_data_type(kFloat16);
  const auto half = inspected(file("model.onnx", model.SerializeAsString()));
  EXPECT_THAT(half.damage, IsEmpty());
  EXPECT_THAT(table(half, "initializers").rows,
              ElementsAre(ElementsAre("w", "float16", "(3)", kTiny, kTiny, kTiny, 0)));
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  const auto cut = inspected(file("model.onnx", model.SerializeAsString()));
  EXPECT_THAT(cut.damage, ElementsAre(HasSubstr("model.onnx: tensor `w` of shape (3) holds 1 numbers")));
}

TEST_F(Inspect, OnnxTensorsOfEveryType) {
  // By ONNX's number of the type: its name, and what its column of numbers is in these tensors of two elements.
  struct Type {
    int number;
    std::string name;
    std::vector<InspectValue> cells;
  };
  const std::vector<InspectValue> numbers = {1, 3, 2, 0}, nothing = {nullptr, nullptr, nullptr, nullptr};
  const std::vector<InspectValue> complex = {nullptr, nullptr, nullptr, 0};
  const std::vector<Type> types = {
      {2, "uint8", numbers},       {3, "int8", numbers},           {4, "uint16", numbers},  {5, "int16", numbers},
      {6, "int32", numbers},       {7, "int64", numbers},          {8, "string", nothing},  {9, "bool", {0, 1, 0.5, 0}},
      {11, "float64", numbers},    {12, "uint32", numbers},        {13, "uint64", numbers}, {14, "complex64", complex},
      {15, "complex128", complex}, {17, "float8_e4m3fn", nothing}, {22, "int4", nothing},   {99, "type 99", nothing}};
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(onnx_bytes()));
  model.mutable_graph()->clear_initializer();
  for (const Type& type : types) {
    auto& tensor = *model.mutable_graph()->add_initializer();
    tensor.set_name("w");
    tensor.set_data_type(type.number);
    tensor.add_dims(2);
    const bool is_bool = type.name == "bool", is_complex = type.name.starts_with("complex");
    for (const int value : is_bool ? std::vector{0, 1} : is_complex ? std::vector{1, 3, 1, 3} : std::vector{1, 3}) {
      if (type.name == "string") tensor.add_string_data("x");
      if (type.name == "complex64") tensor.add_float_data(static_cast<float>(value));
      if (type.name == "float64" || type.name == "complex128") tensor.add_double_data(value);
      if (type.name == "int64") tensor.add_int64_data(value);
      if (type.name == "uint32" || type.name == "uint64") tensor.add_uint64_data(static_cast<uint64_t>(value));
      if (type.number <= 9 && type.name != "int64" && type.name != "string") tensor.add_int32_data(value);
    }
  }
  const auto report = inspected(file("model.onnx", model.SerializeAsString()));
  EXPECT_THAT(report.damage, IsEmpty());
  ASSERT_EQ(table(report, "initializers").rows.size(), types.size());
  for (size_t i = 0; i < types.size(); ++i) {
    std::vector<InspectValue> row{"w", types[i].name, "(2)"};
    row.insert(row.end(), types[i].cells.begin(), types[i].cells.end());
    EXPECT_EQ(table(report, "initializers").rows[i], row);
  }
}

// A constant of four elements: two that are listed, of which the last stands for the rest.
TEST_F(Inspect, ConstantsOfOtherTypesAndShortLists) {
  std::filesystem::create_directories(dir_.file("export"));
  proto::SavedModel model;
  ASSERT_TRUE(model.ParseFromString(saved_model_bytes()));
  auto& graph = *model.mutable_meta_graphs(0)->mutable_graph_def();
  graph.mutable_node()->RemoveLast();
  const auto add = [&graph](TensorDtype dtype) -> proto::TensorProto& {
    auto& node = *graph.add_node();
    node.set_op("Const");
    node.set_name("c");
    auto& tensor = *(*node.mutable_attr())["value"].mutable_tensor();
    tensor.set_dtype(static_cast<proto::DataType>(dtype));
    tensor.mutable_tensor_shape()->add_dim()->set_size(4);
    return tensor;
  };
  for (const int bits : {0x3c00, 0x4200}) add(TensorDtype::kFloat16).add_half_val(bits);  // one number each: fillings
  auto& half = add(TensorDtype::kFloat16);
  auto& narrow = add(TensorDtype::kInt8);
  for (const int bits : {0x3c00, 0x4200}) half.add_half_val(bits);  // 1, 3
  for (const int value : {-1, 3}) narrow.add_int_val(value);
  auto& text = add(TensorDtype::kString);
  for (int i = 0; i < 4; ++i) text.add_string_val("s");
  add(static_cast<TensorDtype>(42)).set_tensor_content("????");
  const auto report = inspected(file("export/saved_model.pb", model.SerializeAsString()));
  EXPECT_THAT(report.damage, IsEmpty());
  EXPECT_THAT(
      table(report, "constants").rows,
      ElementsAre(ElementsAre("c", "float16", "(4)", 1, 3, 2.5, 0), ElementsAre("c", "int8", "(4)", -1, 3, 2, 0),
                  ElementsAre("c", "string", "(4)", nullptr, nullptr, nullptr, nullptr),
                  ElementsAre("c", "type 42", "(4)", nullptr, nullptr, nullptr, nullptr)));
}

TEST_F(Inspect, ConstantsAsNumbersOneByOne) {
  std::filesystem::create_directories(dir_.file("export"));
  proto::SavedModel model;
  ASSERT_TRUE(model.ParseFromString(saved_model_bytes()));
  auto& node = *model.mutable_meta_graphs(0)->mutable_graph_def()->mutable_node(3);
  auto& tensor = *(*node.mutable_attr())["value"].mutable_tensor();
  tensor.clear_tensor_content();
  tensor.add_float_val(4);  // one number for all
  const auto filled = inspected(file("export/saved_model.pb", model.SerializeAsString()));
  EXPECT_THAT(filled.damage, IsEmpty());
  EXPECT_THAT(table(filled, "constants").rows, IsEmpty());
  tensor.add_float_val(1);
  const auto listed = inspected(file("export/saved_model.pb", model.SerializeAsString()));
  EXPECT_THAT(table(listed, "constants").rows, ElementsAre(ElementsAre("w", "float32", "(2)", 1.0, 4.0, 2.5, 0)));
  tensor.add_float_val(1);
  const auto longer = inspected(file("export/saved_model.pb", model.SerializeAsString()));
  EXPECT_THAT(longer.damage, ElementsAre(HasSubstr("tensor `w` of shape (2) holds 3 numbers")));
}

TEST_F(Inspect, PngAndJson) {
  const auto png = inspected(file("p", encode_png(std::vector<uint8_t>(12), 2, 2, 3).value()));
  EXPECT_EQ(png.summary, "2x2 RGB");
  EXPECT_GE(png.checksums, 3);
  EXPECT_EQ(fact(inspected(file("run.json", "{\"steps\": 7, \"config\": {\"a\": 1}}")), "steps"), 7);
  EXPECT_EQ(inspected(file("request.json", "{\"inputs\": [1]}\n{\"inputs\": [2]}\n")).summary, "2 lines");
  EXPECT_THAT(inspected(file("bad.json", "{\"inputs\": [1]}\n{\"inputs\"")).damage,
              ElementsAre(HasSubstr("bad.json:2: expected a JSON value")));
}

TEST_F(Inspect, ARunDirectoryIsInspectedWhole) {
  write_run(dir_.file("run"));
  { ASSERT_TRUE(EventWriter::open(dir_.file("run/eval")).ok()); }
  std::filesystem::create_directories(dir_.file("run/export/Servo/1500000000"));
  file("run/export/Servo/1500000000/saved_model.pb", saved_model_bytes());
  file("run/notes.txt", "hello");
  const auto report = inspected(dir_.file("run"));
  EXPECT_EQ(report.kind, "training run");
  EXPECT_THAT(all_damage(report), IsEmpty());
  EXPECT_THAT(to_text(report),
              AllOf(HasSubstr("model.ckpt-7.index "), HasSubstr("TensorBoard events"), HasSubstr("step 7"),
                    HasSubstr("export/Servo/1500000000 "), HasSubstr("SavedModel"), Not(HasSubstr(".data-"))));

  const std::string data = dir_.file("run/model.ckpt-7.data-00000-of-00001");
  spill(data, with_bit_flipped(slurp(data), 20, 3));
  const auto damaged = inspected(dir_.file("run"));
  EXPECT_THAT(all_damage(damaged), ElementsAre(AllOf(HasSubstr(data), HasSubstr("tensor `"), HasSubstr("CRC"))));
  EXPECT_THAT(to_text(damaged), AllOf(HasSubstr("DAMAGED\n"), HasSubstr("\nDAMAGED: " + data)));
  EXPECT_THAT(nlohmann::json::parse(to_json(damaged))["files"], SizeIs(damaged.files.size()));
}

TEST_F(Inspect, OtherFilesAreRefusedWithWhatIsExpected) {
  EXPECT_THAT(message_of(inspect(file("x", "plain\x01text")).status()),
              AllOf(HasSubstr("not recognised (it begins with `plain\\x01text`)"), HasSubstr("TFRecords")));
  EXPECT_EQ(inspected(file("z", "plain text")).kind, "text");
  EXPECT_TRUE(absl::IsInvalidArgument(inspect(file("y", std::string("\x01\x02\xfe\xff", 4))).status()));
  const absl::Status absent = inspect(dir_.file("absent")).status();
  EXPECT_TRUE(absl::IsNotFound(absent));
  EXPECT_THAT(message_of(absent), AllOf(HasSubstr(dir_.file("absent") + ": no such file or directory; expected IDX, "),
                                        HasSubstr("checkpoint (its prefix or one of its files)")));
}

TEST_F(Inspect, DamagedRecordsNameTheFirstBadOneAndWhatCameBefore) {
  const std::string good = records();
  const size_t record = good.size() / 3;
  const auto report = inspected(file("r.tfrecords", with_bit_flipped(good, record + 20, 0)));
  EXPECT_THAT(report.damage, ElementsAre(AllOf(HasSubstr("r.tfrecords: record 1 at offset " + std::to_string(record)),
                                               HasSubstr("CRC of the data"))));
  EXPECT_EQ(report.checksums, 2);
  EXPECT_THAT(report.summary, HasSubstr("1 records of 2x1x1, labels 3 to 3 before the damage"));
  for_each_cut(good, [&](const std::string& bytes, size_t length) {
    EXPECT_EQ(tells_damage(dir_.file("cut.tfrecords"), bytes), length % record != 0) << length;
  });
  for_each_bit_flip(
      good,
      [&](const std::string& bytes, size_t bit) {
        EXPECT_TRUE(tells_damage(dir_.file("flip.tfrecords"), bytes)) << bit;
      },
      kBitStride);
}

TEST_F(Inspect, DamagedIdxIsTold) {
  const std::string plain = idx_bytes({2, 1, 3}, "abcdef"), gzip = compressed(plain, Compression::kGzip);
  for_each_cut(plain, [&](const std::string& bytes, size_t length) {
    EXPECT_TRUE(tells_damage(dir_.file("t-images-idx3-ubyte"), bytes)) << length;
  });
  for_each_cut(gzip, [&](const std::string& bytes, size_t length) {
    EXPECT_TRUE(tells_damage(dir_.file("t-images-idx3-ubyte.gz"), bytes)) << length;
  });
  // No checksum covers time, system and flags of compression in the header, nor what fills the last byte before the
  // trailer.
  constexpr size_t kGzipHeader = 10, kGzipTrailer = 8;
  for_each_bit_flip(
      gzip,
      [&](const std::string& bytes, size_t bit) {
        const bool told = tells_damage(dir_.file("t-images-idx3-ubyte.gz"), bytes);
        EXPECT_TRUE(told || bit / 8 < kGzipHeader || bit / 8 == gzip.size() - kGzipTrailer - 1) << bit;
      },
      kBitStride);
  EXPECT_TRUE(tells_damage(dir_.file("t-images-idx3-ubyte"), plain + "x"));
}

TEST_F(Inspect, DamagedCheckpointsNameTheirTensors) {
  const std::string prefix = bundle(), index = prefix + ".index", data = prefix + ".data-00000-of-00001";
  const std::string good_index = slurp(index), good_data = slurp(data);
  for_each_cut(good_index,
               [&](const std::string& bytes, size_t length) { EXPECT_TRUE(tells_damage(index, bytes)) << length; });
  for_each_bit_flip(
      good_index, [&](const std::string& bytes, size_t bit) { EXPECT_TRUE(tells_damage(index, bytes)) << bit; },
      kBitStride);
  spill(index, good_index);
  for_each_cut(good_data,
               [&](const std::string& bytes, size_t length) { EXPECT_TRUE(tells_damage(data, bytes)) << length; });
  for_each_bit_flip(
      good_data, [&](const std::string& bytes, size_t bit) { EXPECT_TRUE(tells_damage(data, bytes)) << bit; },
      kBitStride);

  spill(data, with_bit_flipped(good_data, 9, 2));  // behind the 8 bytes of the step
  const auto report = inspected(prefix);
  EXPECT_THAT(report.damage, ElementsAre(AllOf(HasSubstr("tensor `w/kernel` at offset 8"), HasSubstr("CRC"))));
  EXPECT_EQ(report.checksums, 2);
  EXPECT_THAT(table(report, "tensors").rows, SizeIs(1));
}

// Protobuf has no checksum: whatever is read, nothing crashes, and what does not parse is told.
TEST_F(Inspect, DamagedGraphsDoNotCrash) {
  const std::string model = saved_model_bytes(), onnx = onnx_bytes();
  std::filesystem::create_directories(dir_.file("m"));
  const std::string pb = dir_.file("m/saved_model.pb"), onnx_path = dir_.file("m.onnx");
  for_each_cut(model, [&](const std::string& bytes, size_t) { tells_damage(pb, bytes); });
  for_each_bit_flip(
      model, [&](const std::string& bytes, size_t) { tells_damage(pb, bytes); }, kBitStride);
  for_each_cut(onnx, [&](const std::string& bytes, size_t) { tells_damage(onnx_path, bytes); });
  for_each_bit_flip(
      onnx, [&](const std::string& bytes, size_t) { tells_damage(onnx_path, bytes); }, kBitStride);
  EXPECT_TRUE(tells_damage(pb, model.substr(0, model.size() / 2)));
  EXPECT_TRUE(tells_damage(onnx_path, onnx.substr(0, onnx.size() / 2)));
}

TEST_F(Inspect, HostileNamesAreShownNotObeyed) {
  const std::vector<float> one = {1};
  ASSERT_TRUE(
      write_tensor_bundle(dir_.file("evil"), {{"\x1b[31mred\xff", TensorDtype::kFloat32, {1}, bytes_of(one)}}).ok());
  const auto report = inspected(dir_.file("evil"));
  EXPECT_THAT(to_text(report), AllOf(HasSubstr("\\x1b[31mred\\xff"), Not(HasSubstr("\x1b"))));
  EXPECT_TRUE(nlohmann::json::accept(to_json(report)));
}

}  // namespace
}  // namespace lockstep
