// SPDX-License-Identifier: Apache-2.0
// Accuracy and mean loss over (part of) a data set, spread over the ranks.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/status.h"
#include "core/nn/classifier.h"
#include "io/batch_source.h"
#include "mpi/communicator.h"

namespace lockstep {

struct EvalOptions {
  int64_t steps = 100;  // batches; 0: the whole set
  int64_t batch_size = 100;
  int max_mistakes = 10;       // kept for the image summary
  double file_patience_s = 0;  // see FileWatch
};

struct Mistake {
  int64_t index = 0;  // in the data set
  int32_t label = 0;
  int32_t predicted = 0;
};

struct EvalResult {
  int64_t examples = 0;
  double accuracy = 0;
  double loss = 0;                // mean
  std::vector<Mistake> mistakes;  // lowest indices first
};

// Collective: batch i is evaluated by rank i mod N; sums are added in the order of the batches, so the result is the
// same for every number of ranks, and the same on every rank. Examples are the first steps * batch_size of the set.
absl::StatusOr<EvalResult> evaluate(Communicator& communicator, Classifier& classifier, const Dataset& data,
                                    const EvalOptions& options);

}  // namespace lockstep
