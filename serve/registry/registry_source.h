// SPDX-License-Identifier: Apache-2.0
// Offers what is in the registry: every version of every model, by number and by name, with the default that it has
// there.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "serve/models/version_source.h"

namespace lockstep {

struct RegistrySourceOptions {
  std::string home;  // as for Registry::open()
  std::chrono::milliseconds poll_wait{1000};
};

// Looks every `poll_wait` whether the database has changed. An empty registry, or a model without versions, is waited
// for, with a warning that says how to fill it. The checksums of a version are verified each time before it is loaded;
// a damaged one is not served, and its status says which file. When the database cannot be read any more, what has been
// offered stays offered; start() fails when it cannot be opened.
std::unique_ptr<VersionSource> make_registry_source(const RegistrySourceOptions& options);

}  // namespace lockstep
