// SPDX-License-Identifier: Apache-2.0
// Requests that a server must refuse, above all those that a proxy before it could understand differently.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/serve/http/memory_connection.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Malformed {
  std::string name, request;
  int status;
  std::string reason;  // a part of it
};

void PrintTo(const Malformed& malformed, std::ostream* out) { *out << malformed.name; }

const std::string kPost = "POST /p HTTP/1.1\r\nHost: h\r\n";
const std::string kChunked = kPost + "Transfer-Encoding: chunked\r\n\r\n";

std::vector<Malformed> malformed_requests() {
  return {
      {"BothLengths", kPost + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
       "Content-Length"},
      {"BothLengthsTurned", kPost + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400,
       "Transfer-Encoding"},
      {"TwoLengths", kPost + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400, "Content-Length"},
      {"TheSameLengthTwice", kPost + "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400, "one Content-Length"},
      {"ListOfLengths", kPost + "Content-Length: 4, 4\r\n\r\nabcd", 400, "one Content-Length"},
      {"NegativeLength", kPost + "Content-Length: -1\r\n\r\n", 400, "Content-Length"},
      {"SignedLength", kPost + "Content-Length: +1\r\n\r\na", 400, "Content-Length"},
      {"HexLength", kPost + "Content-Length: 0x1\r\n\r\na", 400, "Content-Length"},
      {"EmptyLength", kPost + "Content-Length:\r\n\r\n", 400, "Content-Length"},
      {"LengthBeyond64Bits", kPost + "Content-Length: 18446744073709551617\r\n\r\na", 400, "Content-Length"},
      {"TwoCodings", kPost + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "only 'chunked'"},
      {"ChunkedTwice", kPost + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501, "only 'chunked'"},
      {"CodingsInTwoHeaders", kPost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
       "Transfer-Encoding"},
      {"UnknownCoding", kPost + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, "xchunked"},
      {"CodingOfHttp10", "POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "HTTP/1.0"},
      {"FoldedHeader", kPost + "A: b\r\n c\r\n\r\n", 400, "goes on in the next line"},
      {"FoldedByTab", kPost + "A: b\r\n\tc\r\n\r\n", 400, "goes on in the next line"},
      {"SpaceBeforeColon", kPost + "Content-Length : 4\r\n\r\nabcd", 400, "no space before the colon"},
      {"SpaceInName", kPost + "A b: c\r\n\r\n", 400, "malformed header"},
      {"NoName", kPost + ": c\r\n\r\n", 400, "malformed header"},
      {"NoColon", kPost + "abc\r\n\r\n", 400, "malformed header"},
      {"NulInValue", kPost + std::string("A: b\0c\r\n\r\n", 10), 400, "malformed header"},
      {"ReturnInValue", kPost + "A: b\rc\r\n\r\n", 400, "malformed"},
      {"BareLineFeeds", "GET / HTTP/1.1\nHost: h\n\n", 400, "bare LF"},
      {"BareLineFeedInHeader", kPost + "A: b\nB: c\r\n\r\n", 400, "bare LF"},
      {"NoHost", "GET / HTTP/1.1\r\n\r\n", 400, "Host"},
      {"TwoHosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "Host"},
      {"HostWithPath", "GET / HTTP/1.1\r\nHost: h/p\r\n\r\n", 400, "name[:port]"},
      {"HostWithUser", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400, "name[:port]"},
      {"HostWithSpace", "GET / HTTP/1.1\r\nHost: h i\r\n\r\n", 400, "name[:port]"},
      {"HostWithTwoPorts", "GET / HTTP/1.1\r\nHost: h:1:2\r\n\r\n", 400, "name[:port]"},
      {"HostWithOpenBracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, "name[:port]"},
      {"NoTarget", "GET HTTP/1.1\r\nHost: h\r\n\r\n", 400, "malformed"},
      {"TargetWithoutSlash", "GET p HTTP/1.1\r\nHost: h\r\n\r\n", 400, "/path"},
      {"TargetWithSpace", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 505, "HTTP/1.1"},
      {"TargetOfConnect", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "/path"},
      {"NulInTarget", "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "/path"},
      {"CutEscape", "GET /%4 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "/path"},
      {"BadEscape", "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400, "/path"},
      {"BadMethod", "G@T / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "request line"},
      {"Version09", "GET /\r\n\r\n", 400, "malformed"},
      {"Version2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/1.1"},
      {"TlsHello", "\x16\x03\x01\x02", 400, "HTTPS"},
      {"LongHeader", kPost + "A: " + std::string(2000, 'a'), 431, "1024 bytes"},
      {"LongTarget", "GET /" + std::string(2000, 'a'), 431, "1024 bytes"},
      {"LongBody", kPost + "Content-Length: 1000000000\r\n\r\n", 413, "1000000000 bytes is announced, at most 100"},
      {"LongChunk", kChunked + "65\r\n", 413, "100 bytes"},
      {"LongChunks", kChunked + "40\r\n" + std::string(64, 'a') + "\r\n40\r\n", 413, "100 bytes"},
      {"BadChunkSize", kChunked + "x\r\n", 400, "hexadecimal"},
      {"NegativeChunkSize", kChunked + "-1\r\n", 400, "hexadecimal"},
      {"ChunkBeyond64Bits", kChunked + "10000000000000001\r\n", 400, "hexadecimal"},
      {"ChunkWithoutEnd", kChunked + "1\r\nabc\r\n", 400, "chunk"},
      {"ChunkLineWithOpenQuote", kChunked + "3f;a=\"\r\n" + std::string(63, 'a') + "\r\n0\r\n\r\n", 400, "chunk"},
      {"ChunkLineWithEscapedQuote", kChunked + "3f;a=\"\\\"\r\n" + std::string(63, 'a'), 400, "chunk"},
      {"SecondChunkLineWithOpenQuote", kChunked + "1\r\na\r\n32;a=\"\\\r\n" + std::string(50, 'a'), 400, "chunk"},
      {"ChunkQuoteClosedInNextLine", kChunked + "1;a=\"\r\n\"\r\n0\r\n\r\n", 400, "chunk"},
      {"LastChunkLineWithOpenQuote", kChunked + "0;a=\"\r\n\r\n" + kPost + "\r\n", 400, "chunk"},
      {"LineFeedInChunkExtension", kChunked + "1;a=\"\n\"\r\na\r\n0\r\n\r\n", 400, "chunk"},
      {"LineFeedInLastChunkExtension", kChunked + "0;a=\"\n\n\"\r\n\r\n", 400, "chunk"},
      {"EndlessChunkLine", kChunked + "1;" + std::string(2000, 'a'), 431, "1024 bytes"},
      {"OtherExpectation", kPost + "Expect: tea\r\nContent-Length: 1\r\n\r\n", 417, "100-continue"},
      {"CompressedBody", kPost + "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\na", 415, "without compression"},
      {"CutHead", kPost, 400, "ended in the middle"},
      {"CutBody", kPost + "Content-Length: 4\r\n\r\nab", 400, "ended in the middle"},
  };
}

class MalformedRequest : public ::testing::TestWithParam<Malformed> {};

// And nothing that follows it is taken for a request.
TEST_P(MalformedRequest, IsRefusedAndEndsTheConnection) {
  HttpServerOptions options;
  options.max_header_bytes = 1024;
  options.max_body_bytes = 100;
  for (const size_t piece : {1, 7, 1 << 20}) {
    int handled = 0;
    MemoryConnection connection(options, [&](const HttpRequest&, const HttpRespond& respond) {
      ++handled;
      respond({});
    });
    connection.wire().most_read = piece;
    connection.wire().input_has_ended = true;
    const std::string answer = connection.exchange(GetParam().request);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + std::to_string(GetParam().status) + " ")) << piece;
    EXPECT_THAT(answer, HasSubstr("\r\nConnection: close\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\n\r\n{\"error\":\""));
    EXPECT_THAT(answer, HasSubstr(GetParam().reason));
    EXPECT_EQ(handled, 0);
    EXPECT_EQ(connection.closed(), 1);
    EXPECT_TRUE(connection.wire().has_ended);
  }
}

INSTANTIATE_TEST_SUITE_P(All, MalformedRequest, ::testing::ValuesIn(malformed_requests()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace lockstep
