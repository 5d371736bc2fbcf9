// SPDX-License-Identifier: Apache-2.0
// A small model, loaded and ready, for handlers that are asked without sockets.
#pragma once

#include <chrono>
#include <thread>

#include "serve/models/model_store.h"
#include "serve/rest/metrics.h"
#include "serve/rest/router.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/serve/model_fixture.h"

namespace lockstep {

// The model `m`, of 4 x 3 grey pixels, for as long as the process lives.
struct ReadyModel {
  ReadyModel() {
    const std::string directory = scratch_directory().path() + "/model";
    write_run(directory);
    store.set_wanted("fuzz", {{"m", {{1, "v1", directory}}, std::nullopt}});
    while (!store.ready()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    options.most_examples = 100;
    options.most_png_pixels = 1 << 16;
  }

  ModelStore store{StoreOptions{}};
  ServingMetrics metrics;
  RestOptions options;
};

}  // namespace lockstep
