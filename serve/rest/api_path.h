// SPDX-License-Identifier: Apache-2.0
// Paths of the REST APIs. Fixed words are matched in any case, as TensorFlow Serving does. Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/status.h"

namespace lockstep {

enum class ApiResource {
  kModels,        // /v1/models
  kModel,         // /v1/models/M[/versions/N|/labels/L]
  kMetadata,      // …/metadata
  kPredict,       // …:predict
  kClassify,      // …:classify
  kRegress,       // …:regress
  kCloudPredict,  // /v1/projects/P/models/M[/versions/V]:predict; V is a name or a number
};

struct ApiPath {
  ApiResource resource = ApiResource::kModels;
  std::string project, model;
  std::optional<int64_t> version;
  std::string label;  // Cloud ML Engine's name of a version, too
};

// "GET" or "POST": the method that a resource takes.
std::string_view method_of(ApiResource resource);

// `path` is decoded and without its query. NotFound for a path that is none of these; InvalidArgument for a version
// that is no 64-bit number.
absl::StatusOr<ApiPath> parse_api_path(std::string_view path);

}  // namespace lockstep
