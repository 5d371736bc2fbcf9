// SPDX-License-Identifier: Apache-2.0
// Two-dimensional discrete Fourier transforms of real planes on a circle of 16 x 16, for a vector of channels at a time
// (radix 4, Cooley & Tukey 1965; two real rows share a complex transform). A real plane has 256 independent numbers in
// its spectrum, kept as 128 points of two:
//   points 0 and 1    the frequencies (0, 0) and (8, 0), which are real, paired with (0, 8) and (8, 8), real too
//   points 2 .. 15    (u, 0) and (u, 8) for u = 1 .. 7
//   points 16 .. 127  (u, v) for v = 1 .. 7 and all u, v after v
// Multiplying spectra point by point (element by element for points 0 and 1) convolves planes on the circle.
// Included once per instruction set; lanes are independent.
#if defined(LOCKSTEP_KERNELS_FFT16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_KERNELS_FFT16_INL_H_
#undef LOCKSTEP_KERNELS_FFT16_INL_H_
#else
#define LOCKSTEP_KERNELS_FFT16_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int kCircle = 16, kHalf = kCircle / 2, kSpectrumPoints = kCircle * kHalf;
inline constexpr int kRealPoints = 2;  // the first ones, whose two numbers are not a complex one

// Where a plane of rows x columns lies on the circle: element (i, j) at ((first_row + i) mod 16, (first_column + j)
// mod 16).
struct CirclePlane {
  int rows = 0, columns = 0;
  int first_row = 0, first_column = 0;

  static int around(int i) { return i & (kCircle - 1); }
  int row(int i) const { return around(first_row + i); }
  int column(int j) const { return around(first_column + j); }
};

struct Fft16 {
  using D = hn::ScalableTag<float>;
  using V = hn::Vec<D>;

  static HWY_INLINE V c(float value) { return hn::Set(D{}, value); }

  struct Complex {
    V re, im;
  };
  static HWY_INLINE Complex add(const Complex& a, const Complex& b) {
    return {hn::Add(a.re, b.re), hn::Add(a.im, b.im)};
  }
  static HWY_INLINE Complex subtract(const Complex& a, const Complex& b) {
    return {hn::Sub(a.re, b.re), hn::Sub(a.im, b.im)};
  }
  // a * (re + im i)
  static HWY_INLINE Complex times(const Complex& a, float re, float im) {
    return {hn::MulSub(a.re, c(re), hn::Mul(a.im, c(im))), hn::MulAdd(a.re, c(im), hn::Mul(a.im, c(re)))};
  }

  // z[0], z[1], z[2], z[3] to their four-point transform.
  static HWY_INLINE void radix4(Complex& z0, Complex& z1, Complex& z2, Complex& z3) {
    const Complex even = add(z0, z2), even_difference = subtract(z0, z2);
    const Complex odd = add(z1, z3), odd_difference = subtract(z1, z3);
    z0 = add(even, odd);
    z2 = subtract(even, odd);
    z1 = {hn::Add(even_difference.re, odd_difference.im), hn::Sub(even_difference.im, odd_difference.re)};
    z3 = {hn::Sub(even_difference.re, odd_difference.im), hn::Add(even_difference.im, odd_difference.re)};
  }

  // z[k] = sum over n of z[n] exp(-2 pi i n k / 16).
  static HWY_INLINE void forward(Complex (&z)[kCircle]) {
    constexpr float cos1 = 0.92387953251128674f, sin1 = 0.38268343236508977f, half = 0.70710678118654752f;
    for (int n = 0; n < 4; ++n) radix4(z[n], z[n + 4], z[n + 8], z[n + 12]);
    // Now z[n + 4 k] is element n of group k, times exp(-2 pi i n k / 16).
    z[5] = times(z[5], cos1, -sin1);
    z[6] = times(z[6], half, -half);
    z[7] = times(z[7], sin1, -cos1);
    z[9] = times(z[9], half, -half);
    z[10] = {z[10].im, hn::Neg(z[10].re)};
    z[11] = times(z[11], -half, -half);
    z[13] = times(z[13], sin1, -cos1);
    z[14] = times(z[14], -half, -half);
    z[15] = times(z[15], -cos1, sin1);
    for (int k = 0; k < kCircle; k += 4) radix4(z[k], z[k + 1], z[k + 2], z[k + 3]);
    // z[j + 4 k] is frequency k + 4 j: transpose.
    for (int k = 0; k < 4; ++k) {
      for (int j = 0; j < k; ++j) {
        const Complex swapped = z[4 * k + j];
        z[4 * k + j] = z[4 * j + k];
        z[4 * j + k] = swapped;
      }
    }
  }

  // The same with exp(+2 pi i n k / 16): not divided by 16.
  static HWY_INLINE void inverse(Complex (&z)[kCircle]) {
    for (Complex& value : z) value = {value.im, value.re};
    forward(z);
    for (Complex& value : z) value = {value.im, value.re};
  }
};

// Two rows of real numbers as the halves of complex ones, transformed along the columns, by column frequency: real
// frequencies 0 and 8 share column 0.
using CircleColumns = Fft16::Complex[kHalf][kCircle];

// Twice the spectrum of a plane: calls store(point, re, im) for each point. Element (i, j) is at x + i * row + j *
// column floats.
template <class Store>
HWY_INLINE void fft16_forward(const CirclePlane& plane, const float* x, ptrdiff_t row, ptrdiff_t column,
                              const Store& store) {
  using Complex = Fft16::Complex;
  const Fft16::D d;
  const auto zero = hn::Zero(d);
  HWY_ALIGN static constexpr float kZeros[hn::MaxLanes(Fft16::D{})] = {};
  ptrdiff_t offsets[kCircle];
  bool used[kCircle] = {};
  for (int j = 0; j < plane.columns; ++j) {
    offsets[plane.column(j)] = j * column;
    used[plane.column(j)] = true;
  }
  CircleColumns columns;
  for (int i = plane.rows; i < kCircle; ++i) {
    for (int v = 0; v < kHalf; ++v) columns[v][plane.row(i)] = {zero, zero};
  }
  for (int i = 0; i < plane.rows; i += 2) {
    const float* const first = x + i * row;
    const bool two = i + 1 < plane.rows;
    Complex z[kCircle];
#pragma GCC unroll 16
    for (int w = 0; w < kCircle; ++w) {
      z[w].re = hn::LoadU(d, used[w] ? first + offsets[w] : kZeros);
      z[w].im = hn::LoadU(d, used[w] && two ? first + row + offsets[w] : kZeros);
    }
    Fft16::forward(z);
    const int at = plane.row(i), below = plane.row(i + 1);
    columns[0][at] = {hn::Add(z[0].re, z[0].re), hn::Add(z[kHalf].re, z[kHalf].re)};
    if (two) columns[0][below] = {hn::Add(z[0].im, z[0].im), hn::Add(z[kHalf].im, z[kHalf].im)};
#pragma GCC unroll 8
    for (int v = 1; v < kHalf; ++v) {
      const Complex a = z[v], b = z[kCircle - v];
      columns[v][at] = {hn::Add(a.re, b.re), hn::Sub(a.im, b.im)};
      if (two) columns[v][below] = {hn::Add(a.im, b.im), hn::Sub(b.re, a.re)};
    }
  }
  Fft16::forward(columns[0]);
  const auto half = Fft16::c(0.5f);
  store(0, columns[0][0].re, columns[0][0].im);
  store(1, columns[0][kHalf].re, columns[0][kHalf].im);
  for (int u = 1; u < kHalf; ++u) {
    const Complex a = columns[0][u], b = columns[0][kCircle - u];
    store(1 + u, hn::Mul(half, hn::Add(a.re, b.re)), hn::Mul(half, hn::Sub(a.im, b.im)));
    store(kHalf + u, hn::Mul(half, hn::Add(a.im, b.im)), hn::Mul(half, hn::Sub(b.re, a.re)));
  }
  for (int v = 1; v < kHalf; ++v) {
    Fft16::forward(columns[v]);
    for (int u = 0; u < kCircle; ++u) store(kCircle * v + u, columns[v][u].re, columns[v][u].im);
  }
}

// 256 times the plane of a spectrum: load(point) gives a point, put(i, j, value) takes element (i, j).
template <class Load, class Put>
HWY_INLINE void fft16_inverse(const CirclePlane& plane, const Load& load, const Put& put) {
  using Complex = Fft16::Complex;
  CircleColumns columns;
  columns[0][0] = load(0);
  columns[0][kHalf] = load(1);
  for (int u = 1; u < kHalf; ++u) {
    const Complex a = load(1 + u), b = load(kHalf + u);
    columns[0][u] = {hn::Sub(a.re, b.im), hn::Add(a.im, b.re)};
    columns[0][kCircle - u] = {hn::Add(a.re, b.im), hn::Sub(b.re, a.im)};
  }
  Fft16::inverse(columns[0]);
  for (int v = 1; v < kHalf; ++v) {
    for (int u = 0; u < kCircle; ++u) columns[v][u] = load(kCircle * v + u);
    Fft16::inverse(columns[v]);
  }
  for (int i = 0; i < plane.rows; i += 2) {
    const int at = plane.row(i), below = plane.row(i + 1);
    Complex z[kCircle];
    z[0] = {columns[0][at].re, columns[0][below].re};
    z[kHalf] = {columns[0][at].im, columns[0][below].im};
#pragma GCC unroll 8
    for (int v = 1; v < kHalf; ++v) {
      const Complex a = columns[v][at], b = columns[v][below];
      z[v] = {hn::Sub(a.re, b.im), hn::Add(a.im, b.re)};
      z[kCircle - v] = {hn::Add(a.re, b.im), hn::Sub(b.re, a.im)};
    }
    Fft16::inverse(z);
    for (int j = 0; j < plane.columns; ++j) {
      put(i, j, z[plane.column(j)].re);
      if (i + 1 < plane.rows) put(i + 1, j, z[plane.column(j)].im);
    }
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_KERNELS_FFT16_INL_H_
