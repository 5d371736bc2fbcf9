// SPDX-License-Identifier: Apache-2.0
// A registry in a directory of its own, and models to put into it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "core/base/check.h"
#include "core/base/file.h"
#include "core/nn/network.h"
#include "core/nn/saved_model_export.h"
#include "core/nn/trained_model.h"
#include "serve/registry/registry.h"
#include "tests/serve/model_fixture.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {

// `directory` becomes an export root with one SavedModel; returns that one's directory.
inline std::string write_export(const std::string& directory, uint64_t seed = 1) {
  const TmpDir run;
  write_run(run.path(), kTinyModel, seed);
  const TrainedModel model = load_trained_model(run.path()).value();
  const Network network = Network::build(model.config).value();
  return export_saved_model(directory, model.config, network, model.weights.data(), model.global_step).value();
}

class RegistryFixture : public testing::Test {
 protected:
  std::unique_ptr<Registry> open() const { return Registry::open(home_).value(); }

  static RegisteredModel named(const std::string& name) {
    RegisteredModel model;
    model.name = name;
    return model;
  }
  static RegisteredVersion from(const std::string& model, const std::string& name, const std::string& origin) {
    RegisteredVersion version;
    version.model = model;
    version.name = name;
    version.origin = origin;
    return version;
  }
  // What is in a model's directory.
  std::vector<std::string> files_of(const std::string& model) const {
    const std::string directory = home_ + "/models/" + model;
    return is_directory(directory) ? list_directory(directory).value() : std::vector<std::string>();
  }

  const TmpDir directory_;
  const std::string home_ = directory_.file("home");
};

}  // namespace lockstep
