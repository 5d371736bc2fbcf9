// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "kernels/conv2d/conv2d_impl.h"
#include "kernels/pool2d/pool2d_impl.h"
#include "kernels/slice_sum_ref.h"

namespace lockstep::ref {
namespace {

// Offset of input (n, ., ., 0) under filter position (r, s) of output (oh, ow), or -1 in the padding.
int64_t input_offset(const Conv2dParams& p, int64_t n, int oh, int ow, int r, int s) {
  const int h = oh * p.stride + r - p.dim_h().pad_before;
  const int w = ow * p.stride + s - p.dim_w().pad_before;
  if (h < 0 || h >= p.H || w < 0 || w >= p.W) return -1;
  return ((n * p.H + h) * p.W + w) * p.C;
}

int64_t filter_offset(const Conv2dParams& p, int r, int s, int c) { return ((int64_t{r} * p.S + s) * p.C + c) * p.K; }

// Calls visit(x offset, w offset of filter 0, y offset of filter 0) for every pair of input and output that a filter
// position of examples [begin, end) connects. The three passes differ only in which of the three they sum into. A pass
// may take minutes: each example is a sign of life.
template <typename Visit>
void for_each_connection(const KernelContext& ctx, const Conv2dParams& p, int64_t begin, int64_t end, Visit&& visit) {
  const int OH = p.OH(), OW = p.OW();
  for (int64_t n = begin; n < end; ++n) {
    count_task(ctx.pool);
    for (int oh = 0; oh < OH; ++oh) {
      for (int ow = 0; ow < OW; ++ow) {
        const int64_t out = ((n * OH + oh) * OW + ow) * p.K;
        for (int r = 0; r < p.R; ++r) {
          for (int s = 0; s < p.S; ++s) {
            const int64_t in = input_offset(p, n, oh, ow, r, s);
            if (in < 0) continue;
            for (int c = 0; c < p.C; ++c) visit(in + c, filter_offset(p, r, s, c), out);
          }
        }
      }
    }
  }
}

// The gradient behind the ReLU, if there is one.
double masked_grad(const Conv2dParams& p, const float* y, const float* grad_y, int64_t i) {
  return p.relu && y[i] <= 0 ? 0.0 : grad_y[i];
}

std::vector<double> zeros(int64_t size) { return std::vector<double>(static_cast<size_t>(size)); }

void round_to_float(const std::vector<double>& from, float* to) {
  for (const double value : from) *to++ = static_cast<float>(value);
}

}  // namespace

absl::Status conv2d_fwd(const KernelContext& ctx, const Conv2dParams& p, const float* x, const float* w, const float* b,
                        float* y) {
  std::vector<double> sum = zeros(p.N * p.OH() * p.OW() * p.K);
  for (size_t i = 0; i < sum.size(); ++i) sum[i] = b[i % static_cast<size_t>(p.K)];
  for_each_connection(ctx, p, 0, p.N, [&](int64_t in, int64_t filter, int64_t out) {
    for (int k = 0; k < p.K; ++k) sum[static_cast<size_t>(out + k)] += double{x[in]} * w[filter + k];
  });
  if (p.relu) {
    for (double& value : sum) value = value < 0 ? 0.0 : value;
  }
  round_to_float(sum, y);
  return absl::OkStatus();
}

absl::Status conv2d_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const float* w, const float* y,
                             const float* grad_y, float* grad_x) {
  std::vector<double> sum = zeros(p.N * p.H * p.W * p.C);
  for_each_connection(ctx, p, 0, p.N, [&](int64_t in, int64_t filter, int64_t out) {
    for (int k = 0; k < p.K; ++k) {
      sum[static_cast<size_t>(in)] += masked_grad(p, y, grad_y, out + k) * w[filter + k];
    }
  });
  round_to_float(sum, grad_x);
  return absl::OkStatus();
}

absl::Status conv2d_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices,
                               const float* x, const float* y, const float* grad_y, GradOutput grad_w,
                               GradOutput grad_b) {
  const int64_t image = int64_t{p.OH()} * p.OW() * p.K, size_w = p.filter_size();
  write_partial_sums(slices, size_w, grad_w, grad_b, [&](int64_t begin, int64_t end) {
    std::vector<double> sum = zeros(size_w + p.K);
    for_each_connection(ctx, p, begin, end, [&](int64_t in, int64_t filter, int64_t out) {
      for (int k = 0; k < p.K; ++k) {
        sum[static_cast<size_t>(filter + k)] += x[in] * masked_grad(p, y, grad_y, out + k);
      }
    });
    for (int64_t i = begin * image; i < end * image; ++i) {
      sum[static_cast<size_t>(size_w + i % p.K)] += masked_grad(p, y, grad_y, i);
    }
    return std::vector<float>(sum.begin(), sum.end());
  });
  return absl::OkStatus();
}

absl::Status conv2d_pool_fwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool, const float* x,
                             const float* w, const float* b, float* y, uint8_t* argmax) {
  std::vector<float> full(static_cast<size_t>(p.N * p.OH() * p.OW() * p.K));
  LOCKSTEP_RETURN_IF_ERROR(ref::conv2d_fwd(ctx, p, x, w, b, full.data()));
  return ref::pool2d_max_fwd(ctx, pool, full.data(), y, argmax);
}

namespace {

// The gradient with respect to the convolution's sums: masked by the pooled ReLU, then spread to the maxima.
std::vector<float> unpooled_grad(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                 const float* y, const uint8_t* argmax, const float* grad_y) {
  std::vector<float> masked(static_cast<size_t>(pool.N * pool.OH() * pool.OW() * pool.C));
  for (size_t i = 0; i < masked.size(); ++i) masked[i] = p.relu && y[i] <= 0 ? 0.0f : grad_y[i];
  std::vector<float> full(static_cast<size_t>(pool.N * pool.H * pool.W * pool.C));
  ref::pool2d_max_bwd(ctx, pool, argmax, masked.data(), full.data()).IgnoreError();
  return full;
}

Conv2dParams without_relu(Conv2dParams p) {
  p.relu = false;
  return p;
}

}  // namespace

absl::Status conv2d_pool_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                  const float* w, const float* y, const uint8_t* argmax, const float* grad_y,
                                  float* grad_x) {
  const std::vector<float> grad = unpooled_grad(ctx, p, pool, y, argmax, grad_y);
  return ref::conv2d_bwd_data(ctx, without_relu(p), w, nullptr, grad.data(), grad_x);
}

absl::Status conv2d_pool_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const GradSlices& slices, const float* x, const float* y, const uint8_t* argmax,
                                    const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
  const std::vector<float> grad = unpooled_grad(ctx, p, pool, y, argmax, grad_y);
  return ref::conv2d_bwd_filter(ctx, without_relu(p), slices, x, nullptr, grad.data(), grad_w, grad_b);
}

}  // namespace lockstep::ref
