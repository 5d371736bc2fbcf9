// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/metrics.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ServingMetrics, CountsRequestsByModelAndStatus) {
  ServingMetrics metrics;
  for (int i = 0; i < 3; ++i) {
    metrics.count_request({"mnist", absl::StatusCode::kOk, "predict", "REST", 150});
  }
  metrics.count_request({"mnist", absl::StatusCode::kInvalidArgument, "predict", "REST", 20});
  metrics.count_request({"", absl::StatusCode::kNotFound, "predict", "GRPC", 5});
  const std::string page = metrics.prometheus();
  EXPECT_THAT(page, HasSubstr("# TYPE :tensorflow:serving:request_count counter\n"));
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_count{model_name=\"mnist\",status=\"OK\"} 3\n"));
  EXPECT_THAT(page,
              HasSubstr(":tensorflow:serving:request_count{model_name=\"mnist\",status=\"INVALID_ARGUMENT\"} 1\n"));
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_count{model_name=\"\",status=\"NOT_FOUND\"} 1\n"));
  const std::string latency = "{model_name=\"mnist\",API=\"predict\",entrypoint=\"REST\"";
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_latency_count" + latency + "} 3\n"));
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_latency_sum" + latency + "} 450\n"));
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_latency_bucket" + latency + ",le=\"104.976\"} 0\n"));
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_latency_bucket" + latency + ",le=\"188.957\"} 3\n"));
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_latency_bucket" + latency + ",le=\"+Inf\"} 3\n"));
  EXPECT_THAT(page, Not(HasSubstr("entrypoint=\"GRPC\""))) << "a failure has no latency, as in TensorFlow Serving";
}

TEST(ServingMetrics, TellsWhereTheTimeOfPredictionsWent) {
  ServingMetrics metrics;
  metrics.observe({"m", "predict", 2, 10, 7.5, 30, 200, 3});
  metrics.observe({"m", "predict", 5, 12, 8.5, 10, 100, 1});
  const std::string page = metrics.prometheus();
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_example_count_total{model=\"m\"} 7\n"));
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_example_counts_bucket{model=\"m\",le=\"4\"} 1\n"));
  EXPECT_THAT(
      page,
      HasSubstr(
          ":tensorflow:serving:runtime_latency_sum{model_name=\"m\",API=\"predict\",runtime=\"Lockstep\"} 300\n"));
  EXPECT_THAT(page, HasSubstr("lockstep_serving_batch_examples_sum{model_name=\"m\"} 22\n"));
  for (const std::string line :
       {"phase=\"parse\"} 16\n", "phase=\"queue\"} 40\n", "phase=\"run\"} 300\n", "phase=\"answer\"} 4\n"}) {
    EXPECT_THAT(page, HasSubstr(fmt::format("lockstep_serving_phase_time_us_sum{{model_name=\"m\",{}", line)));
  }
}

TEST(ServingMetrics, TellsOfTheProcessAndOfOtherSources) {
  ServingMetrics metrics;
  metrics.add_source([] { return std::string("# TYPE connections gauge\nconnections 4\n"); });
  const std::string page = metrics.prometheus();
  EXPECT_THAT(page, HasSubstr("\nconnections 4\n"));
  for (const char* name : {"process_resident_memory_bytes ", "process_cpu_seconds_total ", "process_open_fds ",
                           "process_start_time_seconds "}) {
    EXPECT_THAT(page, HasSubstr(fmt::format("\n{}", name)));
  }
}

TEST(ServingMetrics, LabelsAreEscaped) {
  EXPECT_EQ(metric_label("model_name", "a\"b\\c\nd"), "model_name=\"a\\\"b\\\\c\\nd\"");
}

TEST(ServingMetrics, NamesWithoutEndBecomeOneSeries) {
  ServingMetrics metrics;
  for (int i = 0; i < 1200; ++i) metrics.observe({fmt::format("m{}", i), "predict", 1, 1, 1, 1, 1, 1});
  const std::string page = metrics.prometheus();
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_example_count_total{model=\"m999\"} 1\n"));
  EXPECT_THAT(page, HasSubstr(":tensorflow:serving:request_example_count_total{model=\"\"} 200\n"));
}

TEST(ServingMetrics, ThreadsMayCountAtTheSameTime) {
  ServingMetrics metrics;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&metrics] {
      for (int i = 0; i < 500; ++i) {
        metrics.count_request({"m", absl::StatusCode::kOk, "predict", "REST", 10});
        metrics.observe({"m", "predict", 1, 1, 1, 1, 1, 1});
        if (i % 100 == 0) {
          EXPECT_FALSE(metrics.prometheus().empty());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(metrics.prometheus(),
              HasSubstr(":tensorflow:serving:request_count{model_name=\"m\",status=\"OK\"} 2000\n"));
}

}  // namespace
}  // namespace lockstep
