// SPDX-License-Identifier: Apache-2.0
// A prediction on its way from request to answer, as far as protocols do not differ: whom it runs on, how long its
// parts take, and what the metrics are told.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "serve/models/model_store.h"
#include "serve/requests/parsed_predict.h"
#include "serve/rest/metrics.h"

namespace lockstep {

// Not thread-safe; lives until the request is answered, and borrows the metrics for so long.
class PredictionTrace {
 public:
  using Clock = std::chrono::steady_clock;

  // `api` and `entrypoint` ("predict", "REST") as the metrics know them, for as long as the program runs.
  PredictionTrace(ServingMetrics& metrics, std::string_view api, std::string_view entrypoint,
                  Clock::time_point received)
      : metrics_(metrics), api_(api), entrypoint_(entrypoint), received_(received) {}

  void set_servable(std::shared_ptr<Servable> servable) { servable_ = std::move(servable); }
  const Servable& servable() const { return *servable_; }

  // What `parse` returns, timed.
  template <typename Parse>
  auto parse(Parse parse) {
    const auto begin = Clock::now();
    auto parsed = parse();
    prediction_.parse_us = us_since(begin);
    return parsed;
  }

  // Has the network run on these; `done` as PredictTask's.
  void run(ParsedPredict parsed, Clock::time_point deadline, std::function<void(absl::StatusOr<PredictAnswer>)> done);
  bool has_run() const { return has_run_; }

  // Tells the metrics of a network's answer, which took so long to write.
  void observe(const PredictAnswer& answer, double answer_us);
  // And of the end of the request, whatever it is; once.
  void finish(absl::StatusCode code);

  const PredictionRecord& times() const { return prediction_; }
  static double us_since(Clock::time_point start);

 private:
  ServingMetrics& metrics_;
  const std::string_view api_, entrypoint_;
  const Clock::time_point received_;
  std::shared_ptr<Servable> servable_;
  PredictionRecord prediction_;
  bool has_run_ = false;
};

}  // namespace lockstep
