// SPDX-License-Identifier: Apache-2.0
// Requests over gRPC, for a served model of 4 x 3 grey pixels. First character: 0 a PredictRequest, 1 a
// ClassificationRequest, 2 a GetModelMetadataRequest, 3 a GetModelStatusRequest, in protobuf's text format; 4 to 7 the
// same as bytes.
#include <chrono>
#include <future>

#include "core/base/check.h"
#include "io/protobuf_bytes.h"
#include "serve/grpc/prediction_service.h"
#include "serve/grpc/proto/serving.pb.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/message_text.h"
#include "tests/fuzz/ready_model.h"

namespace {

using namespace lockstep;
namespace serving = tensorflow::serving;

absl::StatusOr<std::string> ask(const std::string& method, const std::string& body) {
  static ReadyModel served;
  static const GrpcHandler handler = make_prediction_service(served.store, served.metrics, served.options);
  std::promise<absl::StatusOr<std::string>> answer;
  const auto now = std::chrono::steady_clock::now();
  handler({method, body, now, now + std::chrono::hours(1)},
          [&](absl::StatusOr<std::string> given) { answer.set_value(std::move(given)); });
  return answer.get_future().get();
}

// An answer is a message of its type; an error tells whose fault it is.
template <typename Response>
Response check(const std::string& method, const std::string& body) {
  const auto answer = ask(method, body);
  Response response;
  if (answer.ok()) {
    LOCKSTEP_CHECK(parse_protobuf(*answer, &response));
    return response;
  }
  const absl::Status& status = answer.status();
  LOCKSTEP_CHECK(absl::IsInvalidArgument(status) || absl::IsNotFound(status) || absl::IsFailedPrecondition(status));
  LOCKSTEP_CHECK(!status.message().empty() && status.message().size() < 10'000 + 4 * body.size());
  return response;
}

void check_predict(const std::string& body) {
  const auto response = check<serving::PredictResponse>("/tensorflow.serving.PredictionService/Predict", body);
  const auto classes = response.outputs().find("classes"), probabilities = response.outputs().find("probabilities");
  if (classes == response.outputs().end() || probabilities == response.outputs().end()) return;
  LOCKSTEP_CHECK_EQ(classes->second.int64_val_size() * 3, probabilities->second.float_val_size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const int kind = static_cast<uint8_t>(take_byte(input) - '0') % 8;
  const bool is_text = kind < 4;
  const std::string bytes(input);
  switch (kind % 4) {
    case 0:
      check_predict(is_text ? bytes_of_text<serving::PredictRequest>(input) : bytes);
      break;
    case 1:
      check<serving::ClassificationResponse>("/tensorflow.serving.PredictionService/Classify",
                                             is_text ? bytes_of_text<serving::ClassificationRequest>(input) : bytes);
      break;
    case 2:
      check<serving::GetModelMetadataResponse>(
          "/tensorflow.serving.PredictionService/GetModelMetadata",
          is_text ? bytes_of_text<serving::GetModelMetadataRequest>(input) : bytes);
      break;
    default:
      check<serving::GetModelStatusResponse>("/tensorflow.serving.ModelService/GetModelStatus",
                                             is_text ? bytes_of_text<serving::GetModelStatusRequest>(input) : bytes);
  }
  return 0;
}
