// SPDX-License-Identifier: Apache-2.0
// Models and versions as the resources that Cloud ML Engine's API and gcloud show. Thread-safe.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "serve/registry/registry.h"

namespace lockstep {

// Keys sorted, empty fields left out, times in UTC: "2018-05-29T11:16:03Z". Names are
// "projects/P/models/M[/versions/V]".
nlohmann::json model_resource(const std::string& project, const ModelAndVersions& model);
nlohmann::json version_resource(const std::string& project, const RegisteredVersion& version);

// As gcloud prints it: two spaces a level, list items at the level of their key, strings that YAML would take for
// something else in single quotes.
std::string yaml_text(const nlohmann::json& value);

}  // namespace lockstep
