// SPDX-License-Identifier: Apache-2.0
// What the inspectors of files with a graph in them, TensorFlow's and ONNX, share.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"
#include "io/protobuf_bytes.h"
#include "serve/inspect/inspect_report.h"
#include "serve/inspect/value_stats.h"

namespace lockstep {

// Reads a message from a file; on failure tells the report and returns false.
template <typename Message>
bool read_message(const std::string& path, std::string_view what, Message& message, InspectReport& report) {
  const auto bytes = read_file(path);
  if (bytes.ok() && parse_protobuf(*bytes, &message)) return true;
  report.summary = "unreadable";
  report.damage.push_back(bytes.ok() ? fmt::format("{}: {} bytes that are no protobuf {}", path, bytes->size(), what)
                                     : std::string(bytes.status().message()));
  return false;
}

// How many nodes each operator has.
InspectTable operator_table(const std::map<std::string, int>& counts);

// A row of kTensorColumns.
std::vector<InspectValue> tensor_row(const std::string& name, const std::string& dtype, const std::string& shape,
                                     const ValueStats& stats);

// Tells of a tensor of a graph that holds another number of elements than its shape says.
void check_count(const std::string& name, std::span<const int64_t> shape, int64_t count, InspectReport& report);

// The bytes of numbers that a message lists one by one, each as a T.
template <typename T, typename List>
std::string bytes_as(const List& list) {
  std::string bytes;
  bytes.reserve(static_cast<size_t>(list.size()) * sizeof(T));
  for (const auto number : list) {
    const T element = static_cast<T>(number);
    bytes.append(reinterpret_cast<const char*>(&element), sizeof(T));
  }
  return bytes;
}

}  // namespace lockstep
