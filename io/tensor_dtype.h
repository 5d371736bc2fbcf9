// SPDX-License-Identifier: Apache-2.0
// The types that a tensor's elements may have. Lockstep computes with few of them, but can name and look at all.
#pragma once

#include <string>

namespace lockstep {

// The numbers are TensorFlow's DataType. A file may hold other numbers too.
enum class TensorDtype : int {
  kFloat32 = 1,
  kDouble = 2,
  kInt32 = 3,
  kUint8 = 4,
  kInt16 = 5,
  kInt8 = 6,
  kString = 7,
  kComplex64 = 8,
  kInt64 = 9,
  kBool = 10,
  kQint8 = 11,
  kQuint8 = 12,
  kQint32 = 13,
  kBfloat16 = 14,
  kQint16 = 15,
  kQuint16 = 16,
  kUint16 = 17,
  kComplex128 = 18,
  kFloat16 = 19,
  kResource = 20,
  kVariant = 21,
  kUint32 = 22,
  kUint64 = 23
};

// "float32", as TensorFlow and NumPy call it; "type 42" for a number that is none of the above.
std::string dtype_name(TensorDtype dtype);
// Bytes of one element; 0 where elements have no fixed size (strings, resources, variants) and for other numbers.
int dtype_size(TensorDtype dtype);

}  // namespace lockstep
