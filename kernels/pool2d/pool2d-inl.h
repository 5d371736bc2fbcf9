// SPDX-License-Identifier: Apache-2.0
// Max-pooling of one image, forward and backward, shared by the pool operator and the fused convolution; included once
// per instruction set.
#if defined(LOCKSTEP_KERNELS_POOL2D_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_KERNELS_POOL2D_INL_H_
#undef LOCKSTEP_KERNELS_POOL2D_INL_H_
#else
#define LOCKSTEP_KERNELS_POOL2D_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/arguments.h"
#include "kernels/pool2d/pool2d.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The input positions of one window that lie inside the image.
struct PoolWindow {
  int h_begin, h_end, w_begin, w_end;  // rows and columns of the image
  int h0, w0;                          // where the window starts, possibly outside
};

HWY_INLINE PoolWindow pool_window(const Pool2dParams& p, int oh, int ow, int pad_h, int pad_w) {
  const int h0 = oh * p.stride - pad_h, w0 = ow * p.stride - pad_w;
  return {std::max(h0, 0), std::min(h0 + p.window, p.H), std::max(w0, 0), std::min(w0 + p.window, p.W), h0, w0};
}

// A maximum and where it was found, for `lanes` channels. `D` is a vector tag.
template <class D>
struct PoolBest {
  hn::Vec<D> value;
  hn::Vec<hn::RebindToSigned<D>> index;
};

template <class D>
HWY_INLINE PoolBest<D> pool_best(D d, const Pool2dParams& p, const PoolWindow& win, const float* x) {
  const hn::RebindToSigned<D> di;
  PoolBest<D> best;
  bool first = true;
  for (int h = win.h_begin; h < win.h_end; ++h) {
    for (int w = win.w_begin; w < win.w_end; ++w) {
      const auto value = hn::LoadU(d, x + (int64_t{h} * p.W + w) * p.C);
      const auto index = hn::Set(di, (h - win.h0) * p.window + (w - win.w0));
      if (first) {
        best = {value, index};
        first = false;
        continue;
      }
      // A NaN wins over every number and then stays: Eq(x, x) is false for NaN alone. (Highway 1.0.3's Ne is an ordered
      // comparison with AVX2 and AVX-512: false for NaN.)
      const auto wins =
          hn::Or(hn::Gt(value, best.value), hn::And(hn::Not(hn::Eq(value, value)), hn::Eq(best.value, best.value)));
      best.value = hn::IfThenElse(wins, value, best.value);
      best.index = hn::IfThenElse(hn::RebindMask(di, wins), index, best.index);
    }
  }
  return best;
}

// Whether a window is 2 x 2 and inside the image, as nearly all are: then the loops over it are written out.
HWY_INLINE bool is_quad(const Pool2dParams& p, const PoolWindow& win) {
  return p.window == 2 && win.h_end - win.h_begin == 2 && win.w_end - win.w_begin == 2;
}

// pool_best of a quad, channels from c.
template <class D>
HWY_INLINE PoolBest<D> pool_best_of_quad(D d, const Pool2dParams& p, const PoolWindow& win, const float* x, int c) {
  const hn::RebindToSigned<D> di;
  const ptrdiff_t row = ptrdiff_t{p.W} * p.C;
  const float* corner = x + win.h_begin * row + ptrdiff_t{win.w_begin} * p.C + c;
  const auto v0 = hn::LoadU(d, corner), v1 = hn::LoadU(d, corner + p.C);
  const auto v2 = hn::LoadU(d, corner + row), v3 = hn::LoadU(d, corner + row + p.C);
  // Without a NaN a plain comparison does; the sum is NaN if any of them is.
  const auto sum = hn::Add(hn::Add(v0, v1), hn::Add(v2, v3));
  if (HWY_UNLIKELY(!hn::AllTrue(d, hn::Eq(sum, sum)))) return pool_best(d, p, win, x + c);
  const auto upper = hn::Gt(v1, v0), lower = hn::Gt(v3, v2);
  const auto top = hn::IfThenElse(upper, v1, v0), bottom = hn::IfThenElse(lower, v3, v2);
  const auto down = hn::Gt(bottom, top);
  const auto top_index = hn::IfThenElseZero(hn::RebindMask(di, upper), hn::Set(di, 1));
  const auto bottom_index = hn::IfThenElse(hn::RebindMask(di, lower), hn::Set(di, 3), hn::Set(di, 2));
  return {hn::IfThenElse(down, bottom, top), hn::IfThenElse(hn::RebindMask(di, down), bottom_index, top_index)};
}

template <class D>
HWY_INLINE void pool_store(D d, const PoolBest<D>& best, float* y, uint8_t* argmax) {
  hn::StoreU(best.value, d, y);
  if (argmax == nullptr) return;
  const hn::Rebind<uint8_t, D> d8;
  hn::StoreU(hn::DemoteTo(d8, best.index), d8, argmax);
}

// The input rows that output rows [0, oh] need end here.
HWY_INLINE int pool_rows_end(const Pool2dParams& p, int oh) {
  return std::min(oh * p.stride - p.dim_h().pad_before + p.window, p.H);
}

// Row oh of x (H, W, C) -> y, argmax (OH, OW, C), all dense; argmax may be null.
HWY_INLINE void pool_row_fwd(const Pool2dParams& p, int oh, const float* x, float* y, uint8_t* argmax) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const WindowDim dh = p.dim_h(), dw = p.dim_w();
  int64_t at = int64_t{oh} * dw.out * p.C;
  for (int ow = 0; ow < dw.out; ++ow, at += p.C) {
    const PoolWindow win = pool_window(p, oh, ow, dh.pad_before, dw.pad_before);
    int c = 0;
    if (is_quad(p, win) && argmax == nullptr) {
      // A loop of its own: the compiler then leaves out what finds the index.
      for (; c + lanes <= p.C; c += lanes) hn::StoreU(pool_best_of_quad(d, p, win, x, c).value, d, y + at + c);
    } else if (is_quad(p, win)) {
      for (; c + lanes <= p.C; c += lanes) {
        pool_store(d, pool_best_of_quad(d, p, win, x, c), y + at + c, argmax + at + c);
      }
    }
    for (; c + lanes <= p.C; c += lanes)
      pool_store(d, pool_best(d, p, win, x + c), y + at + c, offset_or_null(argmax, at + c));
    for (; c < p.C; ++c) pool_store(d1, pool_best(d1, p, win, x + c), y + at + c, offset_or_null(argmax, at + c));
  }
}

// All rows.
HWY_INLINE void pool_image_fwd(const Pool2dParams& p, const float* x, float* y, uint8_t* argmax) {
  for (int oh = 0; oh < p.OH(); ++oh) pool_row_fwd(p, oh, x, y, argmax);
}

// Where backward puts the gradient of a position: base + h * row + w * column + c.
struct PoolGradTarget {
  float* base;
  ptrdiff_t row, column;
};

// grad_y masked where y <= 0 when y is given (the ReLU before the pool), for the channels of one output position.
template <class D>
HWY_INLINE hn::Vec<D> pool_masked_grad(D d, const float* grad_y, const float* y) {
  const auto g = hn::LoadU(d, grad_y);
  return y == nullptr ? g : hn::IfThenZeroElse(hn::Le(hn::LoadU(d, y), hn::Zero(d)), g);
}

template <bool kAdd, class D>
HWY_INLINE void pool_scatter(D d, const Pool2dParams& p, const PoolWindow& win, hn::Vec<D> g, const uint8_t* argmax,
                             const PoolGradTarget& out, int c) {
  const hn::RebindToSigned<D> di;
  const hn::Rebind<uint8_t, D> d8;
  const auto winner = hn::PromoteTo(di, hn::LoadU(d8, argmax));
  for (int h = win.h_begin; h < win.h_end; ++h) {
    for (int w = win.w_begin; w < win.w_end; ++w) {
      const auto here = hn::RebindMask(d, hn::Eq(winner, hn::Set(di, (h - win.h0) * p.window + (w - win.w0))));
      float* to = out.base + h * out.row + w * out.column + c;
      const auto part = hn::IfThenElseZero(here, g);
      hn::StoreU(kAdd ? hn::Add(hn::LoadU(d, to), part) : part, d, to);
    }
  }
}

// pool_scatter<false> of a quad.
template <class D>
HWY_INLINE void pool_scatter_to_quad(D d, const PoolWindow& win, hn::Vec<D> g, const uint8_t* argmax,
                                     const PoolGradTarget& out, int c) {
  const hn::RebindToSigned<D> di;
  const hn::Rebind<uint8_t, D> d8;
  const auto winner = hn::PromoteTo(di, hn::LoadU(d8, argmax));
  float* const to = out.base + win.h_begin * out.row + win.w_begin * out.column + c;
  const auto part = [&](int position) HWY_ATTR {
    return hn::IfThenElseZero(hn::RebindMask(d, hn::Eq(winner, hn::Set(di, position))), g);
  };
  hn::StoreU(part(0), d, to);
  hn::StoreU(part(1), d, to + out.column);
  hn::StoreU(part(2), d, to + out.row);
  hn::StoreU(part(3), d, to + out.row + out.column);
}

// Spreads grad_y (OH, OW, C) over the input positions. Every position that no window covers must be zero already, and
// all of them when windows overlap (stride < window).
template <bool kAdd>
HWY_INLINE void pool_image_bwd(const Pool2dParams& p, const float* y, const uint8_t* argmax, const float* grad_y,
                               const PoolGradTarget& out) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const WindowDim dh = p.dim_h(), dw = p.dim_w();
  for (int oh = 0; oh < dh.out; ++oh) {
    for (int ow = 0; ow < dw.out; ++ow) {
      const PoolWindow win = pool_window(p, oh, ow, dh.pad_before, dw.pad_before);
      const ptrdiff_t at = (ptrdiff_t{oh} * dw.out + ow) * p.C;
      const auto y_at = [&](int c) { return offset_or_null(y, at + c); };
      int c = 0;
      if (!kAdd && is_quad(p, win)) {
        for (; c + lanes <= p.C; c += lanes) {
          const auto g = pool_masked_grad(d, grad_y + at + c, y_at(c));
          pool_scatter_to_quad(d, win, g, argmax + at + c, out, c);
        }
      }
      for (; c + lanes <= p.C; c += lanes) {
        const auto g = pool_masked_grad(d, grad_y + at + c, y_at(c));
        pool_scatter<kAdd>(d, p, win, g, argmax + at + c, out, c);
      }
      for (; c < p.C; ++c) {
        const auto g = pool_masked_grad(d1, grad_y + at + c, y_at(c));
        pool_scatter<kAdd>(d1, p, win, g, argmax + at + c, out, c);
      }
    }
  }
}

HWY_INLINE void pool_image_bwd(const Pool2dParams& p, const float* y, const uint8_t* argmax, const float* grad_y,
                               const PoolGradTarget& out) {
  p.stride < p.window ? pool_image_bwd<true>(p, y, argmax, grad_y, out)
                      : pool_image_bwd<false>(p, y, argmax, grad_y, out);
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_KERNELS_POOL2D_INL_H_
