// SPDX-License-Identifier: Apache-2.0
#include "serve/models/stored_model.h"

#include <fmt/format.h>

#include <algorithm>

namespace lockstep {

std::string_view version_state_name(VersionState state) {
  switch (state) {
    case VersionState::kUnknown:
      return "UNKNOWN";
    case VersionState::kStart:
      return "START";
    case VersionState::kLoading:
      return "LOADING";
    case VersionState::kAvailable:
      return "AVAILABLE";
    case VersionState::kUnloading:
      return "UNLOADING";
    case VersionState::kEnd:
      return "END";
  }
  return "UNKNOWN";
}

namespace {

bool is_on_its_way(const StoredVersion& version) {
  return version.state == VersionState::kStart || version.state == VersionState::kLoading;
}

bool is_default_on_its_way(const StoredModel& model) {
  const auto found = model.wanted_default ? model.versions.find(*model.wanted_default) : model.versions.end();
  return found != model.versions.end() && found->second.is_wanted && is_on_its_way(found->second);
}

bool is_awaited(const StoredModel& model) {
  return std::ranges::any_of(model.versions, [](const auto& each) { return each.second.is_wanted; });
}

}  // namespace

std::shared_ptr<Servable> default_of(const StoredModel& model) {
  const bool may_be_deleted = is_default_on_its_way(model);
  const auto is_served = [&](const StoredVersion& version) {
    return version.state == VersionState::kAvailable && (may_be_deleted || !version.is_deleted);
  };
  if (model.wanted_default) {
    // Never a version that nobody has chosen.
    for (const auto& number : {model.wanted_default, model.default_before}) {
      const auto found = number ? model.versions.find(*number) : model.versions.end();
      if (found != model.versions.end() && is_served(found->second)) return found->second.servable;
    }
    return nullptr;
  }
  for (auto at = model.versions.rbegin(); at != model.versions.rend(); ++at) {
    if (is_served(at->second)) return at->second.servable;
  }
  return nullptr;
}

bool should_load(const StoredVersion& version, int max_retries, std::chrono::steady_clock::time_point now) {
  if (!version.is_wanted) return false;
  if (version.servable != nullptr && version.servable->path() == version.wanted.path) return false;
  return version.tries <= max_retries && version.next_try <= now;
}

bool may_unload(const StoredModel& model, const StoredVersion& unwanted) {
  if (!model.is_wanted) return true;
  if (unwanted.is_deleted) return unwanted.servable != default_of(model);
  bool is_any_wanted = false, is_any_available = false, is_any_pending = false;
  for (const auto& [number, version] : model.versions) {
    if (!version.is_wanted) continue;
    is_any_wanted = true;
    is_any_available |= version.state == VersionState::kAvailable;
    is_any_pending |= is_on_its_way(version);
  }
  return !is_any_wanted || (is_any_available && !is_any_pending);
}

void note_who_answers(StoredModels& models) {
  for (auto& [name, model] : models) {
    model.has_answered = is_awaited(model) && (model.has_answered || default_of(model) != nullptr);
  }
}

bool all_answer(const StoredModels& models, bool but_new_ones) {
  bool is_any_there = false;
  for (const auto& [name, model] : models) {
    const bool is_there = default_of(model) != nullptr;
    const bool is_needed = is_awaited(model) && (model.has_answered || !but_new_ones);
    if (is_needed && !is_there) return false;
    is_any_there |= is_there;
  }
  return is_any_there;
}

void want(StoredModels& models, const WantedModel& wanted) {
  StoredModel& model = models[wanted.name];
  model.is_wanted = true;
  model.without_versions = wanted.without_versions;
  if (model.wanted_default != wanted.default_version) {
    const auto standing = default_of(model);
    if (standing != nullptr) model.default_before = standing->id().version;
    model.wanted_default = wanted.default_version;
  }
  for (const WantedVersion& each : wanted.versions) {
    StoredVersion& version = model.versions[each.version];
    if (version.wanted.path != each.path) {
      // What failed at the other path says nothing of this one; what serves from there goes on until this one does.
      StoredVersion fresh;
      fresh.servable = std::move(version.servable);
      if (fresh.servable != nullptr) fresh.state = VersionState::kAvailable;
      version = std::move(fresh);
    }
    if (version.state == VersionState::kUnloading) version.state = VersionState::kAvailable;
    version.is_wanted = true;
    version.wanted = each;
  }
  for (auto& [number, version] : model.versions) {
    version.is_deleted = !version.is_wanted && (version.is_deleted || wanted.missing_is_deleted);
  }
}

bool matches(const ModelSelector& selector, const StoredVersion& version) {
  if (selector.version) return version.wanted.version == *selector.version;
  return selector.label.empty() || version.wanted.label == selector.label;
}

const StoredVersion* awaited(const StoredModel& model, const ModelSelector& selector) {
  const bool is_any = !selector.version && selector.label.empty();
  for (const auto& [number, version] : model.versions) {
    const bool is_meant = is_any && model.wanted_default ? number == *model.wanted_default : matches(selector, version);
    if (version.is_wanted && is_meant) return &version;
  }
  return nullptr;
}

std::string describe(const ModelSelector& selector) {
  if (selector.version) return fmt::format("Specific({}, {})", selector.model, *selector.version);
  if (!selector.label.empty()) return fmt::format("Label({}, {})", selector.model, selector.label);
  return fmt::format("Latest({})", selector.model);
}

std::string version_name(const std::string& model, const WantedVersion& version) {
  return version.label.empty() ? fmt::format("version {} of model {}", version.version, model)
                               : fmt::format("version {} ({}) of model {}", version.version, version.label, model);
}

std::shared_ptr<Servable> ServedModel::pick(const ModelSelector& selector) const {
  if (selector.version) {
    const auto found = by_version.find(*selector.version);
    return found == by_version.end() ? nullptr : found->second;
  }
  if (selector.label.empty()) return standard;
  const auto found = by_label.find(selector.label);
  return found == by_label.end() ? nullptr : found->second;
}

ServedModels served_of(const StoredModels& models) {
  ServedModels served;
  for (const auto& [name, model] : models) {
    ServedModel& entry = served[name];
    entry.standard = default_of(model);
    for (const auto& [number, version] : model.versions) {
      if (version.state != VersionState::kAvailable || version.is_deleted) continue;
      entry.by_version[number] = version.servable;
      if (!version.wanted.label.empty()) entry.by_label[version.wanted.label] = version.servable;
    }
  }
  return served;
}

}  // namespace lockstep
