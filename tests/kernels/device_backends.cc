// SPDX-License-Identifier: Apache-2.0
// Our kernels, and cuDNN's operators, on the emulator, once per thread order, or on a GPU: the programs that link one
// or the other.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <utility>

#include "kernels/cuda_device.h"
#include "kernels/device_ops_cuda.h"
#if LOCKSTEP_HAVE_CUDNN
#include "kernels/device_ops_cudnn.h"
#endif
#include "tests/support/backends.h"
#include "tests/support/staged_device.h"

#if defined(LOCKSTEP_EMULATED)
#include "kernels/emu/options.h"
#endif

namespace lockstep {
namespace {

// TF32 keeps 11 significant bits, bfloat16 8.
constexpr double kTf32Rounding = 0x1p-11, kBf16Rounding = 0x1p-8;

struct Entered {
  std::unique_ptr<Device> device;
  DeviceContext context;
  std::unique_ptr<StagedDevice> staged;

  ~Entered() { device->destroy(context.stream); }
};

// One arithmetic, in each order that a program can choose.
struct Arithmetic {
  std::string name;
  bool tensor_cores = false, bf16 = false;
  double factor_rounding = 0;
  Backend backend = Backend::kCuda;
};

const DeviceOps& ops_of([[maybe_unused]] Backend backend) {
#if LOCKSTEP_HAVE_CUDNN
  if (backend == Backend::kCudnn) return cudnn_device_ops();
#endif
  return cuda_device_ops();
}

std::shared_ptr<void> enter(KernelContext& context, const Arithmetic& a) {
#if defined(LOCKSTEP_EMULATED)
  constexpr size_t kGuardBytes = 0;
#else
  constexpr size_t kGuardBytes = 256;
#endif
  auto entered = std::make_shared<Entered>();
  entered->device = make_cuda_device(0).value();
  entered->context.device = entered->device.get();
  entered->context.ops = &ops_of(a.backend);
  entered->context.stream = entered->device->create_stream().value();
  entered->context.tensor_cores = a.tensor_cores;
  entered->context.bf16 = a.bf16;
  entered->staged = std::make_unique<StagedDevice>(entered->context, kGuardBytes);
  context.device = &entered->staged->context();
  return entered;
}

std::vector<BackendCase> in_each_order(const Arithmetic& a) {
#if defined(LOCKSTEP_EMULATED)
  const std::pair<const char*, emu::ThreadOrder> orders[] = {
      {"_ascending", {}}, {"_descending", {emu::Order::kDescending}}, {"_seeded", {emu::Order::kSeeded, 1}}};
  std::vector<BackendCase> cases;
  for (const auto& [name, order] : orders) {
    const auto enter_in_order = [a, order = order](KernelContext& context) {
      emu::set_thread_order(order);
      return enter(context, a);
    };
    cases.push_back({a.backend, 0, a.name + name, enter_in_order, a.factor_rounding});
  }
  return cases;
#else
  if (!cuda_device_count().ok()) return {};
  const auto enter_it = [a](KernelContext& context) { return enter(context, a); };
  return {{a.backend, 0, a.name, enter_it, a.factor_rounding}};
#endif
}

// Without a device there is no other test, and this one says so.
TEST(Device, IsThere) {
  const absl::Status status = cuda_device_count().status();
  const char* const required = std::getenv("LOCKSTEP_REQUIRE_GPU");
  if (!status.ok() && (required == nullptr || std::string(required) != "1")) {
    GTEST_SKIP() << "no GPU: " << std::string(status.message());
  }
  EXPECT_TRUE(status.ok()) << std::string(status.message());
}

}  // namespace

namespace {

std::vector<Arithmetic> arithmetics() {
  std::vector<Arithmetic> all{
      {"cuda"}, {"cuda_tf32", true, false, kTf32Rounding}, {"cuda_bf16", true, true, kBf16Rounding}};
#if LOCKSTEP_HAVE_CUDNN
  all.push_back({"cudnn", false, false, 0, Backend::kCudnn});
  all.push_back({"cudnn_tf32", true, false, kTf32Rounding, Backend::kCudnn});
#endif
  return all;
}

}  // namespace

std::vector<BackendCase> backends_under_test() {
  std::vector<BackendCase> all;
  for (const Arithmetic& a : arithmetics()) {
    const std::vector<BackendCase> cases = in_each_order(a);
    all.insert(all.end(), cases.begin(), cases.end());
  }
  return all;
}

std::vector<std::vector<BackendCase>> same_bits_backends() {
  std::vector<std::vector<BackendCase>> groups;
  for (const Arithmetic& a : arithmetics()) {
    std::vector<BackendCase> group = in_each_order(a);
    if (group.empty()) continue;
    if (group.size() == 1) {
      group.push_back(group.front());
      group.back().name += "_again";
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace lockstep
