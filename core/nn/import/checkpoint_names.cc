// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/checkpoint_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "io/proto/trackable_object_graph.pb.h"
#include "io/protobuf_bytes.h"

namespace lockstep {
namespace {

constexpr std::string_view kObjectGraph = "_CHECKPOINTABLE_OBJECT_GRAPH";
constexpr std::string_view kVariableValue = "VARIABLE_VALUE";
constexpr size_t kMaxListed = 40;

using Keys = std::vector<std::string>;             // one for each parameter
using Names = std::map<std::string, std::string>;  // a name of a variable -> the tensor

// The scopes in which every parameter has a name: "" or "tower/".
std::set<std::string> scopes(const Names& names, const ParamTable& params) {
  std::set<std::string> common;
  for (size_t i = 0; i < params.params().size(); ++i) {
    const std::string& wanted = params.params()[i].name;
    std::set<std::string> of_this;
    for (const auto& [name, key] : names) {
      if (!name.ends_with(wanted)) continue;
      std::string scope = name.substr(0, name.size() - wanted.size());
      if (!scope.empty() && !scope.ends_with('/')) continue;
      if (i == 0 || common.contains(scope)) of_this.insert(std::move(scope));
    }
    common = std::move(of_this);
  }
  return common;
}

// The one scope of the network itself. Optimizers repeat the names in scopes of their own ("Adam/m/tower/").
std::optional<std::string> network_scope(const std::set<std::string>& scopes) {
  for (const std::string& candidate : scopes) {
    bool ends_all = true;
    for (const std::string& scope : scopes) ends_all = ends_all && scope.ends_with(candidate);
    if (ends_all) return candidate;
  }
  return std::nullopt;
}

std::optional<Keys> match_names(const Names& names, const ParamTable& params) {
  const auto scope = network_scope(scopes(names, params));
  if (!scope) return std::nullopt;
  Keys keys;
  for (const Param& param : params.params()) keys.push_back(names.at(*scope + param.name));
  return keys;
}

Names own_names(const TensorBundleReader& reader) {
  Names names;
  for (const auto& [name, entry] : reader.entries()) names.emplace(name, name);
  return names;
}

// The names that variables of TensorFlow 2 had; those that several had do not count.
absl::StatusOr<Names> object_names(const TensorBundleReader& reader) {
  Names names;
  if (!reader.entries().contains(kObjectGraph)) return names;
  LOCKSTEP_ASSIGN_OR_RETURN(const auto strings, reader.read_strings(kObjectGraph));
  proto::TrackableObjectGraph graph;
  if (strings.size() != 1 || !parse_protobuf(strings[0], &graph)) {
    return absl::DataLossError(
        fmt::format("{}: tensor `{}` is not the object graph of a checkpoint", reader.prefix(), kObjectGraph));
  }
  std::set<std::string> several;
  for (const auto& node : graph.nodes()) {
    for (const auto& attribute : node.attributes()) {
      if (attribute.name() != kVariableValue || !reader.entries().contains(attribute.checkpoint_key())) continue;
      const auto [known, fresh] = names.emplace(attribute.full_name(), attribute.checkpoint_key());
      if (!fresh && known->second != attribute.checkpoint_key()) several.insert(attribute.full_name());
    }
  }
  for (const std::string& name : several) names.erase(name);
  return names;
}

// Layer i of the network is "<scope>layer_with_weights-i".
std::optional<Keys> match_keras_order(const TensorBundleReader& reader, const ParamTable& params) {
  std::set<std::string> scopes;
  constexpr std::string_view kFirst = "layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE";
  for (const auto& [name, entry] : reader.entries()) {
    if (name.ends_with(kFirst)) scopes.insert(name.substr(0, name.size() - kFirst.size()));
  }
  if (scopes.size() != 1) return std::nullopt;
  Keys keys;
  int layer = -1;
  for (const Param& param : params.params()) {
    const std::string part = param.name.substr(param.name.rfind('/') + 1);
    if (part == "kernel") ++layer;
    keys.push_back(fmt::format("{}layer_with_weights-{}/{}/.ATTRIBUTES/VARIABLE_VALUE", *scopes.begin(), layer, part));
    if (!reader.entries().contains(keys.back())) return std::nullopt;
  }
  const std::string beyond = fmt::format("{}layer_with_weights-{}/", *scopes.begin(), layer + 1);
  for (const auto& [name, entry] : reader.entries()) {
    if (name.starts_with(beyond)) return std::nullopt;
  }
  return keys;
}

absl::Status no_match(const TensorBundleReader& reader, const ParamTable& params) {
  std::vector<std::string> wanted, found;
  for (const Param& param : params.params())
    wanted.push_back(fmt::format("{} {}", param.name, shape_text(param.shape)));
  for (const auto& [name, entry] : reader.entries()) {
    if (entry.dtype != TensorDtype::kFloat32) continue;
    if (found.size() == kMaxListed) {
      found.push_back("…");
      break;
    }
    found.push_back(fmt::format("{} {}", name, shape_text(entry.shape)));
  }
  return absl::NotFoundError(
      fmt::format("{}: its names do not tell which tensor is which weight: the network has {}; the checkpoint has {}",
                  reader.prefix(), fmt::join(wanted, ", "), fmt::join(found, ", ")));
}

absl::Status check(const TensorBundleReader& reader, const ParamTable& params, const Keys& keys) {
  for (size_t i = 0; i < keys.size(); ++i) {
    const Param& param = params.params()[i];
    LOCKSTEP_ASSIGN_OR_RETURN(const BundleEntry* entry, reader.find(keys[i]));
    if (entry->dtype == TensorDtype::kFloat32 && entry->shape == param.shape) continue;
    return absl::InvalidArgumentError(
        fmt::format("{}: `{}`: the network needs float32 {} for {}, the checkpoint has {} {}: it belongs to another "
                    "network",
                    reader.prefix(), keys[i], shape_text(param.shape), param.name, dtype_name(entry->dtype),
                    shape_text(entry->shape)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> match_parameters(const TensorBundleReader& reader, const ParamTable& params) {
  std::optional<Keys> keys = match_names(own_names(reader), params);
  if (!keys) {
    LOCKSTEP_ASSIGN_OR_RETURN(const Names names, object_names(reader));
    keys = match_names(names, params);
  }
  if (!keys) keys = match_keras_order(reader, params);
  if (!keys) return no_match(reader, params);
  LOCKSTEP_RETURN_IF_ERROR(check(reader, params, *keys));
  return *std::move(keys);
}

}  // namespace lockstep
