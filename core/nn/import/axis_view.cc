// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/axis_view.h"

#include <utility>

#include "core/base/check.h"

namespace lockstep {

AxisView::AxisView(std::span<const int64_t> sizes) : axes_(sizes.size()) {
  int64_t stride = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    LOCKSTEP_CHECK_GT(sizes[i], 0);
    if (sizes[i] > 1) axes_[i].push_back({sizes[i], stride});
    stride *= sizes[i];
  }
}

int64_t AxisView::size_of(const Axis& axis) {
  int64_t size = 1;
  for (const Factor& factor : axis) size *= factor.size;
  return size;
}

std::vector<int64_t> AxisView::sizes() const {
  std::vector<int64_t> sizes;
  for (const Axis& axis : axes_) sizes.push_back(size_of(axis));
  return sizes;
}

int64_t AxisView::elements() const { return size_of(factors()); }

std::vector<AxisView::Factor> AxisView::factors() const {
  std::vector<Factor> all;
  for (const Axis& axis : axes_) {
    for (const Factor& factor : axis) {
      if (!all.empty() && all.back().stride == factor.size * factor.stride) {
        all.back() = {all.back().size * factor.size, factor.stride};
      } else {
        all.push_back(factor);
      }
    }
  }
  return all;
}

bool AxisView::reshape(std::span<const int64_t> sizes) {
  std::vector<Factor> left = factors();
  size_t next = 0;  // the first factor that is not used up
  std::vector<Axis> axes;
  for (const int64_t size : sizes) {
    if (size < 1) return false;
    Axis axis;
    int64_t wanted = size;
    while (wanted > 1) {
      if (next == left.size()) return false;
      Factor& factor = left[next];
      if (wanted % factor.size == 0) {
        axis.push_back(factor);
        wanted /= factor.size;
        ++next;
      } else if (factor.size % wanted == 0) {
        axis.push_back({wanted, factor.stride * (factor.size / wanted)});
        factor.size /= wanted;
        wanted = 1;
      } else {
        return false;
      }
    }
    axes.push_back(std::move(axis));
  }
  if (next != left.size()) return false;
  axes_ = std::move(axes);
  return true;
}

void AxisView::transpose(std::span<const int> permutation) {
  LOCKSTEP_CHECK_EQ(permutation.size(), axes_.size());
  std::vector<Axis> axes;
  for (const int axis : permutation) axes.push_back(axes_[static_cast<size_t>(axis)]);
  axes_ = std::move(axes);
}

bool AxisView::is_run(int axis, int64_t size) const {
  const Axis& factors = axes_[static_cast<size_t>(axis)];
  return size == 1 ? factors.empty() : factors.size() == 1 && factors[0].size == size && factors[0].stride == 1;
}

bool AxisView::is_contiguous() const {
  const std::vector<Factor> all = factors();
  int64_t stride = 1;
  for (size_t i = all.size(); i-- > 0;) {
    if (all[i].stride != stride) return false;
    stride *= all[i].size;
  }
  return true;
}

std::vector<int64_t> AxisView::order() const {
  std::vector<int64_t> order{0};
  for (const Factor& factor : factors()) {
    std::vector<int64_t> finer;
    finer.reserve(order.size() * static_cast<size_t>(factor.size));
    for (const int64_t base : order) {
      for (int64_t i = 0; i < factor.size; ++i) finer.push_back(base + i * factor.stride);
    }
    order = std::move(finer);
  }
  return order;
}

}  // namespace lockstep
