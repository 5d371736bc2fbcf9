// SPDX-License-Identifier: Apache-2.0
// Our side of checkpoint_events_check.py:
//   write DIR   a checkpoint and an event file whose contents the script knows
//   read PATH   prints a bundle: one JSON object a tensor, with the SHA-256 of its bytes
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include <cstdio>
#include <map>

#include "core/base/sha256.h"
#include "core/nn/checkpoint.h"
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

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  const std::string verb = argc == 3 ? argv[1] : "";
  if (verb != "write" && verb != "read") {
    fmt::print(stderr, "usage: {} write DIR | read PATH\n", argv[0]);
    return 2;
  }
  const absl::Status status = verb == "write" ? lockstep::write(argv[2]) : lockstep::read(argv[2]);
  if (!status.ok()) fmt::print(stderr, "{}\n", std::string(status.message()));
  return status.ok() ? 0 : 1;
}
