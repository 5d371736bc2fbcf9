// SPDX-License-Identifier: Apache-2.0
// One list of cases per operator, for tests, gradient checks and benchmarks. The names are unique within a list and
// usable in a test name.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "kernels/conv2d/conv2d.h"
#include "kernels/dense/dense.h"
#include "kernels/pool2d/pool2d.h"

namespace lockstep {

struct Conv2dCase {
  std::string name;
  Conv2dParams p;
  Pool2dParams pool;  // fits behind the convolution
};
struct Pool2dCase {
  std::string name;
  Pool2dParams p;
};
struct DenseCase {
  std::string name;
  DenseParams p;
};
struct DropoutCase {
  std::string name;
  int64_t N = 0, units = 0;
  float rate = 0;
};
struct SoftmaxCase {
  std::string name;
  int64_t N = 0;
  int C = 0;
};
struct AdamCase {
  std::string name;
  int64_t count = 0;
  std::vector<int> term_slices;  // sizes of the gradient's terms
};

std::vector<Conv2dCase> conv2d_cases();
std::vector<Pool2dCase> pool2d_cases();
std::vector<DenseCase> dense_cases();
std::vector<DropoutCase> dropout_cases();
std::vector<SoftmaxCase> softmax_cases();
std::vector<AdamCase> adam_cases();

// "N2 7x5x3 filter 3x3x10 stride 2 SAME relu", for reports.
std::string shape_of(const Conv2dCase& c);
std::string shape_of(const Pool2dCase& c);
std::string shape_of(const DenseCase& c);
std::string shape_of(const DropoutCase& c);
std::string shape_of(const SoftmaxCase& c);
std::string shape_of(const AdamCase& c);

// What GoogleTest prints for a parameter.
inline std::ostream& operator<<(std::ostream& out, const Conv2dCase& c) { return out << shape_of(c); }
inline std::ostream& operator<<(std::ostream& out, const Pool2dCase& c) { return out << shape_of(c); }
inline std::ostream& operator<<(std::ostream& out, const DenseCase& c) { return out << shape_of(c); }
inline std::ostream& operator<<(std::ostream& out, const SoftmaxCase& c) { return out << shape_of(c); }

}  // namespace lockstep
