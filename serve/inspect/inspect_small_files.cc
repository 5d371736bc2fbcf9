// SPDX-License-Identifier: Apache-2.0
// PNG and JSON.
#include <fmt/format.h>

#include "core/base/file.h"
#include "io/png_reader.h"
#include "serve/inspect/inspectors.h"

namespace lockstep {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{1} << 30;

bool read_small_file(InspectReport& report, std::string& bytes) {
  auto contents = read_file(report.path, kMaxBytes);
  if (contents.ok()) {
    bytes = *std::move(contents);
    return true;
  }
  report.summary = "unreadable";
  report.damage.emplace_back(contents.status().message());
  return false;
}

// The scalars of an object as facts; lists and objects by their size.
void add_fields(const InspectValue& object, InspectReport& report) {
  for (const auto& [key, value] : object.items()) {
    if (!value.is_structured()) {
      report.add_fact(key, value);
    } else {
      report.add_fact(key, fmt::format("{} of {}", value.is_array() ? "list" : "map", value.size()));
    }
  }
}

// One JSON value a line; false when some line is none, with its number.
bool are_json_lines(std::string_view text, int64_t* lines) {
  for (*lines = 0; !text.empty(); ++*lines) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (!nlohmann::json::accept(line)) return false;
  }
  return *lines > 0;
}

}  // namespace

void inspect_png(InspectReport& report) {
  report.kind = "PNG";
  report.checksums_over = "CRC-32 of every chunk";
  std::string bytes;
  if (!read_small_file(report, bytes)) return;
  const auto image = decode_png(bytes, report.path);
  if (!image.ok()) {
    report.summary = "unreadable";
    report.damage.emplace_back(image.status().message());
    return;
  }
  const PngInfo& info = image->info;
  report.checksums = info.chunks;
  report.summary = fmt::format("{}x{} {}", info.width, info.height, info.colour);
  report.add_fact("width", info.width);
  report.add_fact("height", info.height);
  report.add_fact("colour", info.colour);
  report.add_fact("bits a sample", info.bit_depth);
}

void inspect_json(InspectReport& report) {
  report.kind = "JSON";
  std::string text;
  if (!read_small_file(report, text)) return;
  const InspectValue value = InspectValue::parse(text, nullptr, false);
  int64_t lines = 0;
  if (!value.is_discarded()) {
    report.summary = value.is_structured() ? fmt::format("{} {}", value.size(), value.is_array() ? "elements" : "keys")
                                           : "one value";
    if (value.is_object()) add_fields(value, report);
  } else if (are_json_lines(text, &lines)) {
    report.kind = "JSON, one value a line";
    report.summary = fmt::format("{} lines", lines);
    report.add_fact("lines", lines);
  } else {
    report.summary = "unreadable";
    report.damage.push_back(fmt::format("{}:{}: expected a JSON value in this line", report.path, lines + 1));
  }
}

}  // namespace lockstep
