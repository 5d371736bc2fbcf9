// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/api_path.h"

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "serve/rest/abseil_text.h"
#include "serve/version_text.h"

namespace lockstep {
namespace {

using Parts = std::vector<std::string_view>;

absl::Status unknown() { return absl::NotFoundError("no such path"); }

Parts split(std::string_view path) {
  Parts parts;
  for (size_t begin = 0, end = 0; end != std::string_view::npos; begin = end + 1) {
    end = path.find('/', begin);
    parts.push_back(path.substr(begin, end == std::string_view::npos ? end : end - begin));
  }
  return parts;
}

bool is_word(std::string_view part, std::string_view word) {
  return absl::EqualsIgnoreCase(to_abseil(part), to_abseil(word));
}

// Cuts `:verb` off the last part.
std::string_view take_verb(Parts& parts) {
  std::string_view& last = parts.back();
  const size_t colon = last.find(':');
  if (colon == std::string_view::npos) return {};
  const std::string_view verb = last.substr(colon + 1);
  last = last.substr(0, colon);
  return verb;
}

absl::StatusOr<int64_t> version_number(std::string_view text) {
  int64_t version = 0;
  if (absl::SimpleAtoi(to_abseil(text), &version)) return version;
  return absl::InvalidArgumentError(
      fmt::format("Failed to convert version: {} to numeric.", std::string(text.substr(0, 100))));
}

// [/versions/N|/labels/L] behind the model's name; `at` moves past it.
absl::Status take_version(const Parts& parts, size_t& at, ApiPath& out) {
  if (at + 1 >= parts.size()) return absl::OkStatus();
  const std::string_view text = parts[at + 1];
  if (is_word(parts[at], "versions")) {
    if (!is_version_number(text)) return unknown();
    LOCKSTEP_ASSIGN_OR_RETURN(out.version, version_number(text));
  } else if (is_word(parts[at], "labels")) {
    if (text.empty()) return unknown();
    out.label = std::string(text);
  } else {
    return absl::OkStatus();
  }
  at += 2;
  return absl::OkStatus();
}

absl::StatusOr<ApiResource> verb_resource(std::string_view verb) {
  constexpr std::array<std::pair<std::string_view, ApiResource>, 3> kVerbs{
      {{"predict", ApiResource::kPredict}, {"classify", ApiResource::kClassify}, {"regress", ApiResource::kRegress}}};
  for (const auto& [word, resource] : kVerbs) {
    if (is_word(verb, word)) return resource;
  }
  return unknown();
}

// "", "v1", "models", M, …
absl::StatusOr<ApiPath> serving_path(Parts parts) {
  ApiPath out;
  if (parts.size() == 3) return is_word(parts[2], "models") ? absl::StatusOr<ApiPath>(out) : unknown();
  const bool has_verb = parts.back().find(':') != std::string_view::npos;
  const std::string_view verb = take_verb(parts);
  for (const std::string_view part : parts) {
    if (part.find(':') != std::string_view::npos) return unknown();
  }
  if (parts[3].empty()) return unknown();
  out.model = std::string(parts[3]);
  size_t at = 4;
  LOCKSTEP_RETURN_IF_ERROR(take_version(parts, at, out));
  if (has_verb) {
    LOCKSTEP_ASSIGN_OR_RETURN(out.resource, verb_resource(verb));
  } else if (at + 1 == parts.size() && is_word(parts[at], "metadata")) {
    out.resource = ApiResource::kMetadata;
    ++at;
  } else {
    out.resource = ApiResource::kModel;
  }
  if (at != parts.size()) return unknown();
  return out;
}

// "", "v1", "projects", P, "models", M[, "versions", V]:predict. V is a name, which begins with a letter in Cloud ML
// Engine; digits are the number of a version, for those of a directory have no names.
absl::StatusOr<ApiPath> cloud_path(Parts parts) {
  ApiPath out;
  out.resource = ApiResource::kCloudPredict;
  if (!is_word(take_verb(parts), "predict")) return unknown();
  const bool versioned = parts.size() == 8 && is_word(parts[6], "versions") && !parts[7].empty();
  if ((parts.size() != 6 && !versioned) || !is_word(parts[4], "models") || parts[3].empty() || parts[5].empty()) {
    return unknown();
  }
  out.project = std::string(parts[3]);
  out.model = std::string(parts[5]);
  if (!versioned) return out;
  if (is_version_number(parts[7])) {
    LOCKSTEP_ASSIGN_OR_RETURN(out.version, version_number(parts[7]));
  } else {
    out.label = std::string(parts[7]);
  }
  return out;
}

}  // namespace

std::string_view method_of(ApiResource resource) {
  switch (resource) {
    case ApiResource::kModels:
    case ApiResource::kModel:
    case ApiResource::kMetadata:
      return "GET";
    default:
      return "POST";
  }
}

absl::StatusOr<ApiPath> parse_api_path(std::string_view path) {
  const Parts parts = split(path);
  if (parts.size() < 3 || parts.size() > 8 || !parts[0].empty() || !is_word(parts[1], "v1")) return unknown();
  if (is_word(parts[2], "projects")) return cloud_path(parts);
  return parts.size() == 3 || is_word(parts[2], "models") ? serving_path(parts) : unknown();
}

}  // namespace lockstep
