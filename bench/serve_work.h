// SPDX-License-Identifier: Apache-2.0
// What is served and asked for: one trained model, for every server in its own format, and requests with test images
// whose right answers are known.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/load_generator.h"
#include "core/base/status.h"
#include "core/nn/trained_model.h"
#include "io/batch_source.h"

namespace lockstep {

struct ServeWorkOptions {
  std::string model_dir;  // a trained model; empty: `model` is trained first
  std::string model = "configs/models/mnist_cnn.yaml";
  std::string data_dir = "data/mnist";
  // Two epochs, as configs/train/quick.yaml: how many activations are zero, and with them our speed, depends on it.
  int64_t train_steps = 1100;
};

class ServeWork {
 public:
  // Trains or loads the model and exports it into `scratch`, which must exist. InvalidArgument for a model that has
  // not learned to tell the test images apart: its answers could not be told from a constant.
  static absl::StatusOr<std::unique_ptr<ServeWork>> create(const ServeWorkOptions& options, const std::string& scratch);

  // The model as a directory of numbered versions, as one SavedModel, and as an ONNX file.
  const std::string& base_path() const { return base_path_; }
  const std::string& saved_model() const { return saved_model_; }
  const std::string& onnx() const { return onnx_; }

  // POSTs to `path` with `images` images each, as the tutorial's request.json has them: in the decimals of Python's
  // json.dumps. 1 <= images <= kImages.
  std::vector<LoadRequest> requests(std::string_view path, int64_t images) const;

  // Seconds of each call, one call a test image in turns, for `seconds`: of the network alone, and of the server's
  // parser on a body with one image.
  absl::StatusOr<std::vector<double>> time_inference(int threads, double seconds) const;
  absl::StatusOr<std::vector<double>> time_parsing(double seconds) const;

  static constexpr int64_t kImages = 100;  // different ones

 private:
  ServeWork() = default;
  absl::Status pick_images(const std::string& data_dir);
  absl::Status export_model(const std::string& scratch);
  std::string body(int64_t first, int64_t images) const;

  std::shared_ptr<const TrainedModel> model_;
  ImageShape shape_;
  std::string base_path_, saved_model_, onnx_;
  std::vector<std::string> lists_;  // of kImages images: "[0.0, 0.5, …]"
  std::vector<float> pixels_;       // (kImages, H, W, C)
  std::vector<int64_t> classes_;    // (kImages)
};

}  // namespace lockstep
