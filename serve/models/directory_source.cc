// SPDX-License-Identifier: Apache-2.0
#include "serve/models/directory_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <optional>
#include <vector>

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
  if (error != std::errc() || read_to != end || name.front() == '-') return std::nullopt;
  return number;
}

// The subdirectories with a number, highest first; an empty one is being made and does not count yet.
std::vector<WantedVersion> versions_below(const std::string& directory) {
  const auto names = list_directory(directory);
  if (!names.ok()) return {};
  std::map<int64_t, std::string, std::greater<>> paths;
  for (const std::string& name : *names) {
    const auto number = version_number(name);
    if (!number) continue;
    const std::string path = join_path(directory, name);
    const auto contents = list_directory(path);
    if (contents.ok() && !contents->empty()) paths.emplace(*number, path);
  }
  std::vector<WantedVersion> versions;
  for (const auto& [number, path] : paths) versions.push_back({.version = number, .label = "", .path = path});
  return versions;
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

// Never empty.
absl::StatusOr<std::vector<WantedVersion>> versions_at(const std::string& path) {
  if (!is_directory(path) || file_exists(join_path(path, kSavedModel))) {
    if (!is_single_model(path)) return nothing_found(path);
    return std::vector{
        WantedVersion{.version = version_number(base_name(path)).value_or(1), .label = "", .path = path}};
  }
  for (const std::string& root : {path, join_path(path, "export/Servo"), join_path(path, "Servo")}) {
    if (auto versions = versions_below(root); !versions.empty()) return versions;
  }
  if (is_single_model(path)) return std::vector{WantedVersion{.version = 1, .label = "", .path = path}};
  return nothing_found(path);
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
    const auto found = versions_at(options_.base_path);
    if (!found.ok()) {
      if (!has_warned_) LOG_WARNING("{}\nWaiting for one", std::string(found.status().message()));
      has_warned_ = true;
      // What is offered stays. A model without versions makes the server not ready.
      if (offered_.empty()) {
        store.set_wanted(source(), {{options_.model_name,
                                     {},
                                     std::nullopt,
                                     fmt::format("there is no version in {} yet", options_.base_path)}});
      }
      return;
    }
    has_warned_ = false;
    std::vector<WantedVersion> offer = newest_that_load(store, *found);
    if (is_same(offer, offered_)) return;
    offered_ = std::move(offer);
    store.set_wanted(source(), {{options_.model_name, offered_, std::nullopt}});
  }

  // The newest version and, while it does not load, the next older one, and so on: a server that is started beside a
  // broken new version must not stay without any.
  std::vector<WantedVersion> newest_that_load(const ModelStore& store, const std::vector<WantedVersion>& found) const {
    size_t count = 1;
    while (count < found.size() && has_failed(store, found[count - 1])) ++count;
    return {found.begin(), found.begin() + static_cast<int64_t>(count)};
  }

  bool has_failed(const ModelStore& store, const WantedVersion& version) const {
    const auto status = store.status({options_.model_name, version.version, ""});
    return status.ok() && status->front().path == version.path && !status->front().status.ok();
  }

  static bool is_same(const std::vector<WantedVersion>& a, const std::vector<WantedVersion>& b) {
    return std::ranges::equal(a, b, {}, &WantedVersion::path, &WantedVersion::path);
  }

  std::string source() const { return "--model_base_path " + options_.base_path; }

  DirectorySourceOptions options_;
  std::vector<WantedVersion> offered_;
  bool has_warned_ = false;
  std::unique_ptr<Poller> poller_;
};

}  // namespace

absl::StatusOr<WantedVersion> newest_version(const std::string& base_path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto versions, versions_at(without_trailing_slashes(base_path)));
  return versions.front();
}

std::unique_ptr<VersionSource> make_directory_source(const DirectorySourceOptions& options) {
  return std::make_unique<DirectorySource>(options);
}

}  // namespace lockstep
