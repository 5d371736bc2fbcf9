// SPDX-License-Identifier: Apache-2.0
#include "serve/http/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/serve/http/memory_connection.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

const std::string kGet = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const std::string kPost = "POST /p HTTP/1.1\r\nHost: h\r\n";

void echo(HttpRequest request, const HttpRespond& respond) {
  respond({.content_type = "text/plain", .body = request.method + " " + request.path + " " + request.body});
}

HttpServerOptions with_token() {
  HttpServerOptions options;
  options.bearer_token = "secret";
  options.open_paths = {"/healthz", "/console/"};
  return options;
}

size_t count(std::string_view text, std::string_view part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(Connection, HandsOnWhatTheRequestSays) {
  HttpRequest got;
  MemoryConnection connection({}, [&](HttpRequest request, const HttpRespond& respond) {
    got = std::move(request);
    respond({});
  });
  const auto before = Connection::Clock::now();
  connection.exchange("POST /a%20b/c?d=%20e HTTP/1.1\r\nHost: h\r\nX-Name:  Value \r\nContent-Length: 3\r\n\r\nxyz");
  EXPECT_EQ(got.method, "POST");
  EXPECT_EQ(got.path, "/a b/c");
  EXPECT_EQ(got.query, "d=%20e");
  EXPECT_EQ(got.body, "xyz");
  EXPECT_THAT(got.headers, ElementsAre(Pair("host", "h"), Pair("x-name", "Value"), Pair("content-length", "3")));
  EXPECT_GE(got.received, before);
  EXPECT_EQ(got.deadline - got.received, HttpServerOptions().request_timeout);
}

TEST(Connection, TakesFullUrlsApart) {
  const auto answer = [](const std::string& target) {
    MemoryConnection connection({}, [](const HttpRequest& request, const HttpRespond& respond) {
      respond({.body = request.path + "|" + request.query});
    });
    const std::string text = connection.exchange("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n");
    return text.substr(text.find("\r\n\r\n") + 4);
  };
  EXPECT_EQ(answer("http://h/a/b?c"), "/a/b|c");
  EXPECT_EQ(answer("HTTPS://h"), "/|");
  // What a proxy takes for the query must not become the path.
  EXPECT_EQ(answer("http://h?a/b"), "/|a/b");
  EXPECT_EQ(answer("http://h#/b"), "/|");
  EXPECT_EQ(answer("http://h/http://i/b"), "/http://i/b|");
}

TEST(Connection, AnswersInFull) {
  MemoryConnection connection({}, [](const HttpRequest&, const HttpRespond& respond) {
    respond({.status = 404, .content_type = "text/css", .headers = {{"ETag", "a\r\nSet-Cookie: b"}}, .body = "no"});
  });
  const std::string answer = connection.exchange(kGet);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 404 Not Found\r\nDate: "));
  EXPECT_THAT(answer, AllOf(HasSubstr("\r\nContent-Type: text/css\r\nContent-Length: 2\r\n"), HasSubstr(" GMT\r\n"),
                            HasSubstr("\r\nETag: a  Set-Cookie: b\r\n"), HasSubstr("\r\nServer: lockstep\r\n"),
                            Not(HasSubstr("Access-Control")), Not(HasSubstr("Connection:"))));
  EXPECT_THAT(answer, ::testing::EndsWith("\r\n\r\nno"));
}

TEST(Connection, TakesChunkedBodiesInAnyPieces) {
  const std::string request =
      kPost + "Transfer-Encoding: Chunked\r\n\r\n3;a=\"b\\\"\tc\";d\r\nabc\r\n00a\r\n0123456789\r\n0\r\nT: u\r\n\r\n";
  for (size_t piece = 1; piece < request.size(); ++piece) {
    MemoryConnection connection({}, echo);
    connection.wire().most_read = piece;
    EXPECT_THAT(connection.exchange(request + kGet),
                AllOf(HasSubstr("POST /p abc0123456789HTTP"), HasSubstr("GET / ")));
  }
}

// An empty body is its last chunk alone; the same bytes may be a whole body, or the data of a chunk.
TEST(Connection, TakesLastChunksInAnyPieces) {
  const std::string chunked = kPost + "Transfer-Encoding: chunked\r\n\r\n";
  for (const auto& [request, body] : {std::pair(chunked + "0\r\n\r\n", std::string()),
                                      {kPost + "Content-Length: 3\r\n\r\n0\r\n", "0\r\n"},
                                      {chunked + "3\r\n0\r\n\r\n0\r\n\r\n", "0\r\n"}}) {
    for (size_t piece = 1; piece < request.size(); ++piece) {
      MemoryConnection connection({}, echo);
      connection.wire().most_read = piece;
      EXPECT_THAT(connection.exchange(request + kGet),
                  AllOf(HasSubstr("POST /p " + body + "HTTP"), HasSubstr("GET / ")))
          << piece;
    }
  }
}

TEST(Connection, AnswersPipelinedRequestsInOrder) {
  std::vector<HttpRespond> waiting;
  MemoryConnection connection({},
                              [&](const HttpRequest&, HttpRespond respond) { waiting.push_back(std::move(respond)); });
  EXPECT_EQ(connection.exchange(kGet + kGet + kGet), "");
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(waiting.size(), i + 1) << "one at a time";
    waiting[i]({.body = "answer" + std::to_string(i)});
    waiting[i]({.body = "again"});
    connection.run();
  }
  const std::string all = connection.exchange("");
  EXPECT_LT(all.find("answer0"), all.find("answer1"));
  EXPECT_LT(all.find("answer1"), all.find("answer2"));
  EXPECT_EQ(count(all, "again"), 0u);
}

TEST(Connection, ClosesWhenTheClientWants) {
  for (const std::string request :
       {"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n"}) {
    MemoryConnection connection({}, echo);
    EXPECT_EQ(count(connection.exchange(request + kGet), "HTTP/1.1 200"), 1u);
    EXPECT_EQ(connection.closed(), 1);
  }
  MemoryConnection kept({}, echo);
  EXPECT_THAT(kept.exchange("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
              HasSubstr("\r\nConnection: keep-alive\r\n"));
  EXPECT_EQ(kept.closed(), 0);
}

TEST(Connection, AnswersHeadLikeGetWithoutBody) {
  MemoryConnection connection({}, echo);
  const std::string answer = connection.exchange("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Length: 6\r\n"));  // "GET / "
  EXPECT_THAT(answer, ::testing::EndsWith("\r\n\r\n"));
}

TEST(Connection, AsksForABodyThatWaits) {
  const std::string head = kPost + "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
  MemoryConnection connection({}, echo);
  EXPECT_EQ(connection.exchange(head), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_THAT(connection.exchange("ab"), HasSubstr("POST /p ab"));
  EXPECT_THAT(connection.exchange(head + "ab"), StartsWith("HTTP/1.1 200"));
  // Nobody is asked to send what will not be taken.
  MemoryConnection refused(with_token(), echo);
  EXPECT_THAT(refused.exchange(head), StartsWith("HTTP/1.1 401"));
}

TEST(Connection, WritesLongAnswersPieceByPiece) {
  const std::string body(100000, 'x');
  MemoryConnection connection({}, [&](const HttpRequest&, const HttpRespond& respond) { respond({.body = body}); });
  connection.wire().most_written = 999;
  for (int i = 0; i < 2; ++i) {
    const std::string answer = connection.exchange(kGet);
    EXPECT_EQ(answer.substr(answer.find("\r\n\r\n") + 4), body);
  }
}

TEST(Connection, AsksForTheTokenExceptWhereOpen) {
  const auto status = [](const std::string& path, const std::string& header) {
    MemoryConnection connection(with_token(), echo);
    return connection.exchange("GET " + path + " HTTP/1.1\r\nHost: h\r\n" + header + "\r\n").substr(9, 3);
  };
  EXPECT_EQ(status("/v1", ""), "401");
  EXPECT_EQ(status("/v1", "Authorization: Bearer secret\r\n"), "200");
  EXPECT_EQ(status("/v1", "authorization: bearer secret\r\n"), "200");
  for (const std::string wrong :
       {"Bearer secreT", "Bearer secre", "Bearer secrets", "Bearer ", "Basic secret", "secret"}) {
    EXPECT_EQ(status("/v1", "Authorization: " + wrong + "\r\n"), "401") << wrong;
  }
  EXPECT_EQ(status("/healthz", ""), "200");
  EXPECT_EQ(status("/console/app.js", ""), "200");
  EXPECT_EQ(status("/healthz/x", ""), "401");
}

TEST(Connection, LetsOtherOriginsInOnlyWhenAllowed) {
  const std::string preflight =
      "OPTIONS /p HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\nAccess-Control-Request-Method: POST\r\n\r\n";
  const auto answer = [&](const std::string& allowed, const std::string& request) {
    HttpServerOptions options = with_token();
    options.cors_allow_origin = allowed;
    MemoryConnection connection(options, echo);
    return connection.exchange(request);
  };
  EXPECT_THAT(answer("", preflight), AllOf(StartsWith("HTTP/1.1 401"), Not(HasSubstr("Access-Control"))));
  EXPECT_THAT(answer("http://a", preflight),
              AllOf(StartsWith("HTTP/1.1 204"), HasSubstr("\r\nAccess-Control-Allow-Origin: http://a\r\n"),
                    HasSubstr("Access-Control-Allow-Methods: GET, HEAD, POST\r\n"), Not(HasSubstr("Content-Length"))));
  EXPECT_THAT(answer("*", preflight), HasSubstr("\r\nAccess-Control-Allow-Origin: *\r\n"));
  EXPECT_THAT(answer("http://b", preflight), Not(HasSubstr("Access-Control-Allow-Origin")));
}

TEST(Connection, KnowsItsHosts) {
  const auto status = [](const std::string& host, const std::vector<std::string>& allowed) {
    HttpServerOptions options;
    options.allowed_hosts = allowed;
    MemoryConnection connection(options, echo);
    return connection.exchange("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n").substr(9, 3);
  };
  const std::vector<std::string> allowed = {"localhost", "digits.example.org"};
  for (const std::string own : {"127.0.0.1:8501", "[::1]:8501", "localhost:8501", "LOCALHOST", "box", "10.1.2.3", "",
                                "digits.example.org", "Digits.Example.org.:80"}) {
    EXPECT_EQ(status(own, allowed), "200") << own;
  }
  for (const std::string other : {"example.org", "xdigits.example.org", "digits.example.org.evil.org:8501",
                                  "127.0.0.1.evil.org", "localhost.evil.org", "1.2.3"}) {
    EXPECT_EQ(status(other, allowed), "421") << other;
    EXPECT_EQ(status(other, {}), "200") << other;
  }
}

TEST(Connection, BoundsTheMemoryOfUnfinishedBodies) {
  HttpServerOptions options;
  options.max_unfinished_bytes = 100 << 10;
  MemoryConnection connection(options, echo);
  const std::string head = kPost + "Content-Length: 300000\r\n\r\n";
  EXPECT_EQ(connection.exchange(head + std::string(150 << 10, 'x')), "");
  EXPECT_EQ(connection.counters().unfinished_bytes, (150 - 64) << 10);
  EXPECT_THAT(connection.exchange(std::string(20 << 10, 'x')),
              AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("\r\nRetry-After: 1\r\n")));
  EXPECT_EQ(connection.closed(), 1);
  EXPECT_EQ(connection.counters().unfinished_bytes, 0);

  // Whatever large ones take, small ones find room; and what is done takes none.
  MemoryConnection other(options, echo);
  other.counters().unfinished_bytes = 100 << 10;
  EXPECT_THAT(other.exchange(kPost + "Content-Length: 60000\r\n\r\n" + std::string(60000, 'x')),
              StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(other.counters().unfinished_bytes, 100 << 10);
}

TEST(Connection, SurvivesHandlersThatFail) {
  int calls = 0;
  MemoryConnection connection({}, [&](const HttpRequest&, const HttpRespond& respond) {
    if (++calls == 1) throw std::runtime_error("a library's");
    if (calls == 2) respond({.status = 99});
  });
  for (int i = 0; i < 3; ++i) EXPECT_THAT(connection.exchange(kGet), StartsWith("HTTP/1.1 500")) << i;
  EXPECT_EQ(connection.closed(), 0);
}

TEST(Connection, AnswersWhatIsOverdueInTheHandlersPlace) {
  HttpRespond respond;
  MemoryConnection connection({}, [&](const HttpRequest&, HttpRespond r) { respond = std::move(r); });
  connection.exchange(kGet);
  EXPECT_EQ(connection.exchange_after(milliseconds(29900)), "");
  EXPECT_THAT(connection.exchange_after(milliseconds(30100)), AllOf(StartsWith("HTTP/1.1 504"), HasSubstr("30000 ms")));
  const HttpRespond late = std::exchange(respond, nullptr);
  connection.exchange(kGet);
  late({.body = "late"});
  connection.run();
  respond({.body = "mine"});
  EXPECT_THAT(connection.exchange(""), AllOf(HasSubstr("mine"), Not(HasSubstr("late"))));
}

TEST(Connection, EndsClientsThatAreTooSlow) {
  MemoryConnection idle({}, echo);
  idle.run();
  EXPECT_EQ(idle.exchange_after(seconds(59)), "");
  EXPECT_EQ(idle.closed(), 0);
  EXPECT_EQ(idle.exchange_after(seconds(61)), "");
  EXPECT_EQ(idle.closed(), 1);

  MemoryConnection head({}, echo);
  EXPECT_EQ(head.exchange("GET / HTTP/1.1\r\n"), "");
  EXPECT_EQ(head.exchange("A: b\r\n"), "");  // which gains no time
  EXPECT_THAT(head.exchange_after(milliseconds(10100)),
              AllOf(StartsWith("HTTP/1.1 408"), HasSubstr("within 10000 ms")));

  MemoryConnection body({}, echo);
  body.exchange(kPost + "Content-Length: 1000000\r\n\r\n" + std::string(320 << 10, 'x'));  // gains ten seconds
  EXPECT_EQ(body.exchange_after(seconds(39)), "");
  EXPECT_THAT(body.exchange_after(seconds(41)), StartsWith("HTTP/1.1 408"));
  EXPECT_EQ(body.closed(), 1);
  EXPECT_EQ(body.counters().timed_out, 1);
}

TEST(Connection, GivesUpOnClientsThatDoNotRead) {
  MemoryConnection connection({}, echo);
  connection.wire().input = kGet;
  // Up to the write, which then hangs.
  while (connection.counters().requests == 0) {
    if (connection.wire().waiting_read) {
      connection.wire().calls.push_back(std::exchange(connection.wire().waiting_read, nullptr));
    }
    const auto call = std::move(connection.wire().calls.front());
    connection.wire().calls.pop_front();
    call();
  }
  connection.wire().calls.clear();
  connection.exchange_after(seconds(31));
  EXPECT_EQ(connection.closed(), 1);
}

TEST(Connection, FinishesWhatHasBegunWhenTheServerStops) {
  MemoryConnection idle({}, echo);
  idle.exchange(kGet);
  idle.stop_server();
  idle.connection().finish();
  EXPECT_EQ(idle.closed(), 1);

  MemoryConnection begun({}, echo);
  begun.exchange("GET / HTTP/1.1\r\n");
  begun.stop_server();
  begun.connection().finish();
  EXPECT_EQ(begun.closed(), 0);
  EXPECT_THAT(begun.exchange("Host: h\r\n\r\n" + kGet),
              AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("Connection: close")));
  EXPECT_EQ(begun.closed(), 1);
}

}  // namespace
}  // namespace lockstep
