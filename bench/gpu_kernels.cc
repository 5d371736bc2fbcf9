// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_kernels.h"

#include <fmt/format.h>

#include <utility>

#include "bench/kernel_check.h"

namespace lockstep {
namespace {

struct Variant {
  Backend backend;
  const char* precision;
  float tolerance;
};

// Ours and cuDNN's of one precision stand next to each other. cuDNN takes bfloat16 products from arrays of bfloat16
// alone, which we do not keep.
std::vector<Variant> variants_of(const GpuSession& session, const TimedKernel& kernel) {
  std::vector<Variant> variants;
  const bool cudnn = kernel.in_cudnn && session.library().cudnn != nullptr;
  variants.push_back({Backend::kCuda, "fp32", kFloatTolerance});
  if (cudnn) variants.push_back({Backend::kCudnn, "fp32", kFloatTolerance});
  if (!kernel.products) return variants;
  variants.push_back({Backend::kCuda, "tf32", kTf32Tolerance});
  if (cudnn) variants.push_back({Backend::kCudnn, "tf32", kTf32Tolerance});
  variants.push_back({Backend::kCuda, "bf16", kBf16Tolerance});
  return variants;
}

// A work's operands in device memory.
class DeviceOperands {
 public:
  static absl::StatusOr<DeviceOperands> allocate(Device& device, const KernelWork& work) {
    DeviceOperands operands;
    for (const std::vector<float>& array : work.floats) {
      LOCKSTEP_ASSIGN_OR_RETURN(operands.floats_.emplace_back(), DeviceBuffer<float>::allocate(device, array.size()));
    }
    LOCKSTEP_ASSIGN_OR_RETURN(operands.labels_, DeviceBuffer<int32_t>::allocate(device, work.labels.size()));
    LOCKSTEP_ASSIGN_OR_RETURN(operands.bytes_, DeviceBuffer<uint8_t>::allocate(device, work.bytes.size()));
    LOCKSTEP_ASSIGN_OR_RETURN(operands.out_, DeviceBuffer<float>::allocate(device, static_cast<size_t>(work.out_size)));
    return operands;
  }

  // As they are before the first call.
  absl::Status fill(GpuSession& session, const KernelWork& work) const {
    Device& device = session.device();
    for (size_t i = 0; i < floats_.size(); ++i) {
      const DeviceBuffer<float>& array = floats_[i];
      LOCKSTEP_RETURN_IF_ERROR(device.copy(array.data(), work.floats[i].data(), array.bytes(), session.stream()));
    }
    LOCKSTEP_RETURN_IF_ERROR(device.copy(labels_.data(), work.labels.data(), labels_.bytes(), session.stream()));
    LOCKSTEP_RETURN_IF_ERROR(device.copy(bytes_.data(), work.bytes.data(), bytes_.bytes(), session.stream()));
    return device.fill_zero(out_.data(), out_.bytes(), session.stream());
  }
  absl::StatusOr<std::vector<Result>> results(GpuSession& session, const KernelWork& work) const {
    std::vector<std::vector<float>> floats(floats_.size());
    for (size_t i = 0; i < work.updated.size(); ++i) {
      if (!work.updated[i].empty()) LOCKSTEP_RETURN_IF_ERROR(fetch(session, floats_[i], &floats[i]));
    }
    std::vector<uint8_t> bytes;
    std::vector<float> out;
    LOCKSTEP_RETURN_IF_ERROR(fetch(session, bytes_, &bytes));
    LOCKSTEP_RETURN_IF_ERROR(fetch(session, out_, &out));
    return results_of(work, out, floats, bytes);
  }
  Operands operands() const {
    Operands operands{{}, labels_.data(), bytes_.data(), out_.data()};
    for (const DeviceBuffer<float>& array : floats_) operands.floats.push_back(array.data());
    return operands;
  }

 private:
  template <typename T>
  static absl::Status fetch(GpuSession& session, const DeviceBuffer<T>& from, std::vector<T>* to) {
    to->resize(from.size());
    LOCKSTEP_RETURN_IF_ERROR(session.device().copy(to->data(), from.data(), from.bytes(), session.stream()));
    return session.device().synchronize(session.stream());
  }

  std::vector<DeviceBuffer<float>> floats_;
  DeviceBuffer<int32_t> labels_;
  DeviceBuffer<uint8_t> bytes_;
  DeviceBuffer<float> out_;
};

absl::StatusOr<std::vector<Result>> on_cpu(const KernelWork& work, ThreadPool& pool) {
  HostOperands operands(work);
  LOCKSTEP_RETURN_IF_ERROR(work.run({.backend = Backend::kSimd, .pool = &pool}, operands.operands()));
  return operands.results(work);
}

// What is known of a kernel when one of its variants is measured.
struct Setting {
  GpuSession& session;
  const KernelWork& work;
  const DeviceOperands& operands;
  const std::vector<Result>& expected;
  int runs;
};

// The seconds of its runs; none on the emulator. Work may still be under way after an error.
absl::StatusOr<std::vector<double>> check_and_time(const Setting& setting, const KernelContext& ctx, float tolerance) {
  const KernelWork& work = setting.work;
  const Operands operands = setting.operands.operands();
  const auto enqueue = [&] {
    return work.run_by_library ? work.run_by_library(setting.session.library(), ctx, operands)
                               : work.run(ctx, operands);
  };
  LOCKSTEP_RETURN_IF_ERROR(setting.operands.fill(setting.session, work));
  LOCKSTEP_RETURN_IF_ERROR(enqueue());
  LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<Result> got, setting.operands.results(setting.session, work));
  LOCKSTEP_RETURN_IF_ERROR(check_results(setting.expected, got, tolerance));
  return setting.session.time(enqueue, setting.runs);
}

absl::StatusOr<std::vector<double>> measure_variant(const Setting& setting, const Variant& variant) {
  GpuSession& session = setting.session;
  DeviceContext device = session.context(variant.backend);
  device.tensor_cores = variant.tolerance != kFloatTolerance;
  device.bf16 = variant.tolerance == kBf16Tolerance;
  const KernelContext ctx{.backend = variant.backend, .device = &device};
  const int64_t scratch = setting.work.workspace_bytes ? setting.work.workspace_bytes(ctx) : 0;
  LOCKSTEP_ASSIGN_OR_RETURN(const auto workspace,
                            DeviceBuffer<char>::allocate(session.device(), static_cast<size_t>(scratch)));
  device.workspace = workspace.data();
  device.workspace_bytes = workspace.bytes();
  absl::StatusOr<std::vector<double>> seconds = check_and_time(setting, ctx, variant.tolerance);
  const absl::Status idle = session.device().synchronize(session.stream());  // before memory goes
  if (seconds.ok() && !idle.ok()) return idle;
  return seconds;
}

void fill(const KernelWork& work, const GpuPeaks& peaks, const Summary& seconds, BenchRow* row) {
  row->set_time(seconds);
  if (work.flops > 0) row->gflops = work.flops / row->median_s * 1e-9;
  row->gbytes_per_s = work.moved_bytes / row->median_s * 1e-9;
  row->percent_of_peak = peaks.percent(row->dtype, work.flops, work.moved_bytes, row->median_s);
}

}  // namespace

absl::StatusOr<std::vector<BenchRow>> measure_gpu_kernel(GpuSession& session, ThreadPool& pool, const GpuPeaks& peaks,
                                                         const TimedKernel& kernel, int runs) {
  const KernelWork work = kernel.make(kernel.N);
  LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<Result> expected, on_cpu(work, pool));
  LOCKSTEP_ASSIGN_OR_RETURN(const DeviceOperands operands, DeviceOperands::allocate(session.device(), work));
  std::vector<BenchRow> rows;
  double ours = 0;  // seconds, of the precision at hand
  for (const Variant& variant : variants_of(session, kernel)) {
    BenchRow row = session.row("gpu kernel", kernel.op);
    row.shape = kernel.shape;
    row.dtype = variant.precision;
    row.backend = fmt::format("{} {}", backend_name(variant.backend), variant.precision);
    const auto seconds = measure_variant({session, work, operands, expected, runs}, variant);
    if (!seconds.ok()) {
      row.fail(std::string(seconds.status().message()));
    } else if (!seconds->empty()) {
      fill(work, peaks, summarize(*seconds), &row);
    }
    if (variant.backend == Backend::kCuda) ours = row.median_s;
    if (variant.backend == Backend::kCudnn && ours > 0 && row.median_s > 0) row.ratio = row.median_s / ours;
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace lockstep
