// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/plain_request.h"

#include <algorithm>
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
    if (*at_ != '{') return take_pixels(out);
    ++at_;
    std::string_view key;
    return take_string(key) && key == "inputs" && take(':') && take_pixels(out) && take('}');
  }

  bool take_numbers(std::span<float> out) { return take('[') && read_decimals(at_, end_, out) && take(']'); }

  bool begins_list() {
    skip_space();
    return *at_ == '[';
  }

  // A flat list; or one of rows, each of numbers when the pixels have but one, or else of lists of them.
  bool take_pixels(std::span<float> out) {
    if (!take('[')) return false;
    if (!begins_list()) return read_decimals(at_, end_, out) && take(']');
    const size_t row_size = out.size() / static_cast<size_t>(rules_.input.height);
    bool has_lists = false;
    for (size_t at = 0; at < out.size(); at += row_size) {
      if ((at > 0 && !take(',')) || !take('[')) return false;
      if (at == 0) has_lists = begins_list();
      const auto row = out.subspan(at, row_size);
      if (has_lists ? !take_row(row) : rules_.input.depth != 1 || !read_decimals(at_, end_, row)) return false;
      if (!take(']')) return false;
    }
    return take(']');
  }

  bool take_row(std::span<float> out) {
    const auto depth = static_cast<size_t>(rules_.input.depth);
    for (size_t at = 0; at < out.size(); at += depth) {
      if ((at > 0 && !take(',')) || !take_numbers(out.subspan(at, depth))) return false;
    }
    return true;
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
