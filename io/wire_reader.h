// SPDX-License-Identifier: Apache-2.0
// The fields of one protobuf message, walked without copying. For the hot path of reading training records, where the
// generated classes would allocate for every value.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

namespace lockstep {

enum WireType : uint32_t { kWireVarint = 0, kWireFixed64 = 1, kWireLength = 2, kWireFixed32 = 5 };

struct WireField {
  uint32_t number = 0;
  uint32_t wire_type = 0;
  uint64_t varint = 0;     // kWireVarint
  std::string_view bytes;  // kWireLength, kWireFixed64, kWireFixed32
};

// Walks the fields of one message. Every length is checked against what is left before it is used.
class WireReader {
 public:
  explicit WireReader(std::string_view message) : p_(message.data()), end_(message.data() + message.size()) {}

  // False at the end of the message or at bad bytes; tell them apart with ok().
  bool next(WireField* field) {
    if (p_ == end_ || bad_ != nullptr) return false;
    uint64_t tag;
    if (!read_varint(&tag)) return false;
    field->number = static_cast<uint32_t>(tag >> 3);
    field->wire_type = static_cast<uint32_t>(tag & 7);
    if (field->number == 0 || tag > std::numeric_limits<uint32_t>::max()) return fail("field number out of range");
    switch (field->wire_type) {
      case kWireVarint:
        return read_varint(&field->varint);
      case kWireFixed64:
        return take(sizeof(uint64_t), field);
      case kWireFixed32:
        return take(sizeof(uint32_t), field);
      case kWireLength: {
        uint64_t length;
        return read_varint(&length) && take(length, field);
      }
      default:
        return fail("unknown wire type");
    }
  }

  // The next varint of a packed list; same rules as next().
  bool next_packed(uint64_t* value) { return p_ != end_ && bad_ == nullptr && read_varint(value); }

  bool ok() const { return bad_ == nullptr; }
  const char* reason() const { return bad_; }
  const char* position() const { return p_; }

 private:
  bool read_varint(uint64_t* value) {
    // Nearly all of them have one byte.
    if (p_ != end_ && static_cast<unsigned char>(*p_) < 0x80) {
      *value = static_cast<unsigned char>(*p_++);
      return true;
    }
    return read_long_varint(value);
  }

  bool read_long_varint(uint64_t* value) {
    constexpr int kMostBits = 63;  // the tenth byte carries the last one
    uint64_t result = 0;
    for (int shift = 0; shift <= kMostBits; shift += 7) {
      if (p_ == end_) return fail("varint cut off");
      const auto byte = static_cast<unsigned char>(*p_++);
      result |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) {
        *value = result;
        return true;
      }
    }
    return fail("varint longer than 10 bytes");
  }

  bool take(uint64_t length, WireField* field) {
    if (length > static_cast<uint64_t>(end_ - p_)) return fail("length reaches past the end of its message");
    field->bytes = {p_, static_cast<size_t>(length)};
    p_ += length;
    return true;
  }

  bool fail(const char* reason) {
    bad_ = reason;
    return false;
  }

  const char* p_;
  const char* end_;
  const char* bad_ = nullptr;
};

}  // namespace lockstep
