// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/checkpoint_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/nn/import/object_names.h"

namespace lockstep {
namespace {

constexpr std::string_view kSlot = "/.OPTIMIZER_SLOT/";             // of a weight's copy in an optimizer of Keras 2
constexpr std::string_view kValue = "/.ATTRIBUTES/VARIABLE_VALUE";  // ends the name of an object's variable
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

// The last part of a parameter's name: "kernel" or "bias".
std::string part_of(const Param& param) { return param.name.substr(param.name.rfind('/') + 1); }

// Where Keras numbers what it keeps: "<scope><number>/<rest>", of a variable named
// "<scope><number>/<rest>/.ATTRIBUTES/…".
struct Numbered {
  std::string scope;
  int number = 0;
  std::string rest;  // "" when the number ends the name
};

std::optional<Numbered> numbered(std::string_view name, std::string_view list) {
  if (!name.ends_with(kValue)) return std::nullopt;
  name.remove_suffix(kValue.size());
  const size_t at = name.rfind(list);
  if (at == std::string_view::npos || (at > 0 && name[at - 1] != '/')) return std::nullopt;
  Numbered found{.scope = std::string(name.substr(0, at + list.size())), .rest = ""};
  name.remove_prefix(at + list.size());
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), found.number);
  const std::string_view rest = name.substr(static_cast<size_t>(end - name.data()));
  if (error != std::errc() || found.number < 0 || (!rest.empty() && (rest.size() == 1 || rest[0] != '/'))) {
    return std::nullopt;
  }
  if (!rest.empty()) found.rest = std::string(rest.substr(1));
  return found;
}

// The weights of Keras's numbered layers in the order of their numbers, which is that of our layers: layers without
// weights have numbers too. A layer with other variables than a kernel and a bias makes it another network.
std::optional<Keys> match_layer_numbers(const TensorBundleReader& reader, const ParamTable& params,
                                        std::string_view list) {
  std::map<std::pair<int, std::string>, std::string> weights;  // number and part
  std::set<std::string> scopes;
  for (const auto& [name, entry] : reader.entries()) {
    if (entry.dtype != TensorDtype::kFloat32) continue;  // the seed of a dropout
    auto found = numbered(name, list);
    if (!found || found->rest.empty() || found->rest.find(kSlot) != std::string::npos) continue;
    if (found->rest == "_kernel") found->rest = "kernel";  // Keras 3 from 3.1 on
    scopes.insert(found->scope);
    if (!weights.emplace(std::pair(found->number, found->rest), name).second) return std::nullopt;
  }
  if (scopes.size() != 1 || weights.size() != params.params().size()) return std::nullopt;
  Keys keys;
  int layer = -1;
  for (const Param& param : params.params()) {
    const std::string part = part_of(param);
    // The next layer with weights.
    if (part == "kernel") {
      const auto next = weights.lower_bound({layer + 1, ""});
      if (next == weights.end()) return std::nullopt;
      layer = next->first.first;
    }
    const auto weight = weights.find({layer, part});
    if (weight == weights.end()) return std::nullopt;
    keys.push_back(weight->second);
  }
  return keys;
}

// An optimizer of Keras 3 lists the variables that it trains, kernel and bias of each layer in turn; whatever it lists,
// a checkpoint has under this name only.
std::optional<Keys> match_trainable_variables(const TensorBundleReader& reader, const ParamTable& params) {
  std::map<int, std::string> variables;
  std::set<std::string> scopes;
  for (const auto& [name, entry] : reader.entries()) {
    const auto found = numbered(name, "_trainable_variables/");
    if (!found || !found->rest.empty()) continue;
    scopes.insert(found->scope);
    variables.emplace(found->number, name);
  }
  const auto count = static_cast<int>(params.params().size());
  if (scopes.size() != 1 || static_cast<int>(variables.size()) != count) return std::nullopt;
  Keys keys;
  for (int i = 0; i < count; ++i) {
    const auto variable = variables.find(i);
    if (variable == variables.end()) return std::nullopt;
    keys.push_back(variable->second);
  }
  return keys;
}

std::optional<Keys> match_keras_order(const TensorBundleReader& reader, const ParamTable& params) {
  for (const std::string_view list : {"layer_with_weights-", "_operations/", "_layers/"}) {
    if (auto keys = match_layer_numbers(reader, params, list)) return keys;
  }
  return match_trainable_variables(reader, params);
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
