// SPDX-License-Identifier: Apache-2.0
#include "serve/requests/prediction_trace.h"

namespace lockstep {

double PredictionTrace::us_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

void PredictionTrace::run(ParsedPredict parsed, Clock::time_point deadline,
                          std::function<void(absl::StatusOr<PredictAnswer>)> done) {
  prediction_.examples = parsed.examples;
  has_run_ = true;
  PredictTask task;
  task.inputs = std::move(parsed.inputs);
  task.examples = parsed.examples;
  task.deadline = deadline;
  task.done = std::move(done);
  servable_->predict(std::move(task));
}

void PredictionTrace::observe(const PredictAnswer& answer, double answer_us) {
  prediction_.queue_us = static_cast<double>(answer.times.queue_us);
  prediction_.run_us = static_cast<double>(answer.times.run_us);
  prediction_.batch_examples = answer.times.batch_examples;
  prediction_.model = servable_->id().model;
  prediction_.api = api_;
  prediction_.answer_us = answer_us;
  metrics_.observe(prediction_);
}

void PredictionTrace::finish(absl::StatusCode code) {
  metrics_.count_request({.model = servable_ ? std::string_view(servable_->id().model) : std::string_view(),
                          .code = code,
                          .api = api_,
                          .entrypoint = entrypoint_,
                          .latency_us = static_cast<int64_t>(us_since(received_))});
}

}  // namespace lockstep
