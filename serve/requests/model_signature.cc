// SPDX-License-Identifier: Apache-2.0
#include "serve/requests/model_signature.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "serve/instances.h"
#include "serve/rest/abseil_text.h"

namespace lockstep {

ModelSignature signature_of(const Servable& servable) {
  return {.input = {kInputName, true, {-1, servable.input().size()}, "Placeholder:0"},
          .classes = {kClassesOutput, false, {-1}, "ArgMax:0"},
          .probabilities = {kProbabilitiesOutput, true, {-1, servable.classes()}, "softmax_tensor:0"}};
}

bool is_signature_name(std::string_view name) {
  return name.empty() || std::ranges::find(kSignatureNames, name) != kSignatureNames.end();
}

absl::Status with_models(const absl::Status& status, const ModelStore& store) {
  if (!absl::IsNotFound(status)) return status;
  std::vector<std::string> names = store.models();
  constexpr size_t kMostNames = 20;
  if (names.size() > kMostNames) names.resize(kMostNames);
  return absl::NotFoundError(fmt::format("{}. Models here: {}", status_text(status),
                                         names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))));
}

absl::Status no_regression(std::string_view instead) {
  return absl::InvalidArgumentError(
      fmt::format("Expected regression signature method_name to be tensorflow/serving/regress. Was: {}. This is a "
                  "classifier: use {}.",
                  kPredictMethodName, instead));
}

}  // namespace lockstep
