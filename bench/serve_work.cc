// SPDX-License-Identifier: Apache-2.0
#include "bench/serve_work.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "core/base/check.h"
#include "core/base/file.h"
#include "core/nn/onnx_export.h"
#include "core/nn/saved_model_export.h"
#include "core/train/trainer.h"
#include "kernels/images/images.h"
#include "mpi/communicator.h"
#include "serve/predictor.h"
#include "serve/python_repr.h"
#include "serve/rest/predict_request.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

// Among these, the first that the model is sure of are asked for: another program's rounding does not change the class.
constexpr int64_t kCandidates = 1000;
constexpr float kLeastMargin = 0.05f;   // between the two largest probabilities
constexpr double kLeastAccuracy = 0.5;  // of the candidates

absl::StatusOr<std::string> train(const ServeWorkOptions& options, const std::string& scratch) {
  TrainConfig config;
  config.model = options.model;
  config.data_dir = options.data_dir;
  config.output_dir = join_path(scratch, "run");
  config.train_steps = options.train_steps;
  config.save_summary_steps = options.train_steps;
  config.log_step_count_steps = options.train_steps;
  config.eval_steps = 1;
  config.export_model = false;
  LOCKSTEP_ASSIGN_OR_RETURN(const auto communicator, open_communicator({}));
  if (communicator->size() > 1) return absl::InvalidArgumentError("serving is measured by one process, without mpirun");
  LOCKSTEP_ASSIGN_OR_RETURN(const auto trainer, Trainer::create(*communicator, config));
  LOCKSTEP_RETURN_IF_ERROR(trainer->run());
  return config.output_dir;
}

// Seconds of each call of `work(i)`, i = 0, 1, …, after one that does not count.
template <typename Work>
absl::StatusOr<std::vector<double>> time_calls(double seconds, Work work) {
  LOCKSTEP_RETURN_IF_ERROR(work(0));
  std::vector<double> times;
  const Clock::time_point start = Clock::now();
  Clock::time_point before = start;
  while (std::chrono::duration<double>(before - start).count() < seconds || times.empty()) {
    LOCKSTEP_RETURN_IF_ERROR(work(static_cast<int64_t>(times.size())));
    const Clock::time_point now = Clock::now();
    times.push_back(std::chrono::duration<double>(now - before).count());
    before = now;
  }
  return times;
}

float margin_of(std::vector<float> probabilities) {
  std::partial_sort(probabilities.begin(), probabilities.begin() + 2, probabilities.end(), std::greater<>());
  return probabilities[0] - probabilities[1];
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServeWork>> ServeWork::create(const ServeWorkOptions& options,
                                                             const std::string& scratch) {
  std::string source = options.model_dir;
  if (source.empty()) {
    LOCKSTEP_ASSIGN_OR_RETURN(source, train(options, scratch));
  }
  std::unique_ptr<ServeWork> work(new ServeWork);
  LOCKSTEP_ASSIGN_OR_RETURN(TrainedModel model, load_trained_model(source));
  work->shape_ = {model.config.height, model.config.width, model.config.depth};
  work->model_ = std::make_shared<const TrainedModel>(std::move(model));
  LOCKSTEP_RETURN_IF_ERROR(work->pick_images(options.data_dir));
  LOCKSTEP_RETURN_IF_ERROR(work->export_model(scratch));
  return work;
}

absl::Status ServeWork::pick_images(const std::string& data_dir) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto data, open_dataset(data_dir, Split::kTest, {}));
  if (!(data->shape() == shape_)) {
    return absl::InvalidArgumentError(fmt::format("{} has images of {}x{}x{}, the model takes {}x{}x{}", data_dir,
                                                  data->shape().height, data->shape().width, data->shape().depth,
                                                  shape_.height, shape_.width, shape_.depth));
  }
  const int64_t count = std::min(kCandidates, data->size()), size = shape_.size();
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::vector<uint8_t> bytes(static_cast<size_t>(count * size));
  std::vector<int32_t> labels(order.size());
  LOCKSTEP_RETURN_IF_ERROR(data->read(order, bytes.data(), labels.data()));
  std::vector<float> pixels(bytes.size());
  LOCKSTEP_RETURN_IF_ERROR(scale_images(KernelContext{}, count * size, bytes.data(), pixels.data()));

  LOCKSTEP_ASSIGN_OR_RETURN(const auto predictor, Predictor::create(model_, {.capacity = count, .threads = 1}));
  const int64_t width = predictor->classes();
  std::vector<int64_t> classes(order.size());
  std::vector<float> probabilities(static_cast<size_t>(count * width));
  LOCKSTEP_RETURN_IF_ERROR(predictor->predict(count, pixels.data(), classes.data(), probabilities.data()));
  int64_t right = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(i);
    right += classes[at] == labels[at] ? 1 : 0;
    const auto row = probabilities.begin() + i * width;
    if (std::ssize(classes_) == kImages || margin_of({row, row + width}) < kLeastMargin) continue;
    const auto image = pixels.begin() + i * size;
    lists_.push_back(python_list({image, image + size}));
    pixels_.insert(pixels_.end(), image, image + size);
    classes_.push_back(classes[at]);
  }
  if (std::ssize(classes_) < kImages || static_cast<double>(right) < kLeastAccuracy * static_cast<double>(count)) {
    return absl::InvalidArgumentError(
        fmt::format("the model is right about {} of {} test images, and sure of {} of them: too few to know a right "
                    "answer by; train it longer (--train_steps)",
                    right, count, classes_.size()));
  }
  return absl::OkStatus();
}

absl::Status ServeWork::export_model(const std::string& scratch) {
  base_path_ = join_path(scratch, "versions");
  onnx_ = join_path(scratch, "model.onnx");
  const float* weights = model_->weights.data();
  LOCKSTEP_ASSIGN_OR_RETURN(const Network network, Network::build(model_->config));
  LOCKSTEP_ASSIGN_OR_RETURN(saved_model_,
                            export_saved_model(base_path_, model_->config, network, weights, model_->global_step));
  return export_onnx(onnx_, model_->config, network, weights, model_->global_step);
}

std::string ServeWork::body(int64_t first, int64_t images) const {
  std::string text = "{\"instances\": [";
  for (int64_t i = 0; i < images; ++i) {
    if (i > 0) text += ", ";
    text += lists_[static_cast<size_t>((first + i) % kImages)];
  }
  return text + "]}";
}

std::vector<LoadRequest> ServeWork::requests(std::string_view path, int64_t images) const {
  LOCKSTEP_CHECK(images >= 1 && images <= kImages);
  // Large ones are few: their texts should stay in the cache, beside the server's work.
  const int64_t count = images == 1 ? kImages : 4;
  std::vector<LoadRequest> requests;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t first = i * kImages / count;
    std::vector<int64_t> classes;
    for (int64_t k = 0; k < images; ++k) classes.push_back(classes_[static_cast<size_t>((first + k) % kImages)]);
    requests.push_back(predict_request(path, body(first, images), std::move(classes)));
  }
  return requests;
}

absl::StatusOr<std::vector<double>> ServeWork::time_inference(int threads, double seconds) const {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto predictor, Predictor::create(model_, {.capacity = 1, .threads = threads}));
  std::vector<float> probabilities(static_cast<size_t>(predictor->classes()));
  return time_calls(seconds, [&](int64_t i) {
    int64_t got = 0;
    return predictor->predict(1, pixels_.data() + (i % kImages) * shape_.size(), &got, probabilities.data());
  });
}

absl::StatusOr<std::vector<double>> ServeWork::time_parsing(double seconds) const {
  std::vector<std::string> bodies;
  for (int64_t i = 0; i < kImages; ++i) bodies.push_back(body(i, 1));
  return time_calls(seconds, [&](int64_t i) {
    return parse_predict_request(bodies[static_cast<size_t>(i % kImages)], {.input = shape_}).status();
  });
}

}  // namespace lockstep
