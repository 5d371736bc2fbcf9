// SPDX-License-Identifier: Apache-2.0
// Our side of the checks in this folder:
//   write DIR    a checkpoint and event files whose contents files_check.py knows
//   read PATH    prints a bundle: one JSON object a tensor, with the SHA-256 of its bytes
//   records DIR  prints a data set's training split: one JSON object, with the SHA-256 of images and labels
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include <cstdio>
#include <map>
#include <numeric>

#include "core/base/sha256.h"
#include "core/nn/checkpoint.h"
#include "io/batch_source.h"
#include "io/event_writer.h"
#include "io/tensor_bundle.h"

namespace lockstep {
namespace {

// Element i of every variable: exact in float, and simple to say in Python.
float element(size_t i) { return 0.25f * static_cast<float>(i % 1000) - 100.0f; }

absl::Status write_checkpoint(const std::string& directory) {
  const std::map<std::string, std::vector<int64_t>> shapes = {
      {"conv2d/bias", {32}},  {"conv2d/kernel", {5, 5, 1, 32}}, {"conv2d_1/bias", {64}},
      {"dense/bias", {1024}}, {"dense/kernel", {3136, 1024}},   {"conv2d_1/kernel", {5, 5, 32, 64}},
      {"dense_1/bias", {10}}, {"dense_1/kernel", {1024, 10}}};
  std::vector<float> values(3136 * 1024);
  for (size_t i = 0; i < values.size(); ++i) values[i] = element(i);
  const float powers[] = {0.9f, 0.999f};
  CheckpointData data{10000, {{"beta1_power", {}, {powers, 1}}, {"beta2_power", {}, {powers + 1, 1}}}};
  for (const auto& [name, shape] : shapes) {
    size_t count = 1;
    for (const int64_t size : shape) count *= static_cast<size_t>(size);
    for (const char* slot : {"", "/Adam", "/Adam_1"}) {
      data.tensors.push_back({name + slot, shape, {values.data(), count}});
    }
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const auto manager, CheckpointManager::create(directory));
  LOCKSTEP_RETURN_IF_ERROR(manager->save_async(data));
  return manager->wait();
}

// Steps 100 to 300, then a second file that resumes from 200 and goes on to 500.
absl::Status write_events(const std::string& directory) {
  std::vector<float> values(5000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = element(i);
  const std::vector<uint8_t> grey(28 * 28, 200), rgb(32 * 32 * 3, 50);
  for (const int64_t resume : {0, 200}) {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto writer, EventWriter::open(directory, {.resume_step = resume}));
    for (int64_t step = resume + 100; step <= resume + 300; step += 100) {
      LOCKSTEP_RETURN_IF_ERROR(writer->add_scalar(step, "loss", 1.0f / static_cast<float>(step + resume)));
      LOCKSTEP_RETURN_IF_ERROR(writer->add_histogram(step, "dense/kernel", values));
      LOCKSTEP_RETURN_IF_ERROR(writer->add_image(step, "mistakes/0", grey, 28, 28, 1));
      LOCKSTEP_RETURN_IF_ERROR(writer->add_image(step, "mistakes/1", rgb, 32, 32, 3));
    }
  }
  return absl::OkStatus();
}

absl::Status write(const std::string& directory) {
  LOCKSTEP_RETURN_IF_ERROR(write_checkpoint(directory));
  return write_events(directory);
}

absl::Status read(const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, TensorBundleReader::open(path));
  for (const auto& [name, entry] : reader->entries()) {
    std::string bytes(entry.size_bytes, '\0');
    if (entry.dtype == TensorDtype::kString) {
      LOCKSTEP_ASSIGN_OR_RETURN(const auto strings, reader->read_strings(name));
      bytes.clear();
      for (const std::string& s : strings) bytes += s;
    } else {
      LOCKSTEP_RETURN_IF_ERROR(reader->read_bytes(name, bytes));
    }
    const nlohmann::json row = {
        {"name", name}, {"dtype", dtype_name(entry.dtype)}, {"shape", entry.shape}, {"sha256", sha256_hex(bytes)}};
    fmt::print("{}\n", row.dump());
  }
  return absl::OkStatus();
}

template <typename T>
std::string_view as_bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

absl::Status records(const std::string& directory) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto data, open_dataset(directory, Split::kTrain, {}));
  std::vector<int64_t> indices(static_cast<size_t>(data->size()));
  std::iota(indices.begin(), indices.end(), 0);
  std::vector<uint8_t> images(indices.size() * static_cast<size_t>(data->shape().size()));
  std::vector<int32_t> labels(indices.size());
  LOCKSTEP_RETURN_IF_ERROR(data->read(indices, images.data(), labels.data()));
  const ImageShape shape = data->shape();
  const nlohmann::json row = {{"examples", data->size()},
                              {"shape", {shape.height, shape.width, shape.depth}},
                              {"images_sha256", sha256_hex(as_bytes(images))},
                              {"labels_sha256", sha256_hex(as_bytes(labels))}};
  fmt::print("{}\n", row.dump());
  return absl::OkStatus();
}

absl::Status run(const std::vector<std::string>& words) {
  const std::string verb = words.empty() ? "" : words[0];
  if (verb == "write" && words.size() == 2) return write(words[1]);
  if (verb == "read" && words.size() == 2) return read(words[1]);
  if (verb == "records" && words.size() == 2) return records(words[1]);
  return absl::InvalidArgumentError("usage: interop_tool write DIR | read PATH | records DIR");
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  const absl::Status status = lockstep::run({argv + 1, argv + argc});
  if (!status.ok()) fmt::print(stderr, "{}\n", std::string(status.message()));
  return status.ok() ? 0 : 1;
}
