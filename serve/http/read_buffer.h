// SPDX-License-Identifier: Apache-2.0
// Bytes that have been read and not yet understood. One thread at a time.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>

namespace lockstep {

class ReadBuffer {
 public:
  std::string_view view() const { return {data_.get() + begin_, end_ - begin_}; }
  void consume(size_t bytes) {
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
  }

  // Room for at least one byte more and, where `wanted` is more than there is, for so many in all. What was there
  // moves.
  void make_room(size_t wanted) {
    if (end_ < capacity_ && capacity_ >= wanted) return;
    const size_t held = end_ - begin_;
    // A buffer that is full from its begin on must grow; otherwise moving to the front is enough.
    const size_t capacity = std::max({capacity_, wanted, held + held / 2});
    auto data = std::unique_ptr<char[]>(new char[capacity]);
    if (held > 0) std::memcpy(data.get(), data_.get() + begin_, held);
    data_ = std::move(data);
    capacity_ = capacity;
    begin_ = 0;
    end_ = held;
  }
  char* room() { return data_.get() + end_; }
  size_t room_size() const { return capacity_ - end_; }
  void commit(size_t bytes) { end_ += bytes; }

  // Gives memory back that only a large request needed.
  void shrink(size_t capacity) {
    if (capacity_ <= capacity || end_ > begin_) return;
    data_.reset();
    capacity_ = begin_ = end_ = 0;
  }

 private:
  std::unique_ptr<char[]> data_;
  size_t capacity_ = 0, begin_ = 0, end_ = 0;
};

}  // namespace lockstep
