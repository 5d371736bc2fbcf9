// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/object_names.h"

#include <fmt/format.h>

#include <set>
#include <string_view>

#include "io/proto/trackable_object_graph.pb.h"
#include "io/protobuf_bytes.h"

namespace lockstep {
namespace {

constexpr std::string_view kObjectGraph = "_CHECKPOINTABLE_OBJECT_GRAPH";
constexpr std::string_view kVariableValue = "VARIABLE_VALUE";

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> object_names(const TensorBundleReader& reader) {
  std::map<std::string, std::string> names;
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

}  // namespace lockstep
