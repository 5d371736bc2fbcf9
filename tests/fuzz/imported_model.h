// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/nn/trained_model.h"

namespace lockstep {

// What every model that was imported must be, however damaged its file: a network that can be built, with all its
// weights.
void check_imported(const absl::StatusOr<TrainedModel>& model);

}  // namespace lockstep
