// SPDX-License-Identifier: Apache-2.0
#include "serve/grpc/parsed_size.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/wire_format.h>

#include <limits>
#include <map>

namespace lockstep {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormat;
using WireType = google::protobuf::internal::WireFormatLite::WireType;

constexpr int64_t kAllocation = 16;              // what the allocator adds
constexpr int64_t kPointer = 2 * sizeof(void*);  // lists grow by doubling
constexpr int64_t kString = sizeof(std::string) + kAllocation;
constexpr int64_t kMapNode = 96;                            // with its share of the table
constexpr int64_t kUnknownField = 64 + kPointer + kString;  // kept as they are

int64_t size_of_string(size_t length) {
  const auto bytes = static_cast<int64_t>(length);
  return bytes <= 15 ? kString : kString + bytes + 1 + kAllocation;
}

int64_t size_of_scalar(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT64:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return 8;
    case FieldDescriptor::CPPTYPE_BOOL:
      return 1;
    default:
      return 4;
  }
}

// The fewest bytes of a value in a packed list.
size_t least_wire_size(WireType type) {
  return type == WireType::WIRETYPE_FIXED64 ? 8 : type == WireType::WIRETYPE_FIXED32 ? 4 : 1;
}

class Scan {
 public:
  explicit Scan(int64_t most) : most_(most) {}

  // False when the bytes are no message. Recursion ends where the types do: none of ours is within itself.
  bool add_message(std::string_view bytes, const Descriptor& type) {
    int groups = 0;  // that are open: they are unknown to our types, and so is all within
    while (!bytes.empty() && size_ <= most_) {
      uint64_t tag = 0;
      if (!take_varint(bytes, tag) || tag > std::numeric_limits<uint32_t>::max() || tag >> 3 == 0) return false;
      const auto wire_type = static_cast<WireType>(tag & 7);
      const FieldDescriptor* field = groups > 0 ? nullptr : type.FindFieldByNumber(static_cast<int>(tag >> 3));
      if (wire_type == WireType::WIRETYPE_START_GROUP) ++groups;
      if (wire_type == WireType::WIRETYPE_END_GROUP && groups-- == 0) return false;
      std::string_view value;
      if (!take_value(bytes, wire_type, value) || !add_field(field, wire_type, value)) return false;
    }
    return groups == 0 || size_ > most_;
  }

  void add_object(const Descriptor& type) { size_ += size_of_object(type); }
  int64_t size() const { return size_; }

 private:
  static bool take_varint(std::string_view& bytes, uint64_t& value) {
    for (int shift = 0; shift < 70; shift += 7) {
      if (bytes.empty()) return false;
      const auto byte = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  static bool take(std::string_view& bytes, uint64_t size, std::string_view& value) {
    if (size > bytes.size()) return false;
    value = bytes.substr(0, size);
    bytes.remove_prefix(size);
    return true;
  }

  static bool take_value(std::string_view& bytes, WireType type, std::string_view& value) {
    uint64_t number = 0;
    switch (type) {
      case WireType::WIRETYPE_VARINT:
        return take_varint(bytes, number);
      case WireType::WIRETYPE_FIXED64:
        return take(bytes, 8, value);
      case WireType::WIRETYPE_FIXED32:
        return take(bytes, 4, value);
      case WireType::WIRETYPE_LENGTH_DELIMITED:
        return take_varint(bytes, number) && take(bytes, number, value);
      case WireType::WIRETYPE_START_GROUP:
      case WireType::WIRETYPE_END_GROUP:
        return true;
    }
    return false;
  }

  bool add_field(const FieldDescriptor* field, WireType type, std::string_view value) {
    const auto expected = field != nullptr ? WireFormat::WireTypeForFieldType(field->type()) : type;
    const bool is_packed =
        field != nullptr && expected != type && field->is_packable() && type == WireType::WIRETYPE_LENGTH_DELIMITED;
    if (field == nullptr || (expected != type && !is_packed)) {
      size_ += kUnknownField + static_cast<int64_t>(value.size());
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      size_ += kPointer;
      add_object(*field->message_type());
      return add_message(value, *field->message_type());
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      size_ += kPointer + size_of_string(value.size());
    } else if (field->is_repeated()) {
      const size_t count = is_packed ? value.size() / least_wire_size(expected) : 1;
      size_ += 2 * static_cast<int64_t>(count) * size_of_scalar(*field) + (count > 1 ? kAllocation : 0);
    }
    return true;
  }

  int64_t size_of_object(const Descriptor& type) {
    const auto known = objects_.find(&type);
    if (known != objects_.end()) return known->second;
    int64_t size = 0;
    if (type.options().map_entry()) {  // which is a node, with key and value in it, even when they are not sent
      const Descriptor* value = type.map_value()->message_type();
      size = kMapNode + kString + (value != nullptr ? size_of_object(*value) : kString);
    } else {
      const auto* empty = google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type);
      // Its first lists have room for some values.
      size = static_cast<int64_t>(empty->SpaceUsedLong()) + kAllocation + 64;
    }
    objects_[&type] = size;
    return size;
  }

  const int64_t most_;
  int64_t size_ = 0;
  std::map<const Descriptor*, int64_t> objects_;
};

}  // namespace

absl::StatusOr<int64_t> bound_parsed_size(std::string_view bytes, const Descriptor& type, int64_t most) {
  Scan scan(most);
  scan.add_object(type);
  if (!scan.add_message(bytes, type)) {
    return absl::InvalidArgumentError(
        fmt::format("the {} bytes of the request are no {}", bytes.size(), type.full_name()));
  }
  return scan.size();
}

absl::Status check_parsed_size(std::string_view bytes, const Descriptor& type) {
  const int64_t most = 8 * static_cast<int64_t>(bytes.size()) + (8 << 20);
  LOCKSTEP_ASSIGN_OR_RETURN(const int64_t size, bound_parsed_size(bytes, type, most));
  if (size <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("the {} bytes of the request, a {}, have too many small elements: they would take more than {} bytes "
                  "of memory. Send fewer in one request",
                  bytes.size(), type.full_name(), most));
}

}  // namespace lockstep
