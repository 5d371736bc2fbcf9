// SPDX-License-Identifier: Apache-2.0
// Good answers of TensorFlow Serving's API, asked for with generated stubs over a socket.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/png_writer.h"
#include "serve/grpc/proto/serving.grpc.pb.h"
#include "tests/serve/grpc/service_fixture.h"

namespace lockstep {
namespace {

using nlohmann::json;
using tensorflow::serving::ModelService;
using tensorflow::serving::PredictionService;
namespace serving = tensorflow::serving;
using ::testing::HasSubstr;

class PredictionServiceTest : public ServiceFixture {
 protected:
  PredictionServiceTest() {
    const auto channel = grpc::CreateChannel(target(), grpc::InsecureChannelCredentials());
    prediction_ = PredictionService::NewStub(channel);
    models_ = ModelService::NewStub(channel);
  }

  static proto::TensorProto tensor(proto::DataType type, std::initializer_list<int64_t> sizes) {
    proto::TensorProto made;
    made.set_dtype(type);
    for (const int64_t size : sizes) made.mutable_tensor_shape()->add_dim()->set_size(size);
    return made;
  }
  static proto::TensorProto floats(std::initializer_list<int64_t> sizes, const std::vector<float>& values) {
    proto::TensorProto made = tensor(proto::DT_FLOAT, sizes);
    made.mutable_float_val()->Add(values.begin(), values.end());
    return made;
  }
  static serving::PredictRequest request_of(const proto::TensorProto& inputs) {
    serving::PredictRequest request;
    request.mutable_model_spec()->set_name("mnist");
    (*request.mutable_inputs())["inputs"] = inputs;
    return request;
  }

  serving::PredictResponse predict(const serving::PredictRequest& request) {
    serving::PredictResponse response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    const grpc::Status status = prediction_->Predict(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_code() << " " << status.error_message();
    return response;
  }
  std::vector<float> probabilities(const proto::TensorProto& inputs) {
    const serving::PredictResponse response = predict(request_of(inputs));
    const auto& values = response.outputs().at("probabilities").float_val();
    return {values.begin(), values.end()};
  }

  // What REST answers for these pixels, as float32.
  std::vector<float> rest_probabilities(const std::vector<float>& pixels) {
    json instances = json::array();
    for (size_t at = 0; at < pixels.size(); at += kPixels) {
      instances.push_back(std::vector<float>(pixels.begin() + static_cast<std::ptrdiff_t>(at),
                                             pixels.begin() + static_cast<std::ptrdiff_t>(at + kPixels)));
    }
    return probabilities_in(
        rest("/v1/models/mnist:predict", "application/json", json{{"instances", instances}}.dump()));
  }
  static std::vector<float> probabilities_in(const std::string& answer) {
    std::vector<float> all;
    const json parsed = json::parse(answer);
    for (const json& one : parsed.at("predictions")) {
      for (const json& number : one.at("probabilities")) all.push_back(number.get<float>());
    }
    return all;
  }

  std::unique_ptr<PredictionService::Stub> prediction_;
  std::unique_ptr<ModelService::Stub> models_;
};

TEST_F(PredictionServiceTest, AnswersAsRestDoesForEveryShape) {
  const std::vector<float> pixels = images(2), want = rest_probabilities(pixels);
  ASSERT_EQ(want.size(), 2u * kClasses);
  EXPECT_EQ(probabilities(floats({2, 12}, pixels)), want);
  EXPECT_EQ(probabilities(floats({2, 4, 3}, pixels)), want);
  EXPECT_EQ(probabilities(floats({2, 4, 3, 1}, pixels)), want);
  proto::TensorProto raw = tensor(proto::DT_FLOAT, {2, 12});
  raw.set_tensor_content(std::string(reinterpret_cast<const char*>(pixels.data()), pixels.size() * sizeof(float)));
  EXPECT_EQ(probabilities(raw), want);
}

TEST_F(PredictionServiceTest, NamesTypesAndShapesAreThoseOfTheSignature) {
  const serving::PredictResponse response = predict(request_of(floats({2, 12}, images(2))));
  ASSERT_EQ(response.outputs_size(), 2);
  const auto& classes = response.outputs().at("classes");
  const auto& probabilities = response.outputs().at("probabilities");
  EXPECT_EQ(classes.dtype(), proto::DT_INT64);
  ASSERT_EQ(classes.tensor_shape().dim_size(), 1);
  EXPECT_EQ(classes.tensor_shape().dim(0).size(), 2);
  EXPECT_EQ(probabilities.dtype(), proto::DT_FLOAT);
  ASSERT_EQ(probabilities.tensor_shape().dim_size(), 2);
  EXPECT_EQ(probabilities.tensor_shape().dim(0).size(), 2);
  EXPECT_EQ(probabilities.tensor_shape().dim(1).size(), kClasses);
  ASSERT_EQ(classes.int64_val_size(), 2);
  for (int i = 0; i < 2; ++i) {
    const auto* of_image = probabilities.float_val().data() + i * kClasses;
    EXPECT_EQ(classes.int64_val(i), std::max_element(of_image, of_image + kClasses) - of_image);
  }
}

TEST_F(PredictionServiceTest, TellsWhichVersionAndSignatureAnswered) {
  serving::PredictRequest request = request_of(floats({1, 12}, images(1)));
  EXPECT_EQ(predict(request).model_spec().name(), "mnist");
  EXPECT_EQ(predict(request).model_spec().version().value(), 2);
  EXPECT_EQ(predict(request).model_spec().signature_name(), "serving_default");
  request.mutable_model_spec()->set_signature_name("prediction");
  request.mutable_model_spec()->mutable_version()->set_value(1);
  EXPECT_EQ(predict(request).model_spec().version().value(), 1);
  EXPECT_EQ(predict(request).model_spec().signature_name(), "prediction");
  request.mutable_model_spec()->set_version_label("v1");
  EXPECT_EQ(predict(request).model_spec().version().value(), 1);
  request.mutable_model_spec()->set_version_label("v2");
  EXPECT_EQ(predict(request).model_spec().version().value(), 2);
}

TEST_F(PredictionServiceTest, TheLastValueStandsForAllThatAreMissing) {
  const std::vector<float> half(36, 0.5f), zeros(36, 0.0f);
  EXPECT_EQ(probabilities(floats({3, 12}, {0.5f})), rest_probabilities(half));
  EXPECT_EQ(probabilities(floats({3, 12}, {})), rest_probabilities(zeros));
  std::vector<float> ends_in_halves = half;
  ends_in_halves[0] = 1;
  EXPECT_EQ(probabilities(floats({3, 12}, {1.0f, 0.5f})), rest_probabilities(ends_in_halves));
}

TEST_F(PredictionServiceTest, TakesBytesAndPicturesAsRestDoes) {
  std::string bytes;
  for (int i = 0; i < kPixels; ++i) bytes.push_back(static_cast<char>(i * 21));
  const std::vector<float> want = probabilities_in(rest("/v1/models/mnist:predict", "application/octet-stream", bytes));
  proto::TensorProto raw = tensor(proto::DT_UINT8, {1, 4, 3, 1});
  raw.set_tensor_content(bytes);
  EXPECT_EQ(probabilities(raw), want);
  proto::TensorProto listed = tensor(proto::DT_UINT8, {1, 12});
  for (int i = 0; i < kPixels; ++i) listed.add_int_val(i * 21);
  EXPECT_EQ(probabilities(listed), want);
  proto::TensorProto text = tensor(proto::DT_STRING, {1});
  text.add_string_val(bytes);
  EXPECT_EQ(probabilities(text), want);

  std::vector<uint8_t> drawing(20 * 20, 255);
  for (size_t row = 4; row < 16; ++row) drawing[row * 20 + 10] = drawing[row * 20 + 11] = 0;
  const std::string png = encode_png(drawing, 20, 20, 1).value();
  const std::vector<float> of_png = probabilities_in(rest("/v1/models/mnist:predict", "image/png", png));
  ASSERT_EQ(of_png.size(), static_cast<size_t>(kClasses));
  proto::TensorProto one = tensor(proto::DT_STRING, {});
  one.add_string_val(png);
  EXPECT_EQ(probabilities(one), of_png);
}

TEST_F(PredictionServiceTest, OutputFilterChoosesOutputs) {
  serving::PredictRequest request = request_of(floats({1, 12}, images(1)));
  request.add_output_filter("classes");
  const serving::PredictResponse response = predict(request);
  EXPECT_EQ(response.outputs_size(), 1);
  EXPECT_TRUE(response.outputs().contains("classes"));
  request.add_output_filter("probabilities");
  EXPECT_EQ(predict(request).outputs_size(), 2);
}

TEST_F(PredictionServiceTest, UnknownFieldsArePassedOver) {
  serving::PredictRequest request = request_of(floats({1, 12}, images(1)));
  request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(6, "a client of tomorrow");
  EXPECT_EQ(predict(request).outputs_size(), 2);
}

TEST_F(PredictionServiceTest, ClassifiesExamples) {
  const std::vector<float> pixels = images(2), want = rest_probabilities(pixels);
  serving::ClassificationRequest request;
  request.mutable_model_spec()->set_name("mnist");
  for (int i = 0; i < 2; ++i) {
    auto& feature = (*request.mutable_input()
                          ->mutable_example_list()
                          ->add_examples()
                          ->mutable_features()
                          ->mutable_feature())["inputs"];
    feature.mutable_float_list()->mutable_value()->Add(pixels.begin() + i * kPixels,
                                                       pixels.begin() + (i + 1) * kPixels);
  }
  serving::ClassificationResponse response;
  grpc::ClientContext context;
  const grpc::Status status = prediction_->Classify(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.model_spec().version().value(), 2);
  ASSERT_EQ(response.result().classifications_size(), 2);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(response.result().classifications(i).classes_size(), kClasses);
    for (int c = 0; c < kClasses; ++c) {
      EXPECT_EQ(response.result().classifications(i).classes(c).label(), std::to_string(c));
      EXPECT_EQ(response.result().classifications(i).classes(c).score(), want[static_cast<size_t>(i * kClasses + c)]);
    }
  }
}

TEST_F(PredictionServiceTest, ExamplesShareTheFeaturesOfTheirContext) {
  const std::vector<float> pixels = images(1), want = rest_probabilities(pixels);
  serving::ClassificationRequest request;
  request.mutable_model_spec()->set_name("mnist");
  auto& list = *request.mutable_input()->mutable_example_list_with_context();
  (*list.mutable_context()->mutable_features()->mutable_feature())["inputs"].mutable_float_list()->mutable_value()->Add(
      pixels.begin(), pixels.end());
  list.add_examples();
  (*list.add_examples()->mutable_features()->mutable_feature())["inputs"].mutable_bytes_list()->add_value(
      std::string(kPixels, '\0'));
  serving::ClassificationResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(prediction_->Classify(&context, request, &response).ok());
  ASSERT_EQ(response.result().classifications_size(), 2);
  EXPECT_EQ(response.result().classifications(0).classes(1).score(), want[1]);
  EXPECT_EQ(response.result().classifications(1).classes(1).score(),
            rest_probabilities(std::vector<float>(kPixels, 0.0f))[1]);
}

TEST_F(PredictionServiceTest, MetadataIsTheSignatureInAnAny) {
  serving::GetModelMetadataRequest request;
  request.mutable_model_spec()->set_name("mnist");
  request.add_metadata_field("signature_def");
  serving::GetModelMetadataResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(prediction_->GetModelMetadata(&context, request, &response).ok());
  EXPECT_EQ(response.model_spec().version().value(), 2);
  ASSERT_EQ(response.metadata_size(), 1);
  const auto& any = response.metadata().at("signature_def");
  EXPECT_EQ(any.type_url(), "type.googleapis.com/tensorflow.serving.SignatureDefMap");
  serving::SignatureDefMap map;
  ASSERT_TRUE(any.UnpackTo(&map));
  ASSERT_EQ(map.signature_def_size(), 2);
  for (const auto& [name, signature] : map.signature_def()) {
    EXPECT_THAT(name, testing::AnyOf("serving_default", "prediction"));
    EXPECT_EQ(signature.method_name(), "tensorflow/serving/predict");
    EXPECT_EQ(signature.inputs().at("inputs").dtype(), proto::DT_FLOAT);
    EXPECT_EQ(signature.inputs().at("inputs").name(), "Placeholder:0");
    EXPECT_EQ(signature.inputs().at("inputs").tensor_shape().dim(0).size(), -1);
    EXPECT_EQ(signature.inputs().at("inputs").tensor_shape().dim(1).size(), kPixels);
    EXPECT_EQ(signature.outputs().at("classes").dtype(), proto::DT_INT64);
    EXPECT_EQ(signature.outputs().at("probabilities").tensor_shape().dim(1).size(), kClasses);
  }
}

TEST_F(PredictionServiceTest, StatusListsVersionsNewestFirst) {
  serving::GetModelStatusRequest request;
  request.mutable_model_spec()->set_name("mnist");
  serving::GetModelStatusResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(models_->GetModelStatus(&context, request, &response).ok());
  ASSERT_EQ(response.model_version_status_size(), 2);
  EXPECT_EQ(response.model_version_status(0).version(), 2);
  EXPECT_EQ(response.model_version_status(1).version(), 1);
  for (const auto& version : response.model_version_status()) {
    EXPECT_EQ(version.state(), serving::ModelVersionStatus::AVAILABLE);
    EXPECT_EQ(version.status().error_code(), 0);
    EXPECT_EQ(version.status().error_message(), "");
  }
  request.mutable_model_spec()->mutable_version()->set_value(1);
  grpc::ClientContext second;
  ASSERT_TRUE(models_->GetModelStatus(&second, request, &response).ok());
  EXPECT_EQ(response.model_version_status_size(), 1);
}

TEST_F(PredictionServiceTest, IsCountedUnderItsOwnEntrypoint) {
  predict(request_of(floats({3, 12}, images(3))));
  const std::string page = metrics_.prometheus();
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_count{model_name=\"mnist\",status=\"OK\"} 1"));
  EXPECT_THAT(page, HasSubstr("API=\"predict\",entrypoint=\"GRPC\""));
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_example_count_total{model=\"mnist\"} 3"));
}

}  // namespace
}  // namespace lockstep
