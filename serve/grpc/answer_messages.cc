// SPDX-License-Identifier: Apache-2.0
#include "serve/grpc/answer_messages.h"

#include <fmt/format.h>

#include <string_view>

#include "serve/grpc/proto/serving.pb.h"
#include "serve/requests/model_signature.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

namespace serving = tensorflow::serving;

void fill_spec(const Servable& servable, serving::ModelSpec& spec) {
  spec.set_name(servable.id().model);
  spec.mutable_version()->set_value(servable.id().version);
}

void fill_spec(const Servable& servable, const AnsweredBy& by, serving::ModelSpec& spec) {
  fill_spec(servable, spec);
  spec.set_signature_name(by.signature_name.empty() ? "serving_default" : by.signature_name);
}

proto::TensorProto& add_output(serving::PredictResponse& response, std::string_view name, proto::DataType type,
                               std::initializer_list<size_t> sizes) {
  proto::TensorProto& tensor = (*response.mutable_outputs())[std::string(name)];
  tensor.set_dtype(type);
  for (const size_t size : sizes) tensor.mutable_tensor_shape()->add_dim()->set_size(static_cast<int64_t>(size));
  return tensor;
}

proto::TensorInfo info_of(const SignatureTensor& tensor) {
  proto::TensorInfo info;
  info.set_name(std::string(tensor.name));
  info.set_dtype(tensor.is_float ? proto::DT_FLOAT : proto::DT_INT64);
  for (const int64_t size : tensor.sizes) info.mutable_tensor_shape()->add_dim()->set_size(size);
  return info;
}

}  // namespace

std::string predict_response(const Servable& servable, const AnsweredBy& by, const PredictAnswer& answer) {
  serving::PredictResponse response;
  fill_spec(servable, by, *response.mutable_model_spec());
  const size_t examples = answer.classes.size();
  if (by.classes) {
    auto& tensor = add_output(response, kClassesOutput, proto::DT_INT64, {examples});
    tensor.mutable_int64_val()->Add(answer.classes.begin(), answer.classes.end());
  }
  if (by.probabilities) {
    auto& tensor = add_output(response, kProbabilitiesOutput, proto::DT_FLOAT,
                              {examples, static_cast<size_t>(servable.classes())});
    tensor.mutable_float_val()->Add(answer.probabilities.begin(), answer.probabilities.end());
  }
  return response.SerializeAsString();
}

std::string classification_response(const Servable& servable, const AnsweredBy& by, const PredictAnswer& answer) {
  serving::ClassificationResponse response;
  fill_spec(servable, by, *response.mutable_model_spec());
  const auto count = static_cast<size_t>(servable.classes());
  for (size_t i = 0; i < answer.classes.size(); ++i) {
    auto& classifications = *response.mutable_result()->add_classifications();
    for (size_t c = 0; c < count; ++c) {
      auto& one = *classifications.add_classes();
      one.set_label(fmt::format("{}", c));
      one.set_score(answer.probabilities[i * count + c]);
    }
  }
  return response.SerializeAsString();
}

std::string metadata_response(const Servable& servable) {
  const ModelSignature signature = signature_of(servable);
  proto::SignatureDef def;
  (*def.mutable_inputs())[std::string(signature.input.alias)] = info_of(signature.input);
  for (const SignatureTensor& output : {signature.classes, signature.probabilities}) {
    (*def.mutable_outputs())[std::string(output.alias)] = info_of(output);
  }
  def.set_method_name(std::string(kPredictMethodName));
  serving::SignatureDefMap signatures;
  for (const std::string_view name : kSignatureNames) (*signatures.mutable_signature_def())[std::string(name)] = def;
  serving::GetModelMetadataResponse response;
  fill_spec(servable, *response.mutable_model_spec());
  (*response.mutable_metadata())["signature_def"].PackFrom(signatures);
  return response.SerializeAsString();
}

std::string status_response(const std::vector<VersionStatus>& versions) {
  serving::GetModelStatusResponse response;
  for (const VersionStatus& version : versions) {
    auto& status = *response.add_model_version_status();
    status.set_version(version.version);
    status.set_state(static_cast<serving::ModelVersionStatus::State>(version.state));
    status.mutable_status()->set_error_code(static_cast<int>(version.status.code()));
    // A path in it may hold bytes that are no UTF-8, which a client would refuse with all of the answer.
    status.mutable_status()->set_error_message(printable(std::string(version.status.message())));
  }
  return response.SerializeAsString();
}

}  // namespace lockstep
