// SPDX-License-Identifier: Apache-2.0
#include "core/nn/param_table.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/base/check.h"
#include "core/base/sha256.h"

namespace lockstep {

static_assert(std::endian::native == std::endian::little, "checkpoints and hashes are raw little-endian float32");

int ParamTable::add(std::string name, std::vector<int64_t> shape, int layer) {
  Param param{.name = std::move(name), .shape = std::move(shape), .offset = buffer_size_, .size = 1, .layer = layer};
  for (const int64_t dim : param.shape) param.size *= dim;
  LOCKSTEP_CHECK_GT(param.size, 0);
  buffer_size_ += (param.size + kAlignment - 1) / kAlignment * kAlignment;
  params_.push_back(std::move(param));
  return static_cast<int>(params_.size()) - 1;
}

int64_t ParamTable::parameter_count() const {
  int64_t count = 0;
  for (const Param& param : params_) count += param.size;
  return count;
}

std::vector<Param> ParamTable::sorted_by_name() const {
  std::vector<Param> sorted = params_;
  std::sort(sorted.begin(), sorted.end(), [](const Param& a, const Param& b) { return a.name < b.name; });
  return sorted;
}

const Param* first_nonfinite(const ParamTable& table, const float* flat) {
  const auto is_nonfinite = [flat](const Param& param) {
    const float* values = flat + param.offset;
    return !std::all_of(values, values + param.size, [](float x) { return std::isfinite(x); });
  };
  const auto found = std::find_if(table.params().begin(), table.params().end(), is_nonfinite);
  return found == table.params().end() ? nullptr : &*found;
}

std::string weights_sha256(const ParamTable& table, const float* weights) {
  Sha256 hash;
  for (const Param& param : table.sorted_by_name()) {
    hash.update(weights + param.offset, static_cast<size_t>(param.size) * sizeof(float));
  }
  return hash.hex_digest();
}

}  // namespace lockstep
