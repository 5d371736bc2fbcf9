// SPDX-License-Identifier: Apache-2.0
#include "serve/http/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "tests/serve/http/http_client.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

void echo(HttpRequest request, const HttpRespond& respond) { respond({.body = request.path + request.body}); }

std::unique_ptr<HttpServer> serve(const HttpServerOptions& options = {}, HttpHandler handler = echo) {
  auto server = HttpServer::start(options, std::move(handler));
  EXPECT_TRUE(server.ok()) << server.status();
  return std::move(server).value();
}

TEST(HttpServer, KeepsConnectionsForFurtherRequests) {
  const auto server = serve({.threads = 2});
  HttpClient first(server->port()), second(server->port());
  for (int i = 0; i < 5; ++i) {
    for (HttpClient* client : {&first, &second}) {
      ASSERT_TRUE(client->send(kGet));
      EXPECT_THAT(client->receive(), AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), EndsWith("\r\n\r\n/a")));
    }
  }
  EXPECT_EQ(server->counts().requests, 10);
  EXPECT_EQ(server->counts().connections, 2);
}

TEST(HttpServer, TakesAndGivesLargeBodies) {
  const auto server = serve();
  const std::string body(3 << 20, 'b');
  HttpClient client(server->port());
  std::thread sender([&] {
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  });
  EXPECT_TRUE(client.receive().ends_with("\r\n\r\n/" + body));
  sender.join();
}

TEST(HttpServer, ListensOnIPv6) {
  auto server = HttpServer::start({.address = "::1"}, echo);
  if (!server.ok()) GTEST_SKIP() << "no IPv6 here: " << server.status();
  HttpClient client((*server)->port(), true);
  client.send(kGet);
  EXPECT_THAT(client.receive(), EndsWith("/a"));
}

TEST(HttpServer, SaysWhyItCannotListen) {
  const auto server = serve();
  const auto second = HttpServer::start({.port = server->port()}, echo);
  EXPECT_THAT(second.status().message(),
              AllOf(HasSubstr("127.0.0.1 port " + std::to_string(server->port())), HasSubstr("another server")));
  EXPECT_THAT(HttpServer::start({.address = "here"}, echo).status().message(), HasSubstr("'here' is no address"));
  EXPECT_THAT(HttpServer::start({.port = 70000}, echo).status().message(), HasSubstr("port 70000"));
}

TEST(HttpServer, TakesAnswersFromOtherThreads) {
  std::vector<std::thread> threads;
  std::mutex mutex;
  const auto server = serve({.threads = 2}, [&](HttpRequest request, HttpRespond respond) {
    const std::lock_guard lock(mutex);
    threads.emplace_back([respond = std::move(respond), body = request.body] { respond({.body = "re: " + body}); });
  });
  std::vector<std::thread> clients;
  std::atomic<int> right{0};
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      HttpClient client(server->port());
      for (int i = 0; i < 20; ++i) {
        const std::string body = std::to_string(100 * c + i);
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
        right += client.receive().ends_with("\r\n\r\nre: " + body);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(right, 80);
  server->stop(milliseconds(0));
  for (std::thread& thread : threads) thread.join();
}

TEST(HttpServer, LateAnswersAreHarmless) {
  std::promise<HttpRespond> promise;
  HttpRespond respond;
  {
    const auto server = serve({}, [&](const HttpRequest&, HttpRespond r) { promise.set_value(std::move(r)); });
    HttpClient client(server->port());
    client.send(kGet);
    respond = promise.get_future().get();
    client.reset();
  }
  respond({.body = "nobody waits"});
}

TEST(HttpServer, TellsWhenNoAnswerComesInTime) {
  std::mutex mutex;
  std::vector<HttpRespond> kept;
  const auto server = serve({.request_timeout = milliseconds(50)}, [&](const HttpRequest&, HttpRespond respond) {
    const std::lock_guard lock(mutex);
    kept.push_back(std::move(respond));
  });
  HttpClient client(server->port());
  for (int i = 0; i < 2; ++i) {
    client.send(kGet);
    EXPECT_THAT(client.receive(), AllOf(StartsWith("HTTP/1.1 504 "), HasSubstr("within 50 ms")));
  }
  EXPECT_EQ(server->counts().timed_out, 2);
}

TEST(HttpServer, AnswersRunningRequestsBeforeItStops) {
  std::promise<HttpRespond> promise;
  const auto server =
      serve({}, [&](const HttpRequest&, HttpRespond respond) { promise.set_value(std::move(respond)); });
  HttpClient idle(server->port()), client(server->port());
  client.send(kGet);
  const HttpRespond respond = promise.get_future().get();
  std::thread stopper([&] { server->stop(milliseconds(5000)); });
  EXPECT_EQ(idle.receive_all(), "");  // closed at once: the server is stopping
  // So is the port: another server may take it, and who connects is refused.
  auto next = HttpServer::start({.port = server->port()}, echo);
  for (int i = 0; i < 1000 && !next.ok(); ++i) {
    std::this_thread::sleep_for(milliseconds(5));
    next = HttpServer::start({.port = server->port()}, echo);
  }
  EXPECT_TRUE(next.ok()) << next.status();
  respond({.body = "done"});
  EXPECT_THAT(client.receive_all(), AllOf(HasSubstr("\r\nConnection: close\r\n"), EndsWith("done")));
  stopper.join();
}

TEST(HttpServer, StopsInTimeWhateverRuns) {
  std::promise<HttpRespond> promise;
  const auto server =
      serve({}, [&](const HttpRequest&, HttpRespond respond) { promise.set_value(std::move(respond)); });
  HttpClient client(server->port());
  client.send(kGet);
  const HttpRespond respond = promise.get_future().get();
  const auto begin = std::chrono::steady_clock::now();
  server->stop(milliseconds(50));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(5000));
  EXPECT_EQ(client.receive_all(), "");
}

}  // namespace
}  // namespace lockstep
