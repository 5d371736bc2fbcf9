// SPDX-License-Identifier: Apache-2.0
// A device on the emulator, a stream, and buffers on it. Each test runs with threads ascending, descending and in a
// seeded order.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/device.h"
#include "kernels/cuda_device.h"
#include "kernels/emu/options.h"

namespace lockstep {

class EmulatedTest : public ::testing::TestWithParam<emu::ThreadOrder> {
 protected:
  EmulatedTest() : order_(emu::thread_order()) {
    emu::set_thread_order(GetParam());
    device_ = make_cuda_device(0).value();
    stream_ = device_->create_stream().value();
  }
  ~EmulatedTest() override {
    device_->destroy(stream_);
    emu::set_thread_order(order_);
  }

  // Device memory with these values.
  template <typename T>
  DeviceBuffer<T> buffer(const std::vector<T>& values) {
    DeviceBuffer<T> result = DeviceBuffer<T>::allocate(*device_, values.size()).value();
    EXPECT_TRUE(device_->copy(result.data(), values.data(), result.bytes(), stream_).ok());
    EXPECT_TRUE(device_->synchronize(stream_).ok());
    return result;
  }
  DeviceBuffer<float> buffer(size_t size) { return buffer(std::vector<float>(size, 0.0f)); }

  template <typename T>
  std::vector<T> values(const DeviceBuffer<T>& from) {
    std::vector<T> result(from.size());
    EXPECT_TRUE(device_->copy(result.data(), from.data(), from.bytes(), stream_).ok());
    EXPECT_TRUE(device_->synchronize(stream_).ok());
    return result;
  }

  // What comes of the launch: its own error, or that of its run.
  std::string outcome(const absl::Status& launched) {
    const absl::Status status = launched.ok() ? device_->synchronize(stream_) : launched;
    return status.ok() ? "ok" : std::string(status.message());
  }

  std::unique_ptr<Device> device_;
  DeviceStream stream_;

 private:
  const emu::ThreadOrder order_;
};

inline std::string order_test_name(const ::testing::TestParamInfo<emu::ThreadOrder>& info) {
  const char* const names[] = {"ascending", "descending", "seeded"};
  return names[static_cast<int>(info.param.kind)];
}

}  // namespace lockstep

#define LOCKSTEP_IN_ALL_ORDERS(suite)                                                                       \
  INSTANTIATE_TEST_SUITE_P(Orders, suite,                                                                   \
                           ::testing::Values(emu::ThreadOrder{}, emu::ThreadOrder{emu::Order::kDescending}, \
                                             emu::ThreadOrder{emu::Order::kSeeded, 7}),                     \
                           order_test_name)
