// SPDX-License-Identifier: Apache-2.0
// Versions 1 ("v1") and 2 ("v2"), the default, of a model mnist of 4 x 3 pixels and 3 classes, behind gRPC and REST.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "serve/grpc/grpc_server.h"
#include "serve/grpc/prediction_service.h"
#include "tests/serve/model_fixture.h"
#include "tests/serve/rest/ask_handler.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {

class ServiceFixture : public ::testing::Test {
 protected:
  using Clock = std::chrono::steady_clock;
  static constexpr int kPixels = 12, kClasses = 3;

  ServiceFixture() {
    const std::string path = directory_.file("model");
    write_run(path);
    options_.most_examples = 50;
    store_.set_wanted("test", {{"mnist", {{1, "v1", path}, {2, "v2", path}}, std::nullopt}});
    const auto by = Clock::now() + std::chrono::seconds(30);
    while (!store_.ready() || !store_.find({"mnist", 1, ""}).ok()) {
      LOCKSTEP_CHECK(Clock::now() < by);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    handler_ = make_prediction_service(store_, metrics_, options_);
    server_ = GrpcServer::start({}, handler_, [this] { return store_.ready(); }).value();
  }

  std::string target() const { return "127.0.0.1:" + std::to_string(server_->port()); }

  // Pixels of so many images, all different.
  static std::vector<float> images(int n) {
    std::vector<float> pixels;
    for (int i = 0; i < n * kPixels; ++i) pixels.push_back(static_cast<float>(i * 37 % 101) / 100.0f);
    return pixels;
  }

  // The body of what REST answers to POST of `path`.
  std::string rest(const std::string& path, const std::string& type, const std::string& body) {
    HttpRequest request;
    request.method = "POST";
    request.path = path;
    request.headers.emplace_back("content-type", type);
    request.body = body;
    request.received = Clock::now();
    request.deadline = request.received + std::chrono::seconds(30);
    return ask_handler(make_rest_handler(store_, metrics_, options_), std::move(request)).body;
  }

  const TmpDir directory_;
  ServingMetrics metrics_;
  RestOptions options_;
  ModelStore store_{StoreOptions{}};
  GrpcHandler handler_;
  std::unique_ptr<GrpcServer> server_;
};

}  // namespace lockstep
