// SPDX-License-Identifier: Apache-2.0
// What `lockstep inspect` found, and how it is printed.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace lockstep {

using InspectValue = nlohmann::ordered_json;  // a string, a number, or null where there is nothing to tell

struct InspectTable {
  std::string title;  // "tensors"
  std::vector<std::string> columns;
  std::vector<std::vector<InspectValue>> rows;
};

struct InspectReport {
  std::string path;
  std::string kind;     // "TFRecords of tf.train.Example"
  std::string summary;  // of the content, in a few words: "10000 records of 28x28x1, labels 0 to 9"
  std::vector<std::pair<std::string, InspectValue>> facts;
  std::vector<InspectTable> tables;
  int64_t checksums = 0;       // that were verified and hold
  std::string checksums_over;  // "length and data of every record"; "" where the format has none
  // One message for each damaged part, the first one first: file, offset, what was expected and found.
  std::vector<std::string> damage;
  std::vector<InspectReport> files;  // of a directory

  void add_fact(std::string name, InspectValue value) { facts.emplace_back(std::move(name), std::move(value)); }
};

// Every message of damage, those of a directory's files too.
std::vector<std::string> all_damage(const InspectReport& report);

// For people: a heading, the facts, the tables; of a directory's files an overview, a line for each.
std::string to_text(const InspectReport& report);

// For programs: one object with everything. What is no UTF-8 is replaced.
std::string to_json(const InspectReport& report);

}  // namespace lockstep
