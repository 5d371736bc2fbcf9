// SPDX-License-Identifier: Apache-2.0
// Bad requests, given to the handler without a socket between.
#include <gmock/gmock.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <future>
#include <random>

#include "serve/grpc/proto/serving.pb.h"
#include "tests/serve/grpc/service_fixture.h"

namespace lockstep {
namespace {

namespace serving = tensorflow::serving;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr char kPredict[] = "/tensorflow.serving.PredictionService/Predict";
constexpr char kClassify[] = "/tensorflow.serving.PredictionService/Classify";
constexpr char kMetadata[] = "/tensorflow.serving.PredictionService/GetModelMetadata";
constexpr char kStatus[] = "/tensorflow.serving.ModelService/GetModelStatus";

class PredictionErrors : public ServiceFixture {
 protected:
  absl::StatusOr<std::string> ask(const std::string& method, const std::string& body,
                                  Clock::time_point deadline = Clock::now() + std::chrono::seconds(30)) {
    std::promise<absl::StatusOr<std::string>> answer;
    handler_({method, body, Clock::now(), deadline},
             [&](absl::StatusOr<std::string> given) { answer.set_value(std::move(given)); });
    auto future = answer.get_future();
    LOCKSTEP_CHECK(future.wait_for(std::chrono::seconds(30)) == std::future_status::ready);
    return future.get();
  }

  static serving::PredictRequest good_predict(int n = 1) {
    serving::PredictRequest request;
    request.mutable_model_spec()->set_name("mnist");
    const std::vector<float> pixels = images(n);
    auto& tensor = (*request.mutable_inputs())["inputs"];
    tensor.set_dtype(proto::DT_FLOAT);
    for (const int size : {n, kPixels}) tensor.mutable_tensor_shape()->add_dim()->set_size(size);
    tensor.mutable_float_val()->Add(pixels.begin(), pixels.end());
    return request;
  }
  static serving::ClassificationRequest good_classify() {
    serving::ClassificationRequest request;
    request.mutable_model_spec()->set_name("mnist");
    const std::vector<float> pixels = images(1);
    (*request.mutable_input()->mutable_example_list()->add_examples()->mutable_features()->mutable_feature())["inputs"]
        .mutable_float_list()
        ->mutable_value()
        ->Add(pixels.begin(), pixels.end());
    return request;
  }

  // A good request, spoilt.
  absl::Status after(const std::function<void(serving::PredictRequest&)>& spoil) {
    serving::PredictRequest request = good_predict();
    spoil(request);
    return ask(kPredict, request.SerializeAsString()).status();
  }
  absl::Status after_tensor(const std::function<void(proto::TensorProto&)>& spoil) {
    return after([&](serving::PredictRequest& request) { spoil((*request.mutable_inputs())["inputs"]); });
  }
  absl::Status after_classify(const std::function<void(serving::ClassificationRequest&)>& spoil) {
    serving::ClassificationRequest request = good_classify();
    spoil(request);
    return ask(kClassify, request.SerializeAsString()).status();
  }

  static void expect(const absl::Status& status, absl::StatusCode code, const std::vector<std::string>& parts) {
    EXPECT_EQ(status.code(), code) << status;
    for (const std::string& part : parts) EXPECT_THAT(std::string(status.message()), HasSubstr(part));
  }
  static void expect_invalid(const absl::Status& status, const std::vector<std::string>& parts) {
    expect(status, absl::StatusCode::kInvalidArgument, parts);
  }

  static void reshape(proto::TensorProto& tensor, std::initializer_list<int64_t> sizes) {
    tensor.clear_tensor_shape();
    for (const int64_t size : sizes) tensor.mutable_tensor_shape()->add_dim()->set_size(size);
  }
};

TEST_F(PredictionErrors, OfTheModel) {
  expect_invalid(after([](auto& request) { request.clear_model_spec(); }), {"Missing ModelSpec"});
  expect_invalid(after([](auto& request) { request.mutable_model_spec()->clear_name(); }),
                 {"ModelSpec has no name specified."});
  expect(after([](auto& request) { request.mutable_model_spec()->set_name("fashion"); }), absl::StatusCode::kNotFound,
         {"Servable not found for request: Latest(fashion)", "Models here: mnist"});
  expect(after([](auto& request) { request.mutable_model_spec()->mutable_version()->set_value(7); }),
         absl::StatusCode::kNotFound, {"Specific(mnist, 7)"});
  expect(after([](auto& request) { request.mutable_model_spec()->set_version_label("canary"); }),
         absl::StatusCode::kNotFound, {"canary"});
  expect(after([](auto& request) { request.mutable_model_spec()->set_signature_name("regress_it"); }),
         absl::StatusCode::kFailedPrecondition, {"Serving signature key \"regress_it\" not found.", "serving_default"});
}

TEST_F(PredictionErrors, OfNamesOfInputsAndOutputs) {
  expect_invalid(after([](auto& request) { request.clear_inputs(); }),
                 {"input size does not match signature: 0!=1", "Missing but required: {inputs}"});
  expect_invalid(after([](auto& request) {
                   (*request.mutable_inputs())["images"] = request.inputs().at("inputs");
                   request.mutable_inputs()->erase("inputs");
                 }),
                 {"input tensor alias not found in signature: images. Inputs expected to be in the set {inputs}."});
  expect_invalid(after([](auto& request) { (*request.mutable_inputs())["keep_prob"] = {}; }),
                 {"input size does not match signature: 2!=1", "Sent extra: {keep_prob}"});
  expect_invalid(after([](auto& request) { request.add_output_filter("logits"); }),
                 {"output tensor alias not found in signature: logits", "{classes,probabilities}"});
  expect_invalid(after([](auto& request) {
                   request.add_output_filter("classes");
                   request.add_output_filter("classes");
                 }),
                 {"duplicate output tensor alias: classes"});
}

TEST_F(PredictionErrors, OfShapesSayWhatIsExpectedWithAnExample) {
  const std::vector<std::string> expected = {"[n,12], [n,4,3] or [n,4,3,1]", "tf.make_tensor_proto"};
  const auto with = [&](std::vector<int64_t> sizes) {
    return after_tensor([&](proto::TensorProto& tensor) {
      tensor.clear_tensor_shape();
      for (const int64_t size : sizes) tensor.mutable_tensor_shape()->add_dim()->set_size(size);
    });
  };
  expect_invalid(with({12}), expected);
  expect_invalid(with({12}), {"got shape [12]"});
  expect_invalid(with({}), {"got shape []"});
  expect_invalid(with({1, 11}), {"got shape [1,11]"});
  expect_invalid(with({1, 3, 4}), {"got shape [1,3,4]"});
  expect_invalid(with({1, 4, 3, 3}), expected);
  expect_invalid(with({-1, 12}), {"got shape [-1,12]"});
  expect_invalid(with(std::vector<int64_t>(100, 1)), {"[1,1,1,1,1,1,1,1,…]"});
  expect_invalid(with({0, 12}), {"has 0 images"});
  expect_invalid(with({51, 12}), {"has 51 images, at most 50"});
  expect_invalid(with({int64_t{1} << 62, 12}), {"at most 50"});
  expect_invalid(after_tensor([](auto& tensor) {
                   tensor.mutable_tensor_shape()->set_unknown_rank(true), tensor.mutable_tensor_shape()->clear_dim();
                 }),
                 {"got shape [unknown]"});
}

TEST_F(PredictionErrors, OfValues) {
  expect_invalid(after_tensor([](auto& tensor) { tensor.add_float_val(1); }), {"13 values in float_val", "has 12"});
  expect_invalid(after_tensor([](auto& tensor) { tensor.set_tensor_content("abc"); }),
                 {"3 bytes in tensor_content", "has 48"});
  expect_invalid(after_tensor([](auto& tensor) { tensor.set_float_val(3, NAN); }), {"number 3", "nan"});
  expect_invalid(after_tensor([](auto& tensor) { tensor.set_float_val(11, -INFINITY); }), {"number 11", "-inf"});
  expect_invalid(after_tensor([](auto& tensor) { tensor.set_dtype(proto::DT_DOUBLE); }),
                 {"'inputs' is DT_DOUBLE, expected DT_FLOAT", "dtype=tf.float32"});
  expect_invalid(after_tensor([](auto& tensor) { tensor.set_dtype(static_cast<proto::DataType>(77)); }), {"type 77"});
  expect_invalid(after_tensor([](auto& tensor) {
                   tensor.set_dtype(proto::DT_UINT8);
                   tensor.add_int_val(256);
                 }),
                 {"256 in int_val is no uint8"});
  expect_invalid(after_tensor([](auto& tensor) {
                   tensor.set_dtype(proto::DT_UINT8);
                   tensor.set_tensor_content("abc");
                 }),
                 {"3 bytes in tensor_content", "has 12"});
}

TEST_F(PredictionErrors, OfPictures) {
  const auto with = [&](std::initializer_list<int64_t> sizes, const std::vector<std::string>& values) {
    return after_tensor([&](proto::TensorProto& tensor) {
      tensor.set_dtype(proto::DT_STRING);
      reshape(tensor, sizes);
      tensor.clear_float_val();
      for (const std::string& value : values) tensor.add_string_val(value);
    });
  };
  expect_invalid(with({1}, {"no picture"}), {"element: 0 of 'inputs'", "expected a PNG or 12 bytes"});
  expect_invalid(with({2}, {std::string(12, 'a')}), {"1 values in string_val", "has 2"});
  expect_invalid(with({1, 1}, {std::string(12, 'a')}), {"got shape [1,1] of DT_STRING"});
  expect_invalid(with({0}, {}), {"has 0 images"});
}

TEST_F(PredictionErrors, OfClassify) {
  expect_invalid(after_classify([](auto& request) { request.clear_input(); }), {"Input is empty."});
  expect_invalid(after_classify([](auto& request) { request.clear_model_spec(); }), {"Missing ModelSpec"});
  expect_invalid(after_classify([](auto& request) { request.mutable_model_spec()->set_signature_name("x"); }),
                 {"No signature was found with the name: x"});
  const auto with = [&](const std::function<void(serving::Feature&)>& spoil) {
    return after_classify([&](auto& request) {
      spoil((*request.mutable_input()
                  ->mutable_example_list()
                  ->mutable_examples(0)
                  ->mutable_features()
                  ->mutable_feature())["inputs"]);
    });
  };
  expect_invalid(with([](auto& feature) { feature.mutable_float_list()->add_value(1); }),
                 {"element: 0", "got shape [13]", "[12], [4,3] or [4,3,1]"});
  expect_invalid(with([](auto& feature) { feature.mutable_float_list()->set_value(2, NAN); }), {"number 2"});
  expect_invalid(with([](auto& feature) { feature.mutable_int64_list()->add_value(1); }), {"an int64_list"});
  expect_invalid(with([](auto& feature) { feature.clear_kind(); }), {"empty"});
  expect_invalid(after_classify([](auto& request) {
                   auto& features =
                       *request.mutable_input()->mutable_example_list()->mutable_examples(0)->mutable_features();
                   (*features.mutable_feature())["image_raw"] = {};
                   features.mutable_feature()->erase("inputs");
                 }),
                 {"no feature 'inputs'", "image_raw"});
}

TEST_F(PredictionErrors, OfMetadataAndStatus) {
  serving::GetModelMetadataRequest metadata;
  metadata.mutable_model_spec()->set_name("mnist");
  expect_invalid(ask(kMetadata, metadata.SerializeAsString()).status(), {"at least one metadata_field"});
  metadata.add_metadata_field("weights");
  expect_invalid(ask(kMetadata, metadata.SerializeAsString()).status(), {"Metadata field weights is not supported"});
  serving::GetModelStatusRequest status;
  expect_invalid(ask(kStatus, status.SerializeAsString()).status(), {"Missing ModelSpec"});
  status.mutable_model_spec()->set_name("none");
  expect(ask(kStatus, status.SerializeAsString()).status(), absl::StatusCode::kNotFound,
         {"Could not find any versions of model none"});
}

TEST_F(PredictionErrors, OfMethods) {
  expect_invalid(ask("/tensorflow.serving.PredictionService/Regress", "").status(), {"regress", "use Predict"});
  for (const char* method : {"/tensorflow.serving.PredictionService/MultiInference", "/x/y", "", "\xff\n"}) {
    expect(ask(method, "").status(), absl::StatusCode::kUnimplemented, {"GetModelStatus"});
  }
}

TEST_F(PredictionErrors, ALateRequestIsNotBegun) {
  expect(ask(kPredict, good_predict().SerializeAsString(), Clock::now() - std::chrono::seconds(1)).status(),
         absl::StatusCode::kDeadlineExceeded, {"the deadline passed"});
}

TEST_F(PredictionErrors, AFullQueueIsUnavailable) {
  ModelStore store({.servable = {.max_batch_size = 1, .max_queue_examples = 1}});
  store.set_wanted("test", {{"mnist", {{1, "", directory_.file("model")}}, std::nullopt}});
  const auto by = Clock::now() + std::chrono::seconds(30);
  while (!store.ready()) {
    ASSERT_LT(Clock::now(), by);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const GrpcHandler handler = make_prediction_service(store, metrics_, options_);
  const std::string body = good_predict(50).SerializeAsString();
  std::atomic<int> turned_away{0}, answered{0}, other{0};
  constexpr int kRequests = 200;
  for (int i = 0; i < kRequests; ++i) {
    handler({kPredict, body, Clock::now(), Clock::now() + std::chrono::seconds(30)},
            [&](const absl::StatusOr<std::string>& answer) {
              ++(answer.ok() ? answered : absl::IsUnavailable(answer.status()) ? turned_away : other);
            });
  }
  store.drain(std::chrono::seconds(30));
  EXPECT_EQ(answered + turned_away, kRequests);
  EXPECT_GT(answered, 0);
  EXPECT_GT(turned_away, 0);
  EXPECT_EQ(other, 0);
}

TEST_F(PredictionErrors, BytesThatAreNoMessageAreRefused) {
  for (const char* method : {kPredict, kClassify, kMetadata, kStatus}) {
    for (const std::string& body : {std::string("\xff\xff\xff\xff"), std::string("\x0a\x7f"), std::string(1, '\x0b')}) {
      expect_invalid(ask(method, body).status(), {"bytes of the request are no tensorflow.serving."});
    }
  }
}

// Every answer to a damaged request is one, and of a code that says whose fault it is.
TEST_F(PredictionErrors, DamagedRequestsAreAnswered) {
  std::mt19937 random(3);
  const std::vector<std::pair<std::string, std::string>> good = {{kPredict, good_predict(2).SerializeAsString()},
                                                                 {kClassify, good_classify().SerializeAsString()}};
  int accepted = 0, refused = 0;
  for (int i = 0; i < 4000; ++i) {
    auto [method, body] = good[static_cast<size_t>(i % 2)];
    for (int flips = 1 + i % 3; flips > 0; --flips) body[random() % body.size()] = static_cast<char>(random());
    if (i % 5 == 0) body.resize(random() % body.size());
    const absl::Status status = ask(method, body).status();
    ++(status.ok() ? accepted : refused);
    ASSERT_THAT(status.code(), AnyOf(absl::StatusCode::kOk, absl::StatusCode::kInvalidArgument,
                                     absl::StatusCode::kNotFound, absl::StatusCode::kFailedPrecondition))
        << status << " in round " << i;
  }
  EXPECT_GT(accepted, 100);
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace lockstep
