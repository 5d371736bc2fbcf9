// SPDX-License-Identifier: Apache-2.0
// One value of a request to numbers. Errors tell of the value alone: their caller knows where it was.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "serve/requests/image_reader.h"

namespace simdjson::dom {
class element;
}

namespace lockstep {

// For the values of one request. Not thread-safe.
class InstanceParser {
 public:
  explicit InstanceParser(const RequestRules& rules) : rules_(rules), images_(rules) {}

  // A value, or {"inputs": value}, into the H * W * C numbers of `out`, which is undefined after an error.
  absl::Status read(const simdjson::dom::element& instance, std::span<float> out);

 private:
  absl::Status read_value(const simdjson::dom::element& value, std::span<float> out);
  absl::Status read_list(const simdjson::dom::element& list, std::span<float> out) const;
  absl::Status read_binary(const simdjson::dom::element& text, std::span<float> out);

  const RequestRules& rules_;
  ImageReader images_;
  std::string bytes_;  // of the last base64 text: one allocation for many instances
};

// Is it {"b64": …} and nothing else?
bool is_binary(const simdjson::dom::element& value);
// "a number", "a list of 3", "a map", …
std::string kind_of(const simdjson::dom::element& value);
// "[27,28]": the sizes of nested lists along their first elements, at most five levels of them.
std::string shape_text(const simdjson::dom::element& value);

}  // namespace lockstep
