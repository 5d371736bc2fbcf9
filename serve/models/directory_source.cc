// SPDX-License-Identifier: Apache-2.0
#include "serve/models/directory_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/base/file.h"
#include "core/base/log.h"
#include "serve/models/poller.h"

namespace lockstep {
namespace {

constexpr char kSavedModel[] = "saved_model.pb";

// Digits alone, as TensorFlow Serving takes them: leading zeros allowed.
std::optional<int64_t> version_number(std::string_view name) {
  int64_t number = 0;
  const char* const end = name.data() + name.size();
  const auto [read_to, error] = std::from_chars(name.data(), end, number);
  if (error != std::errc() || read_to != end || number < 0) return std::nullopt;
  return number;
}

// The subdirectory with the highest number; an empty one is being made and does not count yet.
std::optional<WantedVersion> newest_below(const std::string& directory) {
  const auto names = list_directory(directory);
  if (!names.ok()) return std::nullopt;
  std::optional<WantedVersion> newest;
  for (const std::string& name : *names) {
    const auto number = version_number(name);
    if (!number || (newest && newest->version >= *number)) continue;
    const std::string path = join_path(directory, name);
    const auto contents = list_directory(path);
    if (!contents.ok() || contents->empty()) continue;
    newest = WantedVersion{.version = *number, .label = "", .path = path};
  }
  return newest;
}

std::string without_trailing_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

bool is_single_model(const std::string& path) {
  if (!is_directory(path)) return file_exists(path);
  return file_exists(join_path(path, kSavedModel)) || file_exists(join_path(path, "model.yaml"));
}

absl::Status nothing_found(const std::string& path) {
  const auto names =
      is_directory(path) ? list_directory(path) : absl::StatusOr<std::vector<std::string>>(absl::NotFoundError(""));
  std::string found = "it does not exist";
  if (names.ok() && names->empty()) found = "it is empty";
  if (names.ok() && !names->empty()) {
    constexpr size_t kShown = 5;
    found = "it holds ";
    for (size_t i = 0; i < std::min(names->size(), kShown); ++i) found += (i == 0 ? "" : ", ") + (*names)[i];
    if (names->size() > kShown) found += fmt::format(" and {} more", names->size() - kShown);
  }
  return absl::NotFoundError(
      fmt::format("{}: no version of a model here ({}). Expected one of\n"
                  "  {}/<number>/saved_model.pb   a directory of versions, each named by its number\n"
                  "  {}/export/Servo/<number>/saved_model.pb   the directory of a training run\n"
                  "  {}/saved_model.pb   one version",
                  path, found, path, path, path));
}

class DirectorySource : public VersionSource {
 public:
  explicit DirectorySource(const DirectorySourceOptions& options) : options_(options) {
    options_.base_path = without_trailing_slashes(options_.base_path);
  }
  ~DirectorySource() override { stop(); }

  absl::Status start(ModelStore& store) override {
    if (!file_exists(options_.base_path) && !is_directory(options_.base_path)) return nothing_found(options_.base_path);
    look(store);
    poller_ = std::make_unique<Poller>(options_.poll_wait, [this, &store] { look(store); });
    return absl::OkStatus();
  }

  void stop() override { poller_.reset(); }

 private:
  void look(ModelStore& store) {
    const auto newest = newest_version(options_.base_path);
    if (!newest.ok()) {
      if (!has_warned_) LOG_WARNING("{}", std::string(newest.status().message()));
      has_warned_ = true;
      // What is offered stays. A model without versions makes the server not ready.
      if (offered_.empty()) store.set_wanted(source(), {{options_.model_name, {}, std::nullopt}});
      return;
    }
    has_warned_ = false;
    if (newest->path == offered_) return;
    offered_ = newest->path;
    store.set_wanted(source(), {{options_.model_name, {*newest}, std::nullopt}});
  }

  std::string source() const { return "--model_base_path " + options_.base_path; }

  DirectorySourceOptions options_;
  std::string offered_;
  bool has_warned_ = false;
  std::unique_ptr<Poller> poller_;
};

}  // namespace

absl::StatusOr<WantedVersion> newest_version(const std::string& base_path) {
  const std::string path = without_trailing_slashes(base_path);
  if (!is_directory(path) || file_exists(join_path(path, kSavedModel))) {
    if (!is_single_model(path)) return nothing_found(path);
    return WantedVersion{.version = version_number(base_name(path)).value_or(1), .label = "", .path = path};
  }
  for (const std::string& root : {path, join_path(path, "export/Servo"), join_path(path, "Servo")}) {
    if (auto newest = newest_below(root)) return *newest;
  }
  if (is_single_model(path)) return WantedVersion{.version = 1, .label = "", .path = path};
  return nothing_found(path);
}

std::unique_ptr<VersionSource> make_directory_source(const DirectorySourceOptions& options) {
  return std::make_unique<DirectorySource>(options);
}

}  // namespace lockstep
