// SPDX-License-Identifier: Apache-2.0
// What the server counts, in the text format of Prometheus; names are TensorFlow Serving's where it has them
// (":tensorflow:serving:request_count"), "lockstep_serving_…" otherwise. Thread-safe; a call takes a fraction of a
// microsecond.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

// Counts of values by size. Not thread-safe.
class PrometheusHistogram {
 public:
  // Bucket i is for values up to scale * growth^i, the last of them for all above.
  PrometheusHistogram(double scale, double growth, int buckets);
  void add(double value);
  int64_t count() const { return count_; }
  double sum() const { return sum_; }
  // Appends the lines `name_bucket{labels,le="…"} n` and those of sum and count.
  void append(std::string& out, std::string_view name, std::string_view labels) const;

 private:
  std::vector<double> limits_;
  std::vector<int64_t> counts_;  // one more than limits
  int64_t count_ = 0;
  double sum_ = 0;
};

// A request from its first byte that was read to its answer, whether good or not.
struct RequestRecord {
  // Empty unless such a model is served: names that clients make up must not become series.
  std::string_view model;
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string_view api;         // "predict", "classify", "GetModelStatus", …
  std::string_view entrypoint;  // "REST", "CLOUD_ML", "GRPC"
  int64_t latency_us = 0;
};

// Where the time of a prediction that succeeded went.
struct PredictionRecord {
  std::string_view model, api;
  int64_t examples = 0;        // of this request
  int64_t batch_examples = 0;  // of the pass that answered it
  double parse_us = 0, queue_us = 0, run_us = 0, answer_us = 0;
};

class ServingMetrics {
 public:
  void count_request(const RequestRecord& request);
  void observe(const PredictionRecord& prediction);
  // `lines` of others (connections, versions) are appended to every page; called while the page is made, by any thread.
  void add_source(std::function<std::string()> lines);
  // The whole page, with the process's memory, processor time and open files.
  std::string prometheus() const;

 private:
  using Names = std::tuple<std::string, std::string, std::string>;
  // Of names and views of names alike: clang 14 cannot compare tuples of the two.
  struct NamesLess {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      using View = std::string_view;
      if (const int order = View(std::get<0>(a)).compare(View(std::get<0>(b)))) return order < 0;
      if (const int order = View(std::get<1>(a)).compare(View(std::get<1>(b)))) return order < 0;
      return View(std::get<2>(a)) < View(std::get<2>(b));
    }
  };
  template <typename Value>
  using Series = std::map<Names, Value, NamesLess>;  // by the values of its labels, in the order they are printed in

  struct Model {
    int64_t examples_total = 0;
    PrometheusHistogram examples, batch_examples, parse_us, queue_us, run_us, answer_us;
    Model();
  };

  Model& model(std::string_view name);
  std::string_view counted(std::string_view name) const;
  void append_requests(std::string& out) const;
  void append_models(std::string& out) const;

  mutable std::mutex mutex_;                // guards what follows
  Series<int64_t> requests_;                // model, status
  Series<PrometheusHistogram> latency_us_;  // model, API, entrypoint
  Series<PrometheusHistogram> runtime_us_;  // model, API
  std::map<std::string, Model, std::less<>> models_;
  std::vector<std::function<std::string()>> sources_;
};

// The lines above the values of a metric.
std::string metric_heading(std::string_view name, std::string_view type, std::string_view help);
// A counter with a value for each `event`, heading included.
std::string event_counters(std::string_view name, std::string_view help,
                           std::initializer_list<std::pair<std::string_view, int64_t>> events);
// `name="value"`, the value escaped as Prometheus wants it.
std::string metric_label(std::string_view name, std::string_view value);

}  // namespace lockstep
