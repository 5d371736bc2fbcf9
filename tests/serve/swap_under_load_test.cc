// SPDX-License-Identifier: Apache-2.0
// New versions of a model, one a second, while clients ask without a pause: no request fails, and each answer is that
// of one of the two models that take turns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "tests/serve/http/http_client.h"
#include "tests/serve/model_fixture.h"
#include "tests/serve/running_server.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

constexpr int kClients = 4, kSwaps = 4;

std::string request() {
  const std::string body =
      R"({"instances": [[0, 1, 0, 1, 0, 1, 0.5, 0.25, 1, 1, 0, 0.125], [1,1,1,0,0,0,1,1,1,0,0,0]]})";
  return "POST /v1/models/m:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

// The body of an answer, or all of one that is not good.
std::string prediction(HttpClient& client) {
  client.send(request());
  const std::string answer = client.receive();
  return answer.starts_with("HTTP/1.1 200") ? answer.substr(answer.find("\r\n\r\n") + 4) : "not good: " + answer;
}

class SwapUnderLoad : public testing::Test {
 protected:
  // Complete from the first moment on, as a good exporter does it.
  void offer(int version) {
    const std::string next = directory_.path() + "/next";
    write_run(next, kTinyModel, version % 2 == 0 ? 2 : 1);
    LOCKSTEP_CHECK(rename_path(next, base_ + "/" + std::to_string(version)).ok());
  }

  // Polls until another answer than `old` comes: that of the version just offered.
  std::string next_prediction(HttpClient& client, const std::string& old) {
    for (int i = 0; i < 3000; ++i) {
      std::string now = prediction(client);
      if (now != old) return now;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return old;
  }

  const TmpDir directory_;
  const std::string base_ = directory_.path() + "/model";
};

TEST_F(SwapUnderLoad, FailsNoRequestAndAnswersRightly) {
  LOCKSTEP_CHECK(make_directories(base_).ok());
  offer(1);
  RunningServer server(base_, directory_.path() + "/log");
  HttpClient watcher(server.port());
  std::string current = prediction(watcher);
  offer(2);
  const std::string other = next_prediction(watcher, current);
  const std::set<std::string> right = {current, other};
  ASSERT_EQ(right.size(), 2u);
  for (const std::string& each : right) ASSERT_THAT(each, HasSubstr("\"predictions\""));

  std::atomic<bool> stopping{false};
  std::atomic<int> answers{0};
  std::mutex mutex;
  std::set<std::string> wrong;  // whatever came instead of an answer, too
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&] {
      for (HttpClient client(server.port()); !stopping; ++answers) {
        const std::string answer = prediction(client);
        if (right.contains(answer)) continue;
        const std::lock_guard lock(mutex);
        wrong.insert(answer);
      }
    });
  }
  current = other;
  for (int version = 3; version < 3 + kSwaps; ++version) {
    offer(version);
    const std::string next = next_prediction(watcher, current);
    EXPECT_NE(next, current) << server.log();
    EXPECT_TRUE(right.contains(next)) << next;
    current = next;
  }
  stopping = true;
  for (std::thread& client : clients) client.join();
  EXPECT_THAT(wrong, testing::IsEmpty());
  EXPECT_GT(answers, 100);
  EXPECT_EQ(server.stop(), 0) << server.log();
  EXPECT_THAT(server.log(), HasSubstr("draining version"));
}

}  // namespace
}  // namespace lockstep
