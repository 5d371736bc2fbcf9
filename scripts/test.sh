#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fresh machine to a passed test suite: dependencies, formatting, release build with warnings as errors, where nvcc is
# found with the CUDA library for every architecture that it ships, and every test (those of a GPU are skipped with the
# reason where there is none, and fail there with LOCKSTEP_REQUIRE_GPU=1); among them checks against TensorFlow and ONNX
# Runtime from PyPI (skipped where that is out of reach, unless LOCKSTEP_REQUIRE_INTEROP=1), and the fuzz targets on
# thousands of damaged copies of their seeds. That takes less than half an hour on two cores.
#   scripts/test.sh --sanitizers     also the unit tests under ASan+UBSan, a run of each fuzz target under these, the unit
#                                    tests under TSan: two more builds. CI does this.
# Goes on after a failure where it can; the last line is "N passed, N failed". Output of each stage stays in
# build/test-logs/. scripts/tidy.sh runs clang-tidy.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly logs=build/test-logs
passed=0 failed=0 summary=()
mkdir -p "$logs"

# GCC's ThreadSanitizer cannot place its shadow memory where the kernel randomizes addresses widely (Ubuntu 24.04).
fixed_addresses=()
if setarch "$(uname -m)" -R true 2>/dev/null; then fixed_addresses=(setarch "$(uname -m)" -R); fi

# stage NAME COMMAND... : runs it, logs it, and counts it: a ctest run by its tests, anything else as one.
stage() {
  local name=$1 log status=0 start=$SECONDS counts skipped note
  shift
  log=$logs/${name// /-}.log
  say "$name"
  "$@" 2>&1 | tee "$log" || status=$?
  counts=$(sed -nE 's/^[0-9]+% tests passed, ([0-9]+) tests? failed out of ([0-9]+)$/\2 \1/p' "$log" | tail -n 1)
  if [[ -n $counts ]]; then
    local total=${counts% *} bad=${counts#* }
    # ctest counts what it skipped, which it lists at the end, among the passed.
    skipped=$(grep -cE '^[[:space:]]+[0-9]+ - .* \(Skipped\)$' "$log") || true
    note=$([[ $skipped == 0 ]] || echo "  ($skipped skipped, see $log)")
    total=$((total - skipped))
    passed=$((passed + total - bad)) failed=$((failed + bad))
    summary+=("$(printf '%-28s %4d passed, %d failed  %5d s%s' "$name" $((total - bad)) "$bad" $((SECONDS - start)) "$note")")
  elif [[ $status == 0 ]]; then
    passed=$((passed + 1))
    summary+=("$(printf '%-28s passed  %20d s' "$name" $((SECONDS - start)))")
  fi
  # A ctest that failed without a failed test (no test found, crash) counts too.
  if [[ $status != 0 && ${counts#* } == 0 || $status != 0 && -z $counts ]]; then
    failed=$((failed + 1))
    summary+=("$(printf '%-28s FAILED (status %d), see %s' "$name" "$status" "$log")")
  fi
  return "$status"
}

# build PRESET [CMAKE_OPTION...]
build() { run cmake --preset "$@" && run "${fixed_addresses[@]}" cmake --build --preset "$1"; }
run_tests() {
  local preset=$1
  shift
  run "${fixed_addresses[@]}" ctest --preset "$preset" -j "$(cores)" --no-tests=error "$@"
}

# skip_reasons PRESET PATTERN : why tests did not run, each reason once with how many tests gave it.
skip_reasons() {
  local reasons
  reasons=$(grep -aoE "$2" "build/$1/Testing/Temporary/LastTest.log" | sort | uniq -c) || return 0
  printf 'Skipped:\n%s\n' "$reasons"
}

# Tests are labelled slow when they do not fit into this script's half hour.
release_suite() {
  # With the CUDA library wherever there is a toolkit: that it builds needs no GPU.
  local nvcc cuda=AUTO
  for nvcc in "${CUDACXX:-}" "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" nvcc; do
    if command -v "$nvcc" >/dev/null; then cuda=ON; fi
  done
  stage "build release" build release -DLOCKSTEP_CUDA="$cuda" || return
  # What needs TensorFlow runs among them, so that its waiting costs nothing.
  stage "tests release" run_tests release -LE '^slow$' || true
  skip_reasons release 'no GPU: [^]].*|^skipped: .*'
}
sanitizer_suite() {
  stage "build $1" build "$1" || return
  stage "unit tests $1" run_tests "$1" || true
  skip_reasons "$1" '^\[  SKIPPED \] .*\)$'  # within programs that passed, which ctest does not tell
}

our_sources() { find core kernels io mpi serve bench tests -regextype egrep -regex '.*\.(h|cc|cu|cuh)' | sort; }
format_check() { our_sources | run xargs -r clang-format-14 --dry-run -Werror; }

main() {
  if [[ $# -gt 1 || $# == 1 && $1 != --sanitizers ]]; then
    echo "$0: unknown argument \`$*\`, expected --sanitizers or nothing" >&2
    exit 2
  fi
  run scripts/install_deps.sh
  stage "format" format_check || true
  release_suite || true
  if [[ ${1:-} == --sanitizers ]]; then
    sanitizer_suite asan && stage "fuzz targets" run_tests fuzz || true
    sanitizer_suite tsan || true
  fi

  say "Summary ($((SECONDS / 60)) min $((SECONDS % 60)) s)"
  printf '%s\n' "${summary[@]}"
  echo "$passed passed, $failed failed"
  [[ $failed == 0 ]]
}

main "$@"
