// SPDX-License-Identifier: Apache-2.0
#include "core/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace lockstep {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

// What `write` puts on stderr when this process is `rank`.
template <typename Write>
std::string stderr_of(int rank, Write&& write) {
  init_logging(rank);
  testing::internal::CaptureStderr();
  write();
  const std::string text = testing::internal::GetCapturedStderr();
  init_logging(0);
  return text;
}

TEST(Log, ALineHasLevelTimeRankPlaceAndMessage) {
  const std::string line = stderr_of(3, [] { LOG_WARNING("step={} loss={:.2f}", 200, 0.5); });
  EXPECT_THAT(line, MatchesRegex("W [0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{3} r3 log_test\\.cc:[0-9]+ "
                                 "step=200 loss=0\\.50\n"));
  EXPECT_EQ(stderr_of(0, [] { LOG_INFO("x"); })[0], 'I');
  EXPECT_EQ(stderr_of(0, [] { LOG_ERROR("x"); })[0], 'E');
}

TEST(Log, OtherRanksKeepQuietBelowWarning) {
  EXPECT_EQ(stderr_of(1, [] { LOG_INFO("progress"); }), "");
  EXPECT_THAT(stderr_of(1, [] { LOG_WARNING("trouble"); }), HasSubstr("trouble"));
  EXPECT_THAT(stderr_of(0, [] { LOG_INFO("progress"); }), HasSubstr("progress"));
}

TEST(Log, ArgumentsOfAQuietLineAreNotEvaluated) {
  int calls = 0;
  stderr_of(1, [&] { LOG_INFO("{}", ++calls); });
  EXPECT_EQ(calls, 0);
}

TEST(Log, BracesInAMessageAreNotFormattedAgain) {
  EXPECT_THAT(stderr_of(0, [] { LOG_INFO("{}", "{\"key\": {}}"); }), HasSubstr("{\"key\": {}}"));
}

TEST(Log, ProgressIsNotShownWhereThereIsNoTerminal) {
  EXPECT_EQ(stderr_of(0, [] { show_progress("10 %"); }), "");
}

TEST(Log, LinesOfSeveralThreadsStayWhole) {
  const std::string text = stderr_of(0, [] {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([] {
        for (int i = 0; i < 20; ++i) LOG_INFO("one whole line");
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  size_t lines = 0, at = 0;
  for (size_t end; (end = text.find('\n', at)) != std::string::npos; at = end + 1, ++lines) {
    EXPECT_THAT(text.substr(at, end - at), MatchesRegex("I [0-9:.]+ r0 log_test\\.cc:[0-9]+ one whole line"));
  }
  EXPECT_EQ(lines, 80u);
}

}  // namespace
}  // namespace lockstep
