#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh PROGRAM CORPUS SECONDS [OPTION]... : one fuzz target for so long, from the corpus and what earlier runs have found
# beside the program (PROGRAM.corpus). An input that breaks it is kept there as PROGRAM.crash-… (leak-, oom-, timeout-,
# slow-unit-). The options are libFuzzer's.
set -euo pipefail
if (($# < 3)); then
  echo "usage: run.sh PROGRAM CORPUS SECONDS [OPTION]..." >&2
  exit 2
fi
readonly program=$1 corpus=$2 seconds=$3
shift 3

mkdir -p "$program.corpus"
options=(-verbosity=0 -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024
  -print_final_stats=1 -artifact_prefix="$program.")
if [[ -f $corpus.dict ]]; then options+=(-dict="$corpus.dict"); fi
export ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=0:detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
exec "$program" "${options[@]}" "$@" "$program.corpus" "$corpus"
