// SPDX-License-Identifier: Apache-2.0
// Where every trainable variable lives in the one flat buffer of parameters (gradients and Adam moments share the
// layout). Offsets are multiples of kAlignment floats, so that vectors are aligned; the gaps stay zero and belong
// neither to checkpoints nor to the hash.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep {

struct Param {
  std::string name;            // as TensorFlow names it: "conv2d/kernel"
  std::vector<int64_t> shape;  // HWIO for filters, (inputs, units) for dense kernels
  int64_t offset = 0;          // floats into the flat buffer
  int64_t size = 0;            // floats, without padding
  int layer = 0;               // index of the layer it belongs to
};

class ParamTable {
 public:
  static constexpr int64_t kAlignment = 16;

  // Appends a variable behind the last one; returns its index. Names must be unique, sizes positive.
  int add(std::string name, std::vector<int64_t> shape, int layer);

  const std::vector<Param>& params() const { return params_; }
  const Param& operator[](int index) const { return params_[static_cast<size_t>(index)]; }
  // Floats of the flat buffer, gaps included.
  int64_t buffer_size() const { return buffer_size_; }
  // Trainable parameters, gaps excluded: what people mean by the size of a network.
  int64_t parameter_count() const;
  // The variables in bytewise order of their names.
  std::vector<Param> sorted_by_name() const;

 private:
  std::vector<Param> params_;
  int64_t buffer_size_ = 0;
};

// The first variable in which a number of `flat` is NaN or infinite; null when all are finite.
const Param* first_nonfinite(const ParamTable& table, const float* flat);

// SHA-256, lower-case hex, over the variables in bytewise name order, each as raw little-endian float32.
std::string weights_sha256(const ParamTable& table, const float* weights);

}  // namespace lockstep
