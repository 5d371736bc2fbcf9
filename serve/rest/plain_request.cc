// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/plain_request.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>

#include "serve/rest/decimal.h"

namespace lockstep {
namespace {

// A walk along the body. A string ends in a NUL, which is part of nothing that is looked for: no step needs to ask
// whether there is more. After a false the place is undefined.
class Reading {
 public:
  Reading(const std::string& body, const RequestRules& rules)
      : rules_(rules), at_(body.data()), end_(at_ + body.size()), body_bytes_(body.size()) {}

  std::optional<ParsedPredict> read() {
    if (!take('{')) return std::nullopt;
    do {
      if (!take_member()) return std::nullopt;
    } while (take(','));
    if (!take('}') || out_.examples == 0) return std::nullopt;
    skip_space();
    if (at_ != end_) return std::nullopt;
    return std::move(out_);
  }

 private:
  void skip_space() {
    while (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t') ++at_;
  }

  bool take(char wanted) {
    skip_space();
    if (*at_ != wanted) return false;
    ++at_;
    return true;
  }

  // A string without escapes, of printable ASCII.
  bool take_string(std::string_view& text) {
    if (!take('"')) return false;
    const char* const begin = at_;
    while (*at_ >= ' ' && *at_ <= '~' && *at_ != '"' && *at_ != '\\') ++at_;
    text = {begin, at_};
    return *at_++ == '"';
  }

  // Each key at most once: parsers do not agree on which of two counts.
  bool take_member() {
    std::string_view key;
    if (!take_string(key) || !take(':')) return false;
    if (key == "signature_name") {
      std::string_view name;
      if (has_signature_ || !take_string(name)) return false;
      has_signature_ = true;
      out_.signature_name = std::string(name);
      return true;
    }
    if ((key != "instances" && key != "inputs") || out_.examples > 0) return false;
    out_.row = key == "instances";
    return take_images();
  }

  bool take_images() {
    if (!take('[')) return false;
    const auto size = static_cast<size_t>(rules_.input.size());
    out_.inputs.reserve(std::max(size, body_bytes_ / 4));  // "0.0," is a short number
    do {
      if (out_.examples == rules_.most_examples) return false;
      out_.inputs.resize(out_.inputs.size() + size);
      if (!take_image(std::span(out_.inputs).last(size))) return false;
      ++out_.examples;
    } while (take(','));
    return take(']');
  }

  bool take_image(std::span<float> out) {
    skip_space();
    if (*at_ != '{') return take_numbers(out);
    ++at_;
    std::string_view key;
    return take_string(key) && key == "inputs" && take(':') && take_numbers(out) && take('}');
  }

  bool take_numbers(std::span<float> out) {
    if (!take('[')) return false;
    for (size_t i = 0; i < out.size(); ++i) {
      if (i > 0 && !take(',')) return false;
      skip_space();
      i += take_zeros(out.subspan(i));
      skip_space();
      const auto number = read_decimal(at_, end_);
      if (!number) return false;
      out[i] = *number;
    }
    return take(']');
  }

  // Images are mostly background: runs of "0.0, " or "0,", but for the last of the list.
  size_t take_zeros(std::span<float> out) {
    size_t count = 0;
    while (count + 1 < out.size() && end_ - at_ >= 4 && at_[0] == '0') {
      const bool is_decimal = std::memcmp(at_, "0.0,", 4) == 0;
      if (!is_decimal && at_[1] != ',') break;
      at_ += is_decimal ? 4 : 2;
      at_ += static_cast<int>(*at_ == ' ');
      out[count++] = 0;
    }
    return count;
  }

  const RequestRules& rules_;
  const char* at_;
  const char* const end_;
  const size_t body_bytes_;
  bool has_signature_ = false;
  ParsedPredict out_;
};

}  // namespace

std::optional<ParsedPredict> parse_plain_request(const std::string& body, const RequestRules& rules) {
  return Reading(body, rules).read();
}

}  // namespace lockstep
