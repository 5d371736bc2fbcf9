// SPDX-License-Identifier: Apache-2.0
// The two ways in which `lockstep predict` finds its answers. Both print them to standard output.
#pragma once

#include <string>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

struct PredictOptions {
  // One of these names a file, "-" for standard input, or files.
  std::string json_instances, json_request, text_instances;
  std::vector<std::string> images;
  bool json = false;  // printed instead of the table

  std::string model_dir;
  int threads = 0;  // 0: all cores

  std::string model, version, signature_name;
  std::string host, token_file, ca_file;
  int timeout_s = 60;
};

// With the model in `model_dir`; takes json_instances or images.
absl::Status predict_local(const PredictOptions& options);

// By the server at `host`, with its model `model`.
absl::Status predict_remote(const PredictOptions& options);

}  // namespace lockstep
