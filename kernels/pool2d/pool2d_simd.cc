// SPDX-License-Identifier: Apache-2.0
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pool2d/pool2d_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/pool2d/pool2d-inl.h"
#include "kernels/pool2d/pool2d_impl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

void pool2d_fwd_image(const Pool2dParams& p, const float* x, float* y, uint8_t* argmax) {
  pool_image_fwd(p, x, y, argmax);
}

void pool2d_bwd_image(const Pool2dParams& p, const uint8_t* argmax, const float* grad_y, float* grad_x) {
  std::fill_n(grad_x, int64_t{p.H} * p.W * p.C, 0.0f);
  pool_image_bwd(p, nullptr, argmax, grad_y, {grad_x, ptrdiff_t{p.W} * p.C, p.C});
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::simd {

HWY_EXPORT(pool2d_fwd_image);
HWY_EXPORT(pool2d_bwd_image);

absl::Status pool2d_max_fwd(const KernelContext& ctx, const Pool2dParams& p, const float* x, float* y,
                            uint8_t* argmax) {
  const int64_t in = int64_t{p.H} * p.W * p.C, out = int64_t{p.OH()} * p.OW() * p.C;
  parallel_for(ctx.pool, p.N, [&](int64_t n, int) {
    HWY_DYNAMIC_DISPATCH(pool2d_fwd_image)(p, x + n * in, y + n * out, argmax + n * out);
  });
  return absl::OkStatus();
}

absl::Status pool2d_max_bwd(const KernelContext& ctx, const Pool2dParams& p, const uint8_t* argmax, const float* grad_y,
                            float* grad_x) {
  const int64_t in = int64_t{p.H} * p.W * p.C, out = int64_t{p.OH()} * p.OW() * p.C;
  parallel_for(ctx.pool, p.N, [&](int64_t n, int) {
    HWY_DYNAMIC_DISPATCH(pool2d_bwd_image)(p, argmax + n * out, grad_y + n * out, grad_x + n * in);
  });
  return absl::OkStatus();
}

}  // namespace lockstep::simd
#endif  // HWY_ONCE
