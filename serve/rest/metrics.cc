// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/metrics.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "serve/rest/process_metrics.h"

namespace lockstep {
namespace {

// TensorFlow Serving's buckets: microseconds from 10 to about 20 minutes, examples from 1 to 16384.
PrometheusHistogram latency_histogram() { return {10, 1.8, 33}; }
PrometheusHistogram phase_histogram() { return {1, 1.8, 33}; }
PrometheusHistogram example_histogram() { return {1, 2, 15}; }

// Models that were ever served keep their series. Who swaps in thousands of names gets one series for all further ones.
constexpr size_t kMostModels = 1000;

constexpr std::string_view kRequestCount = ":tensorflow:serving:request_count";
constexpr std::string_view kRequestLatency = ":tensorflow:serving:request_latency";
constexpr std::string_view kRuntimeLatency = ":tensorflow:serving:runtime_latency";
constexpr std::string_view kExampleCounts = ":tensorflow:serving:request_example_counts";
constexpr std::string_view kExampleTotal = ":tensorflow:serving:request_example_count_total";
constexpr std::string_view kBatchExamples = "lockstep_serving_batch_examples";
constexpr std::string_view kPhaseTime = "lockstep_serving_phase_time_us";

std::string labels(std::initializer_list<std::pair<std::string_view, std::string_view>> pairs) {
  std::string out;
  for (const auto& [name, value] : pairs) {
    if (!out.empty()) out += ',';
    out += metric_label(name, value);
  }
  return out;
}

}  // namespace

std::string metric_heading(std::string_view name, std::string_view type, std::string_view help) {
  return fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

std::string event_counters(std::string_view name, std::string_view help,
                           std::initializer_list<std::pair<std::string_view, int64_t>> events) {
  std::string out = metric_heading(name, "counter", help);
  for (const auto& [event, count] : events) out += fmt::format("{}{{event=\"{}\"}} {}\n", name, event, count);
  return out;
}

std::string metric_label(std::string_view name, std::string_view value) {
  std::string out(name);
  out += "=\"";
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + '"';
}

PrometheusHistogram::PrometheusHistogram(double scale, double growth, int buckets)
    : counts_(static_cast<size_t>(buckets)) {
  for (int i = 0; i + 1 < buckets; ++i, scale *= growth) limits_.push_back(scale);
}

void PrometheusHistogram::add(double value) {
  ++counts_[static_cast<size_t>(std::lower_bound(limits_.begin(), limits_.end(), value) - limits_.begin())];
  ++count_;
  sum_ += value;
}

void PrometheusHistogram::append(std::string& out, std::string_view name, std::string_view label_text) const {
  int64_t cumulative = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    cumulative += counts_[i];
    const std::string limit = i < limits_.size() ? fmt::format("{:g}", limits_[i]) : "+Inf";
    out += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", name, label_text, limit, cumulative);
  }
  out += fmt::format("{0}_sum{{{1}}} {2:.9g}\n{0}_count{{{1}}} {3}\n", name, label_text, sum_, count_);
}

ServingMetrics::Model::Model()
    : examples(example_histogram()),
      batch_examples(example_histogram()),
      parse_us(phase_histogram()),
      queue_us(phase_histogram()),
      run_us(phase_histogram()),
      answer_us(phase_histogram()) {}

std::string_view ServingMetrics::counted(std::string_view name) const {
  return models_.size() < kMostModels || models_.contains(name) ? name : "";
}

ServingMetrics::Model& ServingMetrics::model(std::string_view name) {
  const auto found = models_.find(name);
  return found != models_.end() ? found->second : models_[std::string(name)];
}

template <typename Series, typename Make>
static typename Series::mapped_type& at(Series& series,
                                        const std::tuple<std::string_view, std::string_view, std::string_view>& names,
                                        Make make) {
  const auto found = series.find(names);
  return found != series.end() ? found->second : series.emplace(names, make()).first->second;
}

void ServingMetrics::count_request(const RequestRecord& request) {
  const std::string code = absl::StatusCodeToString(request.code);
  const std::lock_guard lock(mutex_);
  const std::string_view name = counted(request.model);
  ++at(requests_, {name, code, ""}, [] { return int64_t{0}; });
  if (request.code == absl::StatusCode::kOk) {  // as TensorFlow Serving: failures are fast and would flatter
    at(latency_us_, {name, request.api, request.entrypoint}, latency_histogram)
        .add(static_cast<double>(request.latency_us));
  }
}

void ServingMetrics::observe(const PredictionRecord& prediction) {
  const std::lock_guard lock(mutex_);
  const std::string_view name = counted(prediction.model);
  Model& of_model = model(name);
  of_model.examples_total += prediction.examples;
  of_model.examples.add(static_cast<double>(prediction.examples));
  of_model.batch_examples.add(static_cast<double>(prediction.batch_examples));
  of_model.parse_us.add(prediction.parse_us);
  of_model.queue_us.add(prediction.queue_us);
  of_model.run_us.add(prediction.run_us);
  of_model.answer_us.add(prediction.answer_us);
  at(runtime_us_, {name, prediction.api, ""}, latency_histogram).add(prediction.run_us);
}

void ServingMetrics::add_source(std::function<std::string()> lines) {
  const std::lock_guard lock(mutex_);
  sources_.push_back(std::move(lines));
}

void ServingMetrics::append_requests(std::string& out) const {
  out += metric_heading(kRequestCount, "counter",
                        "Requests by model and status; no model's name: not one that is served.");
  for (const auto& [names, count] : requests_) {
    const auto& [name, status, unused] = names;
    out += fmt::format("{}{{{}}} {}\n", kRequestCount, labels({{"model_name", name}, {"status", status}}), count);
  }
  out +=
      metric_heading(kRequestLatency, "histogram", "Microseconds from request to answer, of requests that succeeded.");
  for (const auto& [names, histogram] : latency_us_) {
    const auto& [name, api, entrypoint] = names;
    histogram.append(out, kRequestLatency, labels({{"model_name", name}, {"API", api}, {"entrypoint", entrypoint}}));
  }
  out +=
      metric_heading(kRuntimeLatency, "histogram", "Microseconds of the pass of the network that answered a request.");
  for (const auto& [names, histogram] : runtime_us_) {
    const auto& [name, api, unused] = names;
    histogram.append(out, kRuntimeLatency, labels({{"model_name", name}, {"API", api}, {"runtime", "Lockstep"}}));
  }
}

void ServingMetrics::append_models(std::string& out) const {
  out += metric_heading(kExampleTotal, "counter", "Examples predicted.");
  for (const auto& [name, model] : models_) {
    out += fmt::format("{}{{{}}} {}\n", kExampleTotal, labels({{"model", name}}), model.examples_total);
  }
  out += metric_heading(kExampleCounts, "histogram", "Examples in a request.");
  for (const auto& [name, model] : models_) model.examples.append(out, kExampleCounts, labels({{"model", name}}));
  out += metric_heading(kBatchExamples, "histogram", "Examples in the pass of the network that answered a request.");
  for (const auto& [name, model] : models_) {
    model.batch_examples.append(out, kBatchExamples, labels({{"model_name", name}}));
  }
  out +=
      metric_heading(kPhaseTime, "histogram", "Microseconds of a prediction: parsing, waiting, the network, writing.");
  for (const auto& [name, model] : models_) {
    const std::array<std::pair<std::string_view, const PrometheusHistogram*>, 4> phases{
        {{"parse", &model.parse_us}, {"queue", &model.queue_us}, {"run", &model.run_us}, {"answer", &model.answer_us}}};
    for (const auto& [phase, histogram] : phases) {
      histogram->append(out, kPhaseTime, labels({{"model_name", name}, {"phase", phase}}));
    }
  }
}

std::string ServingMetrics::prometheus() const {
  std::string out;
  std::vector<std::function<std::string()>> sources;
  {
    const std::lock_guard lock(mutex_);
    append_requests(out);
    append_models(out);
    sources = sources_;
  }
  for (const auto& source : sources) out += source();  // without the lock: they may count something themselves
  return out + process_metrics();
}

}  // namespace lockstep
