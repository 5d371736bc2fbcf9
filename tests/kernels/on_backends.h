// SPDX-License-Identifier: Apache-2.0
// For tests that hold on the reference and on every instruction set alike: derive the suite from OnBackends and
// instantiate it with LOCKSTEP_ON_ALL_BACKENDS.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tests/support/backends.h"

namespace lockstep {

class OnBackends : public ::testing::TestWithParam<BackendCase> {
 protected:
  const KernelContext& ctx() const { return scope_.context(); }

 private:
  ScopedBackend scope_{GetParam()};
};

inline std::string backend_test_name(const ::testing::TestParamInfo<BackendCase>& info) { return info.param.name; }

}  // namespace lockstep

#define LOCKSTEP_ON_ALL_BACKENDS(suite) \
  INSTANTIATE_TEST_SUITE_P(Backends, suite, ::testing::ValuesIn(all_backends()), backend_test_name)
