// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "core/base/file.h"
#include "io/proto/saved_model.pb.h"
#include "io/protobuf_bytes.h"
#include "io/saved_model.h"
#include "io/saved_model_names.h"
#include "io/tensor_bundle_names.h"

namespace lockstep {
namespace {

constexpr std::string_view kServe = "serve";
constexpr uint64_t kMaxFileBytes = std::numeric_limits<int32_t>::max();  // a protobuf's own limit

std::optional<int64_t> version_number(std::string_view name) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  const bool whole = error == std::errc() && end == name.data() + name.size() && name.front() != '-';
  return whole && number < int64_t{1} << 62 ? std::optional(number) : std::nullopt;
}

bool holds_saved_model(const std::string& directory) { return file_exists(join_path(directory, kSavedModelFile)); }

// The highest numbered version in `base` that holds a model, or "".
std::string newest_version(const std::string& base) {
  const auto versions = saved_model_versions(base);
  if (!versions.ok()) return "";
  for (auto it = versions->rbegin(); it != versions->rend(); ++it) {
    if (const std::string directory = join_path(base, it->name); holds_saved_model(directory)) return directory;
  }
  return "";
}

absl::Status no_saved_model(const std::string& path, std::string_view found) {
  return absl::NotFoundError(
      fmt::format("{}: no SavedModel: {}; expected a directory with {}, or versions of one, as in "
                  "{}/1527592999/{}",
                  path, found, kSavedModelFile, path, kSavedModelFile));
}

std::string tags_text(const proto::SavedModel& model) {
  std::vector<std::string> sets;
  for (const auto& graph : model.meta_graphs()) {
    sets.push_back(fmt::format("{{{}}}", fmt::join(graph.meta_info_def().tags(), ", ")));
  }
  return sets.empty() ? "no graph" : fmt::format("{}", fmt::join(sets, ", "));
}

absl::StatusOr<std::shared_ptr<const proto::MetaGraphDef>> read_meta_graph(const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string bytes, read_file(path, kMaxFileBytes));
  proto::SavedModel model;
  if (bytes.empty() || !parse_protobuf(bytes, &model)) {
    return absl::DataLossError(fmt::format("{}: {} bytes that are no SavedModel protobuf", path, bytes.size()));
  }
  if (model.saved_model_schema_version() != 1) {
    return absl::DataLossError(
        fmt::format("{}: schema version {}, expected 1", path, model.saved_model_schema_version()));
  }
  for (proto::MetaGraphDef& graph : *model.mutable_meta_graphs()) {
    const auto& tags = graph.meta_info_def().tags();
    if (tags.size() == 1 && tags[0] == kServe) return std::make_shared<const proto::MetaGraphDef>(std::move(graph));
  }
  return absl::InvalidArgumentError(fmt::format("{}: no graph to serve: expected one with the tag `{}` alone, found {}",
                                                path, kServe, tags_text(model)));
}

}  // namespace

absl::StatusOr<std::vector<SavedModelVersion>> saved_model_versions(const std::string& base) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto names, list_directory(base));
  std::vector<SavedModelVersion> versions;
  for (const std::string& name : names) {
    const auto number = version_number(name);
    if (number && is_directory(join_path(base, name))) versions.push_back({*number, name});
  }
  std::stable_sort(versions.begin(), versions.end(),
                   [](const SavedModelVersion& a, const SavedModelVersion& b) { return a.number < b.number; });
  return versions;
}

absl::StatusOr<std::string> saved_model_directory(const std::string& path) {
  if (!file_exists(path)) return no_saved_model(path, "no such file or directory");
  if (!is_directory(path)) {
    if (base_name(path) == kSavedModelFile) return directory_name(path);
    return no_saved_model(path, "a file of another name");
  }
  if (holds_saved_model(path)) return path;
  if (const std::string newest = newest_version(path); !newest.empty()) return newest;
  if (file_exists(join_path(path, "saved_model.pbtxt"))) {
    return no_saved_model(path, "a saved_model.pbtxt, which is text and not supported");
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const auto names, list_directory(path));
  std::vector<std::string> found, bases;
  for (const std::string& name : names) {
    const std::string newest = is_directory(join_path(path, name)) ? newest_version(join_path(path, name)) : "";
    if (newest.empty()) continue;
    found.push_back(newest);
    bases.push_back(name);
  }
  if (found.size() == 1) return found[0];
  if (found.empty()) return no_saved_model(path, "a directory without one");
  return no_saved_model(path, fmt::format("several directories of versions, {}: name one", fmt::join(bases, ", ")));
}

absl::StatusOr<SavedModelFiles> read_saved_model(const std::string& path) {
  SavedModelFiles files;
  LOCKSTEP_ASSIGN_OR_RETURN(files.directory, saved_model_directory(path));
  LOCKSTEP_ASSIGN_OR_RETURN(files.meta_graph, read_meta_graph(join_path(files.directory, kSavedModelFile)));
  const std::string prefix = join_path(join_path(files.directory, kVariablesDirectory), kVariablesDirectory);
  if (file_exists(bundle_index_path(prefix))) {
    LOCKSTEP_ASSIGN_OR_RETURN(files.variables, TensorBundleReader::open(prefix));
  }
  return files;
}

}  // namespace lockstep
