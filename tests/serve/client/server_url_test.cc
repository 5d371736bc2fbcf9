// SPDX-License-Identifier: Apache-2.0
#include "serve/client/server_url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/io/io_fixtures.h"

namespace lockstep {
namespace {

TEST(ServerUrl, TakesTheWaysInWhichServersAreNamed) {
  struct Case {
    std::string text, base;
    bool is_loopback;
  };
  const std::vector<Case> cases = {{"localhost:8501", "http://localhost:8501", true},
                                   {"localhost", "http://localhost:8501", true},
                                   {"127.0.0.1:80", "http://127.0.0.1:80", true},
                                   {"[::1]:9000", "http://[::1]:9000", true},
                                   {"[::1]", "http://[::1]:8501", true},
                                   {"Digits.Localhost", "http://Digits.Localhost:8501", true},
                                   {"digits.example.org", "http://digits.example.org:8501", false},
                                   {"127.example.org", "http://127.example.org:8501", false},
                                   {"[fe80::1]:1", "http://[fe80::1]:1", false},
                                   {"http://digits.example.org", "http://digits.example.org", false},
                                   {"HTTPS://h:65535/", "https://h:65535", false},
                                   {"https://h/digits/v2/", "https://h/digits/v2", false}};
  for (const Case& each : cases) {
    const auto url = parse_server_url(each.text);
    ASSERT_TRUE(url.ok()) << each.text << ": " << url.status();
    EXPECT_EQ(url->base, each.base);
    EXPECT_EQ(url->is_loopback, each.is_loopback) << each.text;
  }
}

TEST(ServerUrl, RefusesTheRestAndSaysWhy) {
  const std::vector<std::pair<std::string, std::string>> cases = {{"", "no host"},
                                                                  {":8501", "no host"},
                                                                  {"http://", "no host"},
                                                                  {"h st", "no host"},
                                                                  {"[]:1", "no host"},
                                                                  {"[::1", "no host"},
                                                                  {"[name]", "no host"},
                                                                  {"[", "no host"},
                                                                  {"::1", "in brackets"},
                                                                  {"fe80::1:80", "in brackets"},
                                                                  {"h:0", "port"},
                                                                  {"h:65536", "port"},
                                                                  {"h:", "port"},
                                                                  {"h:+1", "port"},
                                                                  {"[::1]8501", "port"},
                                                                  {"h:99999999999999999999", "port"},
                                                                  {"ftp://h", "neither http nor https"},
                                                                  {"http://http://h", "neither http nor https"},
                                                                  {"http://me:secret@h", "comes from a file"},
                                                                  {"h/a b", "its path"},
                                                                  {"h/a?b", "its path"},
                                                                  {"h/\r\nX: y", "its path"},
                                                                  {"h#a", "no host"}};
  for (const auto& [text, why] : cases) {
    const auto url = parse_server_url(text);
    ASSERT_FALSE(url.ok()) << text << ": " << url->base;
    EXPECT_THAT(message_of(url.status()),
                testing::AllOf(testing::HasSubstr(why), testing::HasSubstr("expected localhost:8501"),
                               testing::Not(testing::HasSubstr("secret"))));
  }
}

}  // namespace
}  // namespace lockstep
