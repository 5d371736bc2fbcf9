// SPDX-License-Identifier: Apache-2.0
// From what a user may call "the checkpoint" to the prefix of its files.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/suggest.h"
#include "io/checkpoint_state.h"
#include "io/tensor_bundle.h"
#include "io/tensor_bundle_names.h"

namespace lockstep {
namespace {

constexpr std::string_view kExpected =
    "expected a checkpoint's prefix (such as out/model.ckpt-200), one of its files, or a directory that holds one";

bool has_index(const std::string& prefix) {
  const std::string path = bundle_index_path(prefix);
  return file_exists(path) && !is_directory(path);
}

absl::StatusOr<std::string> newest_of_state(const std::string& state_path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const CheckpointState state, read_checkpoint_state(state_path));
  const std::string prefix = resolve_checkpoint(directory_name(state_path), state.latest);
  if (has_index(prefix)) return prefix;
  return absl::NotFoundError(
      fmt::format("{} names `{}`, but there is no {}", state_path, state.latest, bundle_index_path(prefix)));
}

absl::StatusOr<std::string> prefix_in_directory(const std::string& directory) {
  const std::string state_path = join_path(directory, "checkpoint");
  if (file_exists(state_path)) return newest_of_state(state_path);
  const auto bundles = bundles_in(directory);
  if (bundles.size() == 1) return join_path(directory, bundles[0]);
  if (bundles.size() > 1) {
    return absl::NotFoundError(fmt::format("{}: no `checkpoint` file says which is the newest of {}: name one of them",
                                           directory, fmt::join(bundles, ", ")));
  }
  // A SavedModel.
  const std::string variables = join_path(join_path(directory, "variables"), "variables");
  if (has_index(variables)) return variables;
  return absl::NotFoundError(fmt::format("{}: no checkpoint in this directory: {}", directory, kExpected));
}

}  // namespace

std::vector<std::string> bundles_in(const std::string& directory) {
  std::vector<std::string> prefixes;
  const auto names = list_directory(directory);
  if (!names.ok()) return prefixes;
  for (const std::string& name : *names) {
    if (name.ends_with(kBundleIndexSuffix)) prefixes.push_back(*strip_bundle_suffix(name));
  }
  return prefixes;
}

absl::StatusOr<std::string> bundle_prefix(const std::string& path) {
  if (has_index(path)) return path;
  if (is_directory(path)) return prefix_in_directory(path);
  const auto stripped = strip_bundle_suffix(path);
  if (stripped && has_index(*stripped)) return *stripped;
  if (base_name(path) == "checkpoint" && file_exists(path)) return newest_of_state(path);

  if (file_exists(path)) {
    const std::string lacks = stripped ? "its index " + bundle_index_path(*stripped) + " is missing"
                                       : std::string("a file that does not belong to a checkpoint");
    return absl::NotFoundError(fmt::format("{}: {}; {}", path, lacks, kExpected));
  }
  const std::string prefix = stripped.value_or(path);
  const auto others = bundles_in(directory_name(path));
  return absl::NotFoundError(
      fmt::format("{}: no such checkpoint, for there is no {}; {}; found {}{}", path, bundle_index_path(prefix),
                  kExpected, others.empty() ? "no checkpoint at all" : fmt::format("{}", fmt::join(others, ", ")),
                  did_you_mean(base_name(prefix), others)));
}

}  // namespace lockstep
