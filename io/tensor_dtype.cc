// SPDX-License-Identifier: Apache-2.0
#include "io/tensor_dtype.h"

#include <fmt/format.h>

#include <array>

namespace lockstep {
namespace {

struct TypeRow {
  const char* name = nullptr;
  int size_bytes = 0;
};

// By the number of the type.
constexpr std::array<TypeRow, 24> kTypes{{{},
                                          {"float32", 4},
                                          {"float64", 8},
                                          {"int32", 4},
                                          {"uint8", 1},
                                          {"int16", 2},
                                          {"int8", 1},
                                          {"string", 0},
                                          {"complex64", 8},
                                          {"int64", 8},
                                          {"bool", 1},
                                          {"qint8", 1},
                                          {"quint8", 1},
                                          {"qint32", 4},
                                          {"bfloat16", 2},
                                          {"qint16", 2},
                                          {"quint16", 2},
                                          {"uint16", 2},
                                          {"complex128", 16},
                                          {"float16", 2},
                                          {"resource", 0},
                                          {"variant", 0},
                                          {"uint32", 4},
                                          {"uint64", 8}}};

TypeRow row_of(TensorDtype dtype) {
  const auto number = static_cast<unsigned>(dtype);
  return number < kTypes.size() ? kTypes[number] : TypeRow{};
}

}  // namespace

std::string dtype_name(TensorDtype dtype) {
  const char* name = row_of(dtype).name;
  return name == nullptr ? fmt::format("type {}", static_cast<int>(dtype)) : name;
}

int dtype_size(TensorDtype dtype) { return row_of(dtype).size_bytes; }

}  // namespace lockstep
