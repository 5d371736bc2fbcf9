// SPDX-License-Identifier: Apache-2.0
#include "serve/console/console.h"

#include <absl/strings/escaping.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>

namespace lockstep {
namespace {

// Every path in the text that begins with /console/.
std::set<std::string> paths_in(std::string_view text) {
  static const std::regex path("/console/[a-z_.]+");
  const std::string copy(text);
  std::set<std::string> paths;
  for (std::sregex_iterator at(copy.begin(), copy.end(), path), end; at != end; ++at) paths.insert(at->str());
  return paths;
}

TEST(Console, PageIsWholeWithEverythingThatItRefersTo) {
  const ConsoleFile* page = find_console_file("/");
  ASSERT_NE(page, nullptr);
  EXPECT_EQ(page->content_type, "text/html; charset=utf-8");
  EXPECT_EQ(page->content.substr(0, 15), "<!doctype html>");
  EXPECT_EQ(page->content.substr(page->content.size() - 8), "</html>\n");
  std::set<std::string> wanted = paths_in(page->content), seen;
  EXPECT_TRUE(wanted.contains("/console/app.js"));
  while (!wanted.empty()) {
    const std::string path = *wanted.begin();
    wanted.erase(wanted.begin());
    if (!seen.insert(path).second) continue;
    const ConsoleFile* file = find_console_file(path);
    ASSERT_NE(file, nullptr) << path;
    wanted.merge(paths_in(file->content));
  }
  EXPECT_EQ(seen.size(), 8);
}

TEST(Console, NothingIsLoadedFromElsewhere) {
  static const std::regex elsewhere("(src|href|from|url\\(|import|fetch\\()[ =(]*['\"]?(https?:)?//");
  for (const std::string path : {"/", "/console/app.js", "/console/api.js", "/console/ink.js", "/console/pad.js",
                                 "/console/chart.js", "/console/style.css"}) {
    const ConsoleFile* file = find_console_file(path);
    ASSERT_NE(file, nullptr) << path;
    EXPECT_FALSE(std::regex_search(std::string(file->content), elsewhere)) << path;
  }
}

TEST(Console, SamplesAreTwoPicturesOfEachDigit) {
  const ConsoleFile* file = find_console_file("/console/samples.json");
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->content_type, "application/json");
  const auto samples = nlohmann::json::parse(file->content);
  EXPECT_EQ(samples["side"], 28);
  ASSERT_EQ(samples["images"].size(), 20);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(samples["images"][i]["label"], i / 2);
    std::string pixels;
    ASSERT_TRUE(absl::Base64Unescape(samples["images"][i]["b64"].get<std::string>(), &pixels));
    EXPECT_EQ(pixels.size(), 784);
  }
}

TEST(Console, OtherPathsAreNotThere) {
  for (const char* path :
       {"", "/index.html", "/console/", "/console", "/console/../api.js", "/console/api.js/", "//"}) {
    EXPECT_EQ(find_console_file(path), nullptr) << path;
  }
}

TEST(Console, EtagsTellFilesApart) {
  const ConsoleFile *page = find_console_file("/"), *script = find_console_file("/console/app.js");
  ASSERT_TRUE(page && script);
  EXPECT_NE(page->etag, script->etag);
  EXPECT_EQ(page->etag.front(), '"');
  EXPECT_EQ(page->etag.back(), '"');
}

}  // namespace
}  // namespace lockstep
