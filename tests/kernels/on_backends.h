// SPDX-License-Identifier: Apache-2.0
// For tests that hold on the reference, on every instruction set and on GPUs alike: derive the suite from OnBackends
// and instantiate it with LOCKSTEP_ON_ALL_BACKENDS.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/backends.h"

namespace lockstep {

class OnBackends : public ::testing::TestWithParam<BackendCase> {
 protected:
  const KernelContext& ctx() const { return scope_.context(); }

 private:
  ScopedBackend scope_{GetParam()};
};

// These tests compare bits and hand-worked numbers: nothing that rounds factors first.
inline std::vector<BackendCase> exact_backends() {
  std::vector<BackendCase> backends = backends_under_test();
  std::erase_if(backends, [](const BackendCase& b) { return b.factor_rounding > 0; });
  return backends;
}

// In every arithmetic, but for what cuDNN does: how it sums is its own affair.
inline std::vector<BackendCase> own_kernels() {
  std::vector<BackendCase> backends = backends_under_test();
  std::erase_if(backends, [](const BackendCase& b) { return b.backend == Backend::kCudnn; });
  return backends;
}

inline std::string backend_test_name(const ::testing::TestParamInfo<BackendCase>& info) { return info.param.name; }

}  // namespace lockstep

#define LOCKSTEP_ON_ALL_BACKENDS(suite) \
  INSTANTIATE_TEST_SUITE_P(Backends, suite, ::testing::ValuesIn(exact_backends()), backend_test_name)
