// SPDX-License-Identifier: Apache-2.0
// One-dimensional Winograd transforms on eight points 0, 1, -1, 2, -2, 1/2, -1/2, infinity (Lavin & Gray, "Fast
// Algorithms for Convolutional Neural Networks", 2015): m outputs of an r-tap correlation with m + r - 1 = 8 cost 8
// multiplications instead of m * r. The input transform is the same for every split of 8 into m and r.
//   y = A^T ((G g) * (B^T d)),  d: 8 inputs, g: r taps, y: m outputs.
// Included once per instruction set; lanes are independent.
#if defined(LOCKSTEP_KERNELS_WINOGRAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_KERNELS_WINOGRAD_INL_H_
#undef LOCKSTEP_KERNELS_WINOGRAD_INL_H_
#else
#define LOCKSTEP_KERNELS_WINOGRAD_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int kPoints = 8;

struct Winograd {
  using D = hn::ScalableTag<float>;
  using V = hn::Vec<D>;

  static HWY_INLINE V c(float value) { return hn::Set(D{}, value); }

  // B^T d: eight inputs in `d`, eight outputs in `out`.
  static HWY_INLINE void input(const V (&d)[kPoints], V (&out)[kPoints]) {
    out[0] = hn::MulAdd(hn::Sub(d[4], d[2]), c(5.25f), hn::Sub(d[0], d[6]));
    out[7] = hn::MulAdd(hn::Sub(d[3], d[5]), c(5.25f), hn::Sub(d[7], d[1]));
    const V even1 = hn::MulAdd(d[4], c(-4.25f), hn::Add(d[2], d[6]));
    const V odd1 = hn::MulAdd(d[3], c(-4.25f), hn::Add(d[1], d[5]));
    out[1] = hn::Add(even1, odd1);
    out[2] = hn::Sub(even1, odd1);
    const V even2 = hn::MulAdd(d[4], c(-1.25f), hn::MulAdd(d[2], c(0.25f), d[6]));
    const V odd2 = hn::MulAdd(d[5], c(2.0f), hn::MulAdd(d[3], c(-2.5f), hn::Mul(d[1], c(0.5f))));
    out[3] = hn::Add(even2, odd2);
    out[4] = hn::Sub(even2, odd2);
    const V even3 = hn::MulAdd(hn::MulAdd(d[4], c(-1.25f), d[2]), c(4.0f), d[6]);
    const V odd3 = hn::MulAdd(d[5], c(0.5f), hn::MulAdd(d[3], c(-2.5f), hn::Mul(d[1], c(2.0f))));
    out[5] = hn::Add(even3, odd3);
    out[6] = hn::Sub(even3, odd3);
  }

  // The value of sum over j of g[j] p^j and of sum g[j] (-p)^j, times `scale`.
  template <int r>
  static HWY_INLINE void evaluate(const V* g, float p, float scale, V& plus, V& minus) {
    V even = hn::Mul(g[0], c(scale));
    V odd = hn::Mul(g[1], c(scale * p));
    float power = p * p;
#pragma GCC unroll 8
    for (int j = 2; j < r; ++j, power *= p) {
      V& part = j % 2 == 0 ? even : odd;
      part = hn::MulAdd(g[j], c(scale * power), part);
    }
    plus = hn::Add(even, odd);
    minus = hn::Sub(even, odd);
  }

  // G g for r taps.
  template <int r>
  static HWY_INLINE void taps(const V* g, V (&out)[kPoints]) {
    out[0] = g[0];
    evaluate<r>(g, 1.0f, -2.0f / 9, out[1], out[2]);
    evaluate<r>(g, 2.0f, 1.0f / 90, out[3], out[4]);
    evaluate<r>(g, 0.5f, 32.0f / 45, out[5], out[6]);
    out[7] = g[r - 1];
  }

  // A^T x for m outputs.
  template <int m>
  static HWY_INLINE void output(const V (&x)[kPoints], V* y) {
    const V sum1 = hn::Add(x[1], x[2]), diff1 = hn::Sub(x[1], x[2]);
    const V sum2 = hn::Add(x[3], x[4]), diff2 = hn::Sub(x[3], x[4]);
    const V sum3 = hn::Add(x[5], x[6]), diff3 = hn::Sub(x[5], x[6]);
#pragma GCC unroll 8
    for (int i = 0; i < m; ++i) {
      const float power = static_cast<float>(1 << i);
      const V& first = i % 2 == 0 ? sum1 : diff1;
      const V& second = i % 2 == 0 ? sum2 : diff2;
      const V& third = i % 2 == 0 ? sum3 : diff3;
      y[i] = hn::MulAdd(second, c(power), hn::MulAdd(third, c(1.0f / power), first));
    }
    y[0] = hn::Add(y[0], x[0]);
    y[m - 1] = hn::Add(y[m - 1], x[7]);
  }
};

// Two-dimensional transforms of one vector of channels: columns first, then rows. Source rows and columns are
// `row` and `column` floats apart; the 64 results of point (i, j) go to out + (8 * i + j) * point.
HWY_NOINLINE void winograd_input(const float* x, ptrdiff_t row, ptrdiff_t column, float* out, ptrdiff_t point) {
  const Winograd::D d;
  Winograd::V line[kPoints], result[kPoints], half[kPoints][kPoints];
  for (int j = 0; j < kPoints; ++j) {
#pragma GCC unroll 8
    for (int i = 0; i < kPoints; ++i) line[i] = hn::LoadU(d, x + i * row + j * column);
    Winograd::input(line, result);
#pragma GCC unroll 8
    for (int i = 0; i < kPoints; ++i) half[i][j] = result[i];
  }
  for (int i = 0; i < kPoints; ++i) {
    Winograd::input(half[i], result);
#pragma GCC unroll 8
    for (int j = 0; j < kPoints; ++j) hn::StoreU(result[j], d, out + (kPoints * i + j) * point);
  }
}

template <int r>
HWY_NOINLINE void winograd_taps(const float* g, ptrdiff_t row, ptrdiff_t column, float* out, ptrdiff_t point) {
  const Winograd::D d;
  Winograd::V line[r], result[kPoints], half[kPoints][r];
#pragma GCC unroll 1
  for (int j = 0; j < r; ++j) {
#pragma GCC unroll 8
    for (int i = 0; i < r; ++i) line[i] = hn::LoadU(d, g + i * row + j * column);
    Winograd::taps<r>(line, result);
#pragma GCC unroll 8
    for (int i = 0; i < kPoints; ++i) half[i][j] = result[i];
  }
#pragma GCC unroll 1
  for (int i = 0; i < kPoints; ++i) {
    Winograd::taps<r>(half[i], result);
#pragma GCC unroll 8
    for (int j = 0; j < kPoints; ++j) hn::StoreU(result[j], d, out + (kPoints * i + j) * point);
  }
}

// The m x m results of one vector of channels from 64 points.
template <int m>
HWY_NOINLINE void winograd_output(const float* x, ptrdiff_t point, Winograd::V (&y)[m][m]) {
  const Winograd::D d;
  Winograd::V line[kPoints], half[m][kPoints], result[m];
#pragma GCC unroll 1
  for (int j = 0; j < kPoints; ++j) {
#pragma GCC unroll 8
    for (int i = 0; i < kPoints; ++i) line[i] = hn::LoadU(d, x + (kPoints * i + j) * point);
    Winograd::output<m>(line, result);
#pragma GCC unroll 8
    for (int i = 0; i < m; ++i) half[i][j] = result[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < m; ++i) Winograd::output<m>(half[i], y[i]);
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_KERNELS_WINOGRAD_INL_H_
