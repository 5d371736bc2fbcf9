// SPDX-License-Identifier: Apache-2.0
// Clients that mean harm, many at a time: the others are answered all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "serve/http/http_server.h"
#include "tests/serve/http/http_client.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

std::unique_ptr<HttpServer> serve(const HttpServerOptions& options) {
  return HttpServer::start(options,
                           [](HttpRequest request, const HttpRespond& respond) { respond({.body = request.path}); })
      .value();
}

void expect_answered(HttpClient& client) {
  ASSERT_TRUE(client.send(kGet));
  EXPECT_THAT(client.receive(), EndsWith("\r\n\r\n/a"));
}

using Clients = std::vector<std::unique_ptr<HttpClient>>;

Clients connect(int count, int port) {
  Clients clients;
  for (int i = 0; i < count; ++i) clients.push_back(std::make_unique<HttpClient>(port));
  return clients;
}

bool wait_for(const std::function<bool()>& condition) {
  for (int i = 0; i < 2000 && !condition(); ++i) std::this_thread::sleep_for(milliseconds(5));
  return condition();
}

TEST(HostileClients, SlowHeadsAndBodiesTimeOut) {
  const auto server = serve({.header_timeout = milliseconds(200), .body_timeout = milliseconds(200)});
  Clients slow = connect(60, server->port());
  for (size_t i = 0; i < slow.size(); ++i) {
    slow[i]->send(i % 2 == 0 ? "GET / HTTP/1.1\r\nHost: h\r\nX-"
                             : "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\na");
  }
  HttpClient other(server->port());
  expect_answered(other);
  ASSERT_TRUE(wait_for([&] { return server->counts().timed_out == 60; }));
  for (const auto& client : slow) {
    EXPECT_THAT(client->receive_all(), AllOf(StartsWith("HTTP/1.1 408 "), HasSubstr("within 200 ms")));
  }
  expect_answered(other);
}

TEST(HostileClients, IdleConnectionsAreClosed) {
  const auto server = serve({.idle_timeout = milliseconds(100)});
  for (const auto& client : connect(20, server->port())) EXPECT_EQ(client->receive_all(), "");
  EXPECT_TRUE(wait_for([&] { return server->counts().connections == 0; }));
}

TEST(HostileClients, AnAnnouncedGigabyteIsRefusedAtOnce) {
  const auto server = serve({});
  HttpClient client(server->port());
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1073741824\r\n\r\n");
  EXPECT_THAT(client.receive(), StartsWith("HTTP/1.1 413 "));
  // One that sends on reads the answer none the less.
  HttpClient eager(server->port());
  eager.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1073741824\r\n\r\n");
  eager.send(std::string(1 << 20, 'x'));
  EXPECT_THAT(eager.receive(), StartsWith("HTTP/1.1 413 "));
}

TEST(HostileClients, TooManyConnectionsAreTurnedAway) {
  const auto server = serve({.max_connections = 3, .make_room_after = std::chrono::hours(1)});
  Clients clients = connect(3, server->port());
  for (const auto& client : clients) expect_answered(*client);
  {
    HttpClient more(server->port());
    EXPECT_THAT(more.receive_all(), AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("\r\nRetry-After: 1\r\n")));
  }
  EXPECT_EQ(server->counts().turned_away, 1);
  clients.pop_back();
  ASSERT_TRUE(wait_for([&] { return server->counts().connections == 2; }));
  HttpClient again(server->port());
  expect_answered(again);
}

TEST(HostileClients, ThoseWhoKeepWaitingMakeRoom) {
  const auto server = serve({.max_connections = 10, .make_room_after = milliseconds(300)});
  Clients clients = connect(10, server->port());
  HttpClient& active = *clients.back();
  clients[0]->send("GET / HTTP/1.1\r\nX-");
  ASSERT_TRUE(wait_for([&] {
    expect_answered(active);
    HttpClient fresh(server->port());  // turned away as long as nobody has kept it waiting for so long
    fresh.send(kGet);
    return fresh.receive().ends_with("\r\n\r\n/a");
  }));
  EXPECT_GE(server->counts().made_room, 1);
  expect_answered(active);
}

// Opened and dropped, in all the ways there are: nothing said, half a request, a request whose answer nobody reads.
TEST(HostileClients, ThousandsThatComeAndGoHarmNobody) {
  const auto server = serve({});
  HttpClient other(server->port());
  for (int round = 0; round < 10; ++round) {
    Clients clients = connect(100, server->port());
    for (size_t i = 0; i < clients.size(); ++i) {
      if (i % 4 == 1) clients[i]->send("POST / HT");
      if (i % 4 == 2) clients[i]->send(kGet + kGet);
      if (i % 4 == 3) clients[i]->send(std::string("\0\xff garbage\r\n", 12));
      if (i % 2 == 0) clients[i]->reset();
    }
    expect_answered(other);
  }
  // All but the one that stays.
  EXPECT_TRUE(wait_for([&] { return server->counts().connections == 1; }));
  expect_answered(other);
}

TEST(HostileClients, WithoutDescriptorsTheServerGoesOn) {
#ifdef LOCKSTEP_ADDRESS_SANITIZER
  GTEST_SKIP()
      << "UBSan opens a pipe to see whether an object's type can be read, and takes what has none left for damaged";
#endif
  const auto server = serve({.max_connections = 50});
  HttpClient other(server->port());
  expect_answered(other);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // The clients hold descriptors of this process too: after these, none is left for the server.
  rlimit tight = before;
  Clients clients = connect(20, server->port());
  ASSERT_TRUE(wait_for([&] { return server->counts().connections == 21; }));
  const int next = dup(0);
  ASSERT_GE(next, 0);
  close(next);
  auto last = std::make_unique<HttpClient>(server->port());
  ASSERT_TRUE(wait_for([&] { return server->counts().connections == 22; }));
  last.reset();
  ASSERT_TRUE(wait_for([&] { return server->counts().connections == 21; }));
  tight.rlim_cur = static_cast<rlim_t>(next) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  HttpClient late(server->port());    // takes the last descriptor
  EXPECT_EQ(late.receive_all(), "");  // closed, not left waiting
  expect_answered(other);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  HttpClient again(server->port());
  expect_answered(again);
}

}  // namespace
}  // namespace lockstep
