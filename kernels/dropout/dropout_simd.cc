// SPDX-License-Identifier: Apache-2.0
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/dropout/dropout_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "core/base/rng.h"
#include "kernels/dropout/dropout_impl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Wide = hn::ScalableTag<uint64_t>;  // one Philox counter word a lane, in the low half
using Words = hn::Rebind<uint32_t, Wide>;
inline constexpr int kQuads = static_cast<int>(hn::MaxLanes(Wide{}));

// Ten rounds of Philox4x32 for quads first .. first + kQuads - 1 of the stream; out[4 * i + j] = word j of quad i.
HWY_INLINE void philox_quads(const RngStream& stream, uint32_t first, uint32_t* out) {
#if HWY_TARGET == HWY_SCALAR
  std::ranges::copy(stream.quad(first), out);
#else
  const Wide d;
  const hn::Repartition<uint32_t, Wide> d32;
  const auto low = hn::Set(d, 0xFFFFFFFFu);
  auto c0 = hn::And(hn::Add(hn::Set(d, first), hn::Iota(d, 0)), low);
  auto c1 = hn::Set(d, stream.example);
  auto c2 = hn::Set(d, stream.step & 0xFFFFFFFFu);
  auto c3 = hn::Set(d, stream.step >> 32);
  const auto mul0 = hn::BitCast(d32, hn::Set(d, Philox::kMul0)), mul1 = hn::BitCast(d32, hn::Set(d, Philox::kMul1));
  uint32_t k0 = stream.key[0], k1 = stream.key[1];
  for (int round = 0; round < 10; ++round) {
    const auto p0 = hn::MulEven(hn::BitCast(d32, c0), mul0);
    const auto p1 = hn::MulEven(hn::BitCast(d32, c2), mul1);
    c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p1), c1), hn::Set(d, k0));
    c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p0), c3), hn::Set(d, k1));
    c1 = hn::And(p1, low);
    c3 = hn::And(p0, low);
    k0 += Philox::kWeyl0;
    k1 += Philox::kWeyl1;
  }
  const Words dw;
  hn::StoreInterleaved4(hn::TruncateTo(dw, c0), hn::TruncateTo(dw, c1), hn::TruncateTo(dw, c2), hn::TruncateTo(dw, c3),
                        dw, out);
#endif
}

template <class D>
HWY_INLINE void drop(D d, const uint32_t* bits, float rate, float scale, const float* x, float* y) {
  const hn::RebindToSigned<D> di;
  const hn::RebindToUnsigned<D> du;
  const auto top = hn::BitCast(di, hn::ShiftRight<8>(hn::LoadU(du, bits)));
  const auto uniform = hn::Mul(hn::ConvertTo(d, top), hn::Set(d, 0x1.0p-24f));
  const auto dropped = hn::Lt(uniform, hn::Set(d, rate));
  hn::StoreU(hn::IfThenZeroElse(dropped, hn::Mul(hn::LoadU(d, x), hn::Set(d, scale))), d, y);
}

// One example: y = x where kept, scaled; zero where dropped.
void dropout_row(const DropoutParams& p, int64_t n, const float* x, float* y) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const RngStream stream(p.seed, RngPurpose::kDropout, p.step, p.first_example + static_cast<uint32_t>(n));
  const float scale = 1.0f / (1.0f - p.rate);
  HWY_ALIGN uint32_t bits[4 * kQuads];
  for (int64_t u = 0; u < p.units; u += 4 * kQuads) {
    philox_quads(stream, (p.layer << 22) + static_cast<uint32_t>(u / 4), bits);
    const int count = static_cast<int>(std::min<int64_t>(4 * kQuads, p.units - u));
    int i = 0;
    for (; i + lanes <= count; i += lanes) drop(d, bits + i, p.rate, scale, x + u + i, y + u + i);
    for (; i < count; ++i) drop(d1, bits + i, p.rate, scale, x + u + i, y + u + i);
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::simd {

HWY_EXPORT(dropout_row);

absl::Status dropout_fwd(const KernelContext& ctx, const DropoutParams& p, const float* x, float* y) {
  parallel_for(ctx.pool, p.N, [&](int64_t n, int) {
    HWY_DYNAMIC_DISPATCH(dropout_row)(p, n, x + n * p.units, y + n * p.units);
  });
  return absl::OkStatus();
}

// The derivative is the same mask and scale.
absl::Status dropout_bwd(const KernelContext& ctx, const DropoutParams& p, const float* grad_y, float* grad_x) {
  return simd::dropout_fwd(ctx, p, grad_y, grad_x);
}

}  // namespace lockstep::simd
#endif  // HWY_ONCE
