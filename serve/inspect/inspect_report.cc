// SPDX-License-Identifier: Apache-2.0
#include "serve/inspect/inspect_report.h"

#include <absl/strings/ascii.h>
#include <fmt/format.h>

#include "serve/text_table.h"

namespace lockstep {
namespace {

std::string cell(const InspectValue& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return printable(value.get_ref<const std::string&>());
  if (value.is_number_float()) return fmt::format("{:.6g}", value.get<double>());
  return value.dump();
}

std::string checksum_text(const InspectReport& report) {
  if (report.checksums_over.empty()) return "none in this format";
  return fmt::format("{} verified ({})", report.checksums, report.checksums_over);
}

std::string table_text(const InspectTable& table) {
  std::vector<std::string> heading;
  for (const std::string& column : table.columns) heading.push_back(absl::AsciiStrToUpper(column));
  std::vector<std::vector<std::string>> rows;
  for (const auto& row : table.rows) {
    rows.emplace_back();
    for (const InspectValue& value : row) rows.back().push_back(cell(value));
  }
  return text_table(heading, rows);
}

std::string relative(std::string_view path, std::string_view directory) {
  if (!path.starts_with(directory)) return std::string(path);
  path.remove_prefix(directory.size());
  return std::string(path.starts_with('/') ? path.substr(1) : path);
}

std::string overview(const InspectReport& report) {
  InspectTable table{"files", {"file", "what", "content", "checksums"}, {}};
  for (const InspectReport& file : report.files) {
    std::string checks = file.checksums_over.empty() ? "-" : fmt::format("{} verified", file.checksums);
    if (!file.damage.empty()) checks = "DAMAGED";
    table.rows.push_back({relative(file.path, report.path), file.kind, file.summary, checks});
  }
  return table_text(table);
}

InspectValue to_object(const InspectReport& report) {
  InspectValue object = {{"path", report.path}, {"kind", report.kind}, {"summary", report.summary}};
  for (const auto& [name, value] : report.facts) object["facts"][name] = value;
  for (const InspectTable& table : report.tables) {
    InspectValue rows = InspectValue::array();
    for (const auto& row : table.rows) {
      InspectValue fields;
      for (size_t i = 0; i < row.size(); ++i) fields[table.columns[i]] = row[i];
      rows.push_back(std::move(fields));
    }
    object["tables"][table.title] = std::move(rows);
  }
  object["checksums_verified"] = report.checksums;
  object["checksums_over"] = report.checksums_over;
  object["damage"] = report.damage;
  for (const InspectReport& file : report.files) object["files"].push_back(to_object(file));
  return object;
}

}  // namespace

std::vector<std::string> all_damage(const InspectReport& report) {
  std::vector<std::string> all = report.damage;
  for (const InspectReport& file : report.files) {
    const std::vector<std::string> more = all_damage(file);
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

std::string to_text(const InspectReport& report) {
  std::string out = fmt::format("{}: {}\n", printable(report.path), report.kind);
  std::vector<std::vector<std::string>> facts;
  for (const auto& [name, value] : report.facts) facts.push_back({fmt::format("  {}", name), cell(value)});
  if (report.files.empty()) facts.push_back({"  checksums", checksum_text(report)});
  out += text_table({}, facts);
  for (const InspectTable& table : report.tables) {
    if (!table.rows.empty()) out += fmt::format("\n{}", table_text(table));
  }
  if (!report.files.empty()) out += fmt::format("\n{}", overview(report));
  const std::vector<std::string> damage = all_damage(report);
  for (const std::string& message : damage)
    out += fmt::format("{}DAMAGED: {}\n", &message == &damage[0] ? "\n" : "", printable(message));
  return out;
}

std::string to_json(const InspectReport& report) {
  return to_object(report).dump(2, ' ', false, InspectValue::error_handler_t::replace) + "\n";
}

}  // namespace lockstep
