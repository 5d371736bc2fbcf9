// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/api_path.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

struct Expected {
  std::string path;
  ApiResource resource;
  std::string model;
  std::optional<int64_t> version = std::nullopt;
  std::string label = "";
  std::string project = "";
};

TEST(ApiPath, KnowsThePathsOfBothApis) {
  const std::vector<Expected> cases = {
      {"/v1/models", ApiResource::kModels, ""},
      {"/v1/models/m", ApiResource::kModel, "m"},
      {"/v1/models/m/versions/12", ApiResource::kModel, "m", 12},
      {"/v1/models/m/versions/007", ApiResource::kModel, "m", 7},
      {"/v1/models/m/labels/stable", ApiResource::kModel, "m", std::nullopt, "stable"},
      {"/v1/models/m/metadata", ApiResource::kMetadata, "m"},
      {"/v1/models/m/versions/3/metadata", ApiResource::kMetadata, "m", 3},
      {"/v1/models/m:predict", ApiResource::kPredict, "m"},
      {"/V1/Models/m/Versions/3:Predict", ApiResource::kPredict, "m", 3},
      {"/v1/models/m/labels/l:classify", ApiResource::kClassify, "m", std::nullopt, "l"},
      {"/v1/models/versions:regress", ApiResource::kRegress, "versions"},
      {"/v1/models/m%2", ApiResource::kModel, "m%2"},
      {"/v1/projects/p/models/m:predict", ApiResource::kCloudPredict, "m", std::nullopt, "", "p"},
      {"/v1/projects/p/models/m/versions/v1:predict", ApiResource::kCloudPredict, "m", std::nullopt, "v1", "p"},
      {"/v1/projects/p/models/m/versions/12:predict", ApiResource::kCloudPredict, "m", 12, "", "p"}};
  for (const Expected& expected : cases) {
    const auto path = parse_api_path(expected.path);
    ASSERT_TRUE(path.ok()) << expected.path << ": " << path.status();
    EXPECT_EQ(path->resource, expected.resource) << expected.path;
    EXPECT_EQ(path->model, expected.model) << expected.path;
    EXPECT_EQ(path->version, expected.version) << expected.path;
    EXPECT_EQ(path->label, expected.label) << expected.path;
    EXPECT_EQ(path->project, expected.project) << expected.path;
  }
}

TEST(ApiPath, MustMatchFully) {
  for (const char* path : {"",
                           "/",
                           "/v1",
                           "/v1/",
                           "/v2/models/m",
                           "v1/models/m",
                           "/v1/models/",
                           "/v1/models/m/",
                           "/v1/models/m:",
                           "/v1/models/:predict",
                           "/v1/models/m:predict/",
                           "/v1/models/m:predict:predict",
                           "/v1/models/m:explain",
                           "/v1/models/m/versions",
                           "/v1/models/m/versions/",
                           "/v1/models/m/versions/v1",
                           "/v1/models/m/versions/-1",
                           "/v1/models/m/versions/1/labels/l",
                           "/v1/models/m/labels/",
                           "/v1/models/m/labels/l:x/metadata",
                           "/v1/models/m/metadata/",
                           "/v1/models/m/metadata:predict",
                           "/v1/models:predict",
                           "/v1/models/m:predict/metadata",
                           "/v1/projects",
                           "/v1/projects/p",
                           "/v1/projects/p/models/m",
                           "/v1/projects//models/m:predict",
                           "/v1/projects/p/models/:predict",
                           "/v1/projects/p/models/m/versions/:predict",
                           "/v1/projects/p/models/m/labels/l:predict",
                           "/v1/projects/p/models/m:classify",
                           "/v1/projects/p/jobs/m:predict",
                           "/v1/projects/p/models/m/versions/v/x:predict",
                           "/v1/jobs/m"}) {
    EXPECT_TRUE(absl::IsNotFound(parse_api_path(path).status())) << path;
  }
}

TEST(ApiPath, AVersionBeyond64BitsIsToldSo) {
  const auto path = parse_api_path("/v1/models/m/versions/99999999999999999999");
  EXPECT_TRUE(absl::IsInvalidArgument(path.status()));
  EXPECT_EQ(std::string(path.status().message()), "Failed to convert version: 99999999999999999999 to numeric.");
}

TEST(ApiPath, TellsTheMethod) {
  EXPECT_EQ(method_of(ApiResource::kModels), "GET");
  EXPECT_EQ(method_of(ApiResource::kModel), "GET");
  EXPECT_EQ(method_of(ApiResource::kMetadata), "GET");
  EXPECT_EQ(method_of(ApiResource::kPredict), "POST");
  EXPECT_EQ(method_of(ApiResource::kCloudPredict), "POST");
}

}  // namespace
}  // namespace lockstep
