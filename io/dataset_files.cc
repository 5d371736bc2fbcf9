// SPDX-License-Identifier: Apache-2.0
#include "io/dataset_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/base/file.h"
#include "io/idx_reader.h"

namespace lockstep {
namespace {

constexpr std::string_view kRecordSuffix = ".tfrecords";

bool is_shard_of(std::string_view name, Split split) {
  if (!name.starts_with(split_name(split))) return false;
  const size_t suffix = name.find(kRecordSuffix);
  if (suffix == std::string_view::npos) return false;
  return name.find(".tmp", suffix) == std::string_view::npos;
}

std::string without_compression_suffix(std::string name) {
  for (const std::string_view suffix : {".gz", ".zlib"}) {
    if (name.ends_with(suffix)) return name.substr(0, name.size() - suffix.size());
  }
  return name;
}

absl::Status check_no_duplicates(const std::string& directory, const std::vector<std::string>& names) {
  std::map<std::string, std::string> seen;
  for (const std::string& name : names) {
    const auto [it, fresh] = seen.emplace(without_compression_suffix(name), name);
    if (fresh) continue;
    return absl::FailedPreconditionError(
        fmt::format("{}: {} and {} are the same records twice: remove one of them", directory, it->second, name));
  }
  return absl::OkStatus();
}

struct ShardNumber {
  std::string set;  // the name around the number, with the total
  int number = 0, total = 0;
};

// Takes "-00002-of-00004" apart; false when the name is not numbered.
bool parse_shard_number(const std::string& name, ShardNumber* shard) {
  constexpr size_t kDigits = 5;
  constexpr std::string_view kOf = "-of-";
  const size_t of = name.find(kOf);
  if (of == std::string::npos || of < kDigits + 1 || of + kOf.size() + kDigits > name.size()) return false;
  const std::string number = name.substr(of - kDigits, kDigits);
  const std::string total = name.substr(of + kOf.size(), kDigits);
  const auto all_digits = [](const std::string& s) { return s.find_first_not_of("0123456789") == std::string::npos; };
  if (!all_digits(number) || !all_digits(total)) return false;
  *shard = {without_compression_suffix(name.substr(0, of - kDigits) + name.substr(of)), std::stoi(number),
            std::stoi(total)};
  return true;
}

absl::Status check_numbered_sets_complete(const std::string& directory, const std::vector<std::string>& names) {
  std::map<std::string, std::pair<int, std::set<int>>> sets;
  for (const std::string& name : names) {
    ShardNumber shard;
    if (!parse_shard_number(name, &shard)) continue;
    sets[shard.set].first = shard.total;
    sets[shard.set].second.insert(shard.number);
  }
  for (const auto& [set, shards] : sets) {
    for (int number = 0; number < shards.first; ++number) {
      if (shards.second.contains(number)) continue;
      return absl::NotFoundError(fmt::format("{}: shard {:05d} of {} is missing (of the set {}): {} are there",
                                             directory, number, shards.first, set, shards.second.size()));
    }
  }
  return absl::OkStatus();
}

absl::Status nothing_found(const std::string& directory, Split split, const std::vector<std::string>& names) {
  constexpr size_t kShown = 10;
  std::string holds;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) holds += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kShown) holds += fmt::format(" and {} more", names.size() - kShown);
  std::string expected = fmt::format("{}*{}*", split_name(split), kRecordSuffix);
  if (split == Split::kTrain) expected += fmt::format(" or {}[.gz] with {}[.gz]", kTrainImagesStem, kTrainLabelsStem);
  if (split == Split::kTest) expected += fmt::format(" or {}[.gz] with {}[.gz]", kTestImagesStem, kTestLabelsStem);
  return absl::NotFoundError(fmt::format("{}: no {} data: expected {}; the directory {}", directory, split_name(split),
                                         expected, names.empty() ? "is empty" : "holds " + holds));
}

}  // namespace

absl::StatusOr<DatasetFiles> find_dataset_files(const std::string& directory, Split split) {
  if (!is_directory(directory)) {
    return absl::NotFoundError(fmt::format("{}: expected a directory with {} data, found {}", directory,
                                           split_name(split), file_exists(directory) ? "a file" : "nothing"));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<std::string> names, list_directory(directory));
  std::vector<std::string> shards;
  std::copy_if(names.begin(), names.end(), std::back_inserter(shards),
               [split](const std::string& name) { return is_shard_of(name, split); });
  LOCKSTEP_RETURN_IF_ERROR(check_no_duplicates(directory, shards));
  LOCKSTEP_RETURN_IF_ERROR(check_numbered_sets_complete(directory, shards));
  DatasetFiles files;
  for (const std::string& name : shards) files.shards.push_back(join_path(directory, name));
  if (!files.shards.empty()) return files;

  if (split == Split::kValidation) return nothing_found(directory, split, names);
  const bool train = split == Split::kTrain;
  auto images = find_idx_file(directory, train ? kTrainImagesStem : kTestImagesStem);
  auto labels = find_idx_file(directory, train ? kTrainLabelsStem : kTestLabelsStem);
  if (!images.ok() && !labels.ok()) return nothing_found(directory, split, names);
  LOCKSTEP_ASSIGN_OR_RETURN(files.images, std::move(images));
  LOCKSTEP_ASSIGN_OR_RETURN(files.labels, std::move(labels));
  return files;
}

}  // namespace lockstep
