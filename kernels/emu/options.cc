// SPDX-License-Identifier: Apache-2.0
#include "kernels/emu/options.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

namespace lockstep::emu {
namespace {

template <typename T>
bool parse_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

ThreadOrder order_from_environment() {
  const char* const text = std::getenv("LOCKSTEP_EMU_ORDER");
  return text == nullptr ? ThreadOrder{} : parse_thread_order(text).value_or(ThreadOrder{});
}

int64_t memory_from_environment() {
  const char* const text = std::getenv("LOCKSTEP_EMU_MEMORY_MB");
  int64_t megabytes = 0;
  return text != nullptr && parse_number(text, megabytes) && megabytes > 0 ? megabytes << 20 : int64_t{8} << 30;
}

ThreadOrder& order_setting() {
  static ThreadOrder order = order_from_environment();
  return order;
}
int64_t& memory_setting() {
  static int64_t bytes = memory_from_environment();
  return bytes;
}

}  // namespace

absl::StatusOr<ThreadOrder> parse_thread_order(std::string_view text) {
  if (text == "ascending") return ThreadOrder{};
  if (text == "descending") return ThreadOrder{Order::kDescending};
  uint64_t seed = 0;
  if (parse_number(text, seed)) return ThreadOrder{Order::kSeeded, seed};
  return absl::InvalidArgumentError(
      fmt::format("thread order `{}`: expected ascending, descending or a number, the seed of an order", text));
}

ThreadOrder thread_order() { return order_setting(); }
void set_thread_order(ThreadOrder order) { order_setting() = order; }
int64_t device_memory_bytes() { return memory_setting(); }
void set_device_memory_bytes(int64_t bytes) { memory_setting() = bytes; }

}  // namespace lockstep::emu
