#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy over the library and program sources; not the tests, nor the Highway sources, each of which takes minutes to
# analyse. Needs build/release (cmake --preset release). Apart from test.sh, which has half an hour for everything.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

find core kernels io mpi serve -name '*.cc' ! -name '*_simd.cc' | sort |
  run xargs -r -P "$(cores)" -n 4 clang-tidy-14 -p build/release --quiet --warnings-as-errors='*'
