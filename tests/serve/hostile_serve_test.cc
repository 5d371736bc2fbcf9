// SPDX-License-Identifier: Apache-2.0
// The whole program under clients that mean harm, while one that means none wants its answers.
// LOCKSTEP_LONG=1: ten times as much of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "serve/http/listener.h"
#include "tests/serve/http/http_client.h"
#include "tests/serve/model_fixture.h"
#include "tests/serve/running_server.h"
#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Clock = std::chrono::steady_clock;

const std::string kHost = " HTTP/1.1\r\nHost: localhost\r\n";
constexpr char kPredict[] = "/v1/models/m:predict";
constexpr char kHealth[] = "/healthz";

std::string get(const std::string& path) { return "GET " + path + kHost + "\r\n"; }
std::string post_head(size_t bytes) {
  return "POST " + std::string(kPredict) + kHost + "Content-Length: " + std::to_string(bytes) + "\r\n\r\n";
}
std::string post(const std::string& body) { return post_head(body.size()) + body; }
std::string body_of(const std::string& answer) {
  return answer.substr(std::min(answer.find("\r\n\r\n"), answer.size()));
}

// Asks again and again, on one connection and on a new one each time, until it is destroyed. When it is turned away it
// tries again, as Retry-After says.
class HonestClient {
 public:
  explicit HonestClient(int port) : port_(port) {
    kept_ = std::make_unique<HttpClient>(port_);
    expected_ = body_of(ask(kept_));
    thread_ = std::thread([this] {
      while (!stopping_) {
        expect_answer(kept_);
        std::unique_ptr<HttpClient> fresh;
        expect_answer(fresh);
      }
    });
  }
  ~HonestClient() {
    stopping_ = true;
    thread_.join();
  }
  HonestClient(const HonestClient&) = delete;
  HonestClient& operator=(const HonestClient&) = delete;

  int answers() const { return answers_; }

 private:
  static constexpr seconds kPatience{5};

  std::string ask(std::unique_ptr<HttpClient>& client) const {
    if (client == nullptr) client = std::make_unique<HttpClient>(port_);
    client->send(post(R"({"instances": [[0, 1, 0, 1, 0, 1, 0.5, 0.25, 1, 1, 0, 0.125]]})"));
    return client->receive();
  }

  void expect_answer(std::unique_ptr<HttpClient>& client) {
    const Clock::time_point patient_until = Clock::now() + kPatience;
    for (;;) {
      const std::string answer = ask(client);
      if (answer.starts_with("HTTP/1.1 200")) {
        EXPECT_EQ(body_of(answer), expected_);
        ++answers_;
        return;
      }
      if (Clock::now() > patient_until) {
        ADD_FAILURE() << "no answer in time, at last: " << answer;
        return;
      }
      client.reset();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  const int port_;
  std::unique_ptr<HttpClient> kept_;
  std::string expected_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> answers_{0};
  std::thread thread_;
};

class HostileServe : public testing::Test {
 protected:
  static constexpr int kMaxConnections = 200;

  HostileServe() {
    raise_descriptor_limit(4096);
    write_run(directory_.path() + "/model/1");
    server_ =
        std::make_unique<RunningServer>(directory_.path() + "/model", directory_.path() + "/log",
                                        std::vector<std::string>{"--max_connections", std::to_string(kMaxConnections)});
  }

  HttpClient connect() const { return HttpClient(server_->port()); }

  // What comes back until the server closes.
  std::string answer_to(const std::string& bytes) const {
    HttpClient client = connect();
    client.send(bytes);
    client.end();
    return client.receive_all();
  }

  // More than the server has room for, none of which ever says all that it has to say.
  std::vector<std::unique_ptr<HttpClient>> hold_slow_clients() const {
    std::vector<std::unique_ptr<HttpClient>> clients;
    for (int i = 0; i < 2 * kMaxConnections; ++i) {
      clients.push_back(std::make_unique<HttpClient>(server_->port()));
      if (i % 3 == 0) clients.back()->send("POST " + std::string(kPredict));
      if (i % 3 == 1) clients.back()->send(post_head(100) + "{");
    }
    return clients;
  }

  // In all the ways there are: nothing said, half a request, a request whose answer nobody reads, garbage.
  void open_and_drop(int count) const {
    for (int i = 0; i < count; ++i) {
      HttpClient client = connect();
      if (i % 4 == 1) client.send("POST / HT");
      if (i % 4 == 2) client.send(get(kHealth) + get(kHealth));
      if (i % 4 == 3) client.send(std::string("\0\xff\x16 garbage\r\n", 13));
      if (i % 3 == 0) client.reset();
    }
  }

  void expect_refused(const std::string& request, const std::string& status) const {
    EXPECT_THAT(answer_to(request), StartsWith("HTTP/1.1 " + status)) << request.substr(0, 200);
  }

  const int scale_ = std::getenv("LOCKSTEP_LONG") != nullptr ? 10 : 1;
  const TmpDir directory_;
  std::unique_ptr<RunningServer> server_;
};

TEST_F(HostileServe, ConnectionsThatComeGoAndStay) {
  const HonestClient honest(server_->port());
  std::vector<std::vector<std::unique_ptr<HttpClient>>> slow;
  // Several rounds: the honest client's second connection may have held a place when the last slow one was turned away,
  // and then finds it free again without anybody making room.
  int64_t made_room = 0;
  for (int round = 0; round < 5 && made_room == 0; ++round) {
    slow.push_back(hold_slow_clients());
    open_and_drop(1000 * scale_);
    const int before = honest.answers();
    while (honest.answers() < before + 20) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_LE(server_->metric("lockstep_serving_http_connections"), kMaxConnections + 1);
    made_room = server_->metric("lockstep_serving_http_total{event=\"connection_made_room\"}");
  }
  EXPECT_GE(made_room, 1);
}

TEST_F(HostileServe, BodiesThatAreTooMuch) {
  const HonestClient honest(server_->port());
  const std::string megabyte(1 << 20, '1');
  for (int i = 0; i < 5 * scale_; ++i) {
    HttpClient client = connect();
    client.send(post_head(size_t{1} << 30));
    client.send(megabyte);
    EXPECT_THAT(client.receive(), StartsWith("HTTP/1.1 413"));
    expect_refused("POST " + std::string(kPredict) + kHost + "Transfer-Encoding: chunked\r\n\r\n40000000\r\n", "413");
  }
  // Each of a size that is taken, none of which ends: more than 256 MiB together.
  std::vector<std::unique_ptr<HttpClient>> unfinished;
  for (int i = 0; i < 6; ++i) {
    unfinished.push_back(std::make_unique<HttpClient>(server_->port()));
    unfinished.back()->send(post_head(size_t{60} << 20));
    for (int sent = 0; sent < 50 && unfinished.back()->send(megabyte); ++sent) {
    }
  }
  EXPECT_THAT(unfinished.back()->receive(), StartsWith("HTTP/1.1 503"));
  EXPECT_LT(server_->resident_bytes(), int64_t{512} << 20);
  EXPECT_GT(honest.answers(), 0);
}

TEST_F(HostileServe, RequestsThatAreMalformed) {
  const HonestClient honest(server_->port());
  for (int i = 0; i < scale_; ++i) {
    expect_refused(get("/" + std::string(100'000, 'a')), "431");
    expect_refused("GET /" + kHost + "X-Long: " + std::string(20'000, 'a') + "\r\n\r\n", "431");
    std::string many = "GET /" + kHost;
    for (int header = 0; header < 500; ++header) many += "A: b\r\n";
    expect_refused(many + "\r\n", "431");
    expect_refused(post(R"({"instances": )" + std::string(500'000, '[')), "400");
    expect_refused(post(R"({"instances": )" + std::string(100'000, '[') + std::string(100'000, ']') + "}"), "400");
    std::string maps;
    for (int level = 0; level < 100'000; ++level) maps += "{\"inputs\":";
    expect_refused(post(maps), "400");
    expect_refused(post(R"({"instances": [[1e99999]]})"), "400");
    expect_refused("GET / HTTP/1.1\r\nHost: pages.example:8501\r\n\r\n", "421");
    expect_refused(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + std::string(500, '\x7f'), "400");
    // What can be understood is answered, what comes behind it is refused.
    std::string pipelined;
    for (int request = 0; request < 100; ++request) pipelined += get(kHealth);
    const std::string answers = answer_to(pipelined + std::string(10'000, '?') + get(kHealth));
    ASSERT_NE(answers.find("HTTP/1.1 400"), std::string::npos);
    EXPECT_EQ(answers.find("HTTP/1.1 400"), answers.rfind("HTTP/1.1 "));
  }
  EXPECT_GT(honest.answers(), 0);
}

// The corpora of the fuzz targets, as they are and as bodies of requests.
TEST_F(HostileServe, CorporaOfTheFuzzTargets) {
  auto honest = std::make_unique<HonestClient>(server_->port());
  int files = 0;
  for (const std::string name : {"http", "rest", "instances", "png"}) {
    for (const auto& entry : std::filesystem::directory_iterator(LOCKSTEP_CORPORA "/" + name)) {
      const std::string bytes = slurp(entry.path());
      const std::string content = bytes.substr(std::min<size_t>(1, bytes.size()));  // the first says how to test it
      for (const std::string& request : {content, bytes, post(content), post(bytes)}) {
        EXPECT_THAT(answer_to(request), Not(testing::EndsWith("timeout"))) << entry.path();
      }
      ++files;
    }
  }
  EXPECT_GE(files, 20);
  EXPECT_THAT(answer_to(get(kHealth)), HasSubstr("\r\n\r\nok"));
  EXPECT_GE(server_->metric("lockstep_serving_http_total{event=\"malformed\"}"), 10);
  honest.reset();
  EXPECT_EQ(server_->stop(), 0) << server_->log();
}

}  // namespace
}  // namespace lockstep
