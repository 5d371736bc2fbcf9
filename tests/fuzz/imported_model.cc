// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/imported_model.h"

#include "core/base/check.h"
#include "core/nn/network.h"

namespace lockstep {

void check_imported(const absl::StatusOr<TrainedModel>& model) {
  if (!model.ok()) {
    LOCKSTEP_CHECK(!model.status().message().empty());
    return;
  }
  const auto network = Network::build(model->config);
  LOCKSTEP_CHECK(network.ok());
  LOCKSTEP_CHECK_EQ(static_cast<int64_t>(model->weights.size()), network->params().buffer_size());
  LOCKSTEP_CHECK(model->sources.empty() || model->sources.size() == network->params().params().size());
}

}  // namespace lockstep
