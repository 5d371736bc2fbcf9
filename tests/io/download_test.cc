// SPDX-License-Identifier: Apache-2.0
#include "io/download.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "tests/io/http_fixture.h"
#include "tests/io/io_fixtures.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Download : public ::testing::Test {
 protected:
  // The message of the failed download; the directory must be as it was.
  std::string error_of(const std::string& url, const DownloadOptions& options = {}) {
    const auto result = download(url, path_, options);
    EXPECT_TRUE(list_directory(dir_.path()).value().empty());
    return result.ok() ? "" : message_of(result.status());
  }

  TmpDir dir_;
  const std::string path_ = dir_.file("file");
  const std::string body_ = noise(300000, 1);
};

TEST_F(Download, FileArrivesWhole) {
  HttpFixture server({{"/data", {.body = body_}}});
  EXPECT_EQ(download(server.url("/data"), path_, {.sha256 = sha256_hex(body_)}).value(), body_.size());
  EXPECT_EQ(read_bytes(path_), body_);
  EXPECT_THAT(list_directory(dir_.path()).value(), ElementsAre("file"));
}

TEST_F(Download, LocalFileUrlWorks) {
  TmpDir source;
  write_bytes(source.file("data"), body_);
  EXPECT_EQ(download("file://" + source.file("data"), path_, {}).value(), body_.size());
  EXPECT_EQ(read_bytes(path_), body_);
}

TEST_F(Download, RedirectIsFollowedButNotToALocalFile) {
  HttpFixture server({{"/data", {.body = "found"}},
                      {"/moved", {.status = 302, .location = "/data"}},
                      {"/local", {.status = 302, .location = "file:///etc/hostname"}}});
  EXPECT_NE(error_of(server.url("/local")), "");
  EXPECT_TRUE(download(server.url("/moved"), path_, {}).ok());
  EXPECT_EQ(read_bytes(path_), "found");
}

TEST_F(Download, MissingFileIsAnErrorNamingTheUrl) {
  HttpFixture server({});
  EXPECT_THAT(error_of(server.url("/absent")), AllOf(HasSubstr(server.url("/absent")), HasSubstr("404")));
}

TEST_F(Download, CutBodyIsAnError) {
  HttpFixture server({{"/data", {.body = body_, .claimed_length = 400000}}});
  EXPECT_NE(error_of(server.url("/data")), "");
}

TEST_F(Download, WrongChecksumIsAnErrorNamingBoth) {
  HttpFixture server({{"/data", {.body = body_}}});
  const std::string expected(64, '0');
  EXPECT_THAT(error_of(server.url("/data"), {.sha256 = expected}),
              AllOf(HasSubstr(sha256_hex(body_)), HasSubstr(expected)));
}

TEST_F(Download, TooLargeFileIsStopped) {
  HttpFixture server({{"/data", {.body = body_}}});
  EXPECT_THAT(error_of(server.url("/data"), {.max_bytes = 1000}), HasSubstr("limit of 1000 bytes"));
}

TEST_F(Download, StalledServerIsLeft) {
  HttpFixture server({{"/data", {.stall = true}}});
  EXPECT_NE(error_of(server.url("/data"), {.total_timeout_s = 1}), "");
}

TEST_F(Download, UnreachableServerIsAnError) {
  std::string url;
  {
    HttpFixture server({});
    url = server.url("/data");
  }
  EXPECT_THAT(error_of(url), HasSubstr(url));
}

TEST_F(Download, OtherProtocolsAreRefused) { EXPECT_NE(error_of("ftp://127.0.0.1/data"), ""); }

TEST_F(Download, FailureLeavesTheEarlierFile) {
  HttpFixture server({{"/data", {.body = body_, .claimed_length = 400000}}});
  write_bytes(path_, "earlier");
  EXPECT_FALSE(download(server.url("/data"), path_, {}).ok());
  EXPECT_EQ(read_bytes(path_), "earlier");
}

TEST_F(Download, ProgressEndsAtTheTotal) {
  HttpFixture server({{"/data", {.body = body_}}});
  uint64_t last_done = 0, last_total = 0;
  const auto on_progress = [&](uint64_t done, uint64_t total) { last_done = done, last_total = total; };
  ASSERT_TRUE(download(server.url("/data"), path_, {.on_progress = on_progress}).ok());
  EXPECT_EQ(last_done, body_.size());
  EXPECT_EQ(last_total, body_.size());
}

}  // namespace
}  // namespace lockstep
