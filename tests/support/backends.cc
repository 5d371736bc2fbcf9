// SPDX-License-Identifier: Apache-2.0
#include "tests/support/backends.h"

#include "kernels/simd_targets.h"
// After simd_targets.h:
#include <hwy/highway.h>

namespace lockstep {
namespace {

void restrict_dispatch(int64_t targets) {
  hwy::SetSupportedTargetsForTest(targets);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace

std::vector<BackendCase> simd_backends() {
  std::vector<BackendCase> backends;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    backends.push_back({Backend::kSimd, target, std::string("simd_") + hwy::TargetName(target), nullptr});
  }
  return backends;
}

std::vector<BackendCase> all_backends() {
  std::vector<BackendCase> backends = simd_backends();
  backends.insert(backends.begin(), {Backend::kRef, 0, "ref", nullptr});
  return backends;
}

ScopedBackend::ScopedBackend(const BackendCase& backend) {
  context_.backend = backend.backend;
  if (backend.target != 0) restrict_dispatch(backend.target);
  if (backend.enter) entered_ = backend.enter(context_);
}

ScopedBackend::~ScopedBackend() { restrict_dispatch(0); }

}  // namespace lockstep
