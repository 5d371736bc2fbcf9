#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every benchmark program's --json through `lockstep_bench report`, and what lockstep_bench says to an unknown flag.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fail() {
  echo "FAILED: $*" >&2
  exit 1
}

"$BIN/io_bench" --benchmark_filter='crc32c|shuffled' --benchmark_min_time=0.01 --json >"$work/rows"
"$BIN/kernels_bench" --benchmark_filter='^softmax_xent/100' --benchmark_min_time=0.01 --json >>"$work/rows"
"$MPIEXEC" --oversubscribe -np 2 "$BIN/all_reduce_bench" --json >>"$work/rows"
serve=("$BIN/lockstep_bench" serve --model "$SOURCE_DIR/configs/models/mnist_small.yaml" --data_dir "$SOURCE_DIR/data/mnist"
  --rounds 1 --seconds 0.05 --starts 1 --json)
"${serve[@]}" --train_steps 100 >>"$work/rows" 2>"$work/log" || fail "$(cat "$work/log")"
printf '<!-- bench:begin -->\n<!-- bench:end -->\n' >"$work/README.md"
"$BIN/lockstep_bench" report --rows "$work/rows" --readme "$work/README.md"
for expected in 'Reading and writing' '| crc32c | 875 bytes |' '| shuffled batch | 100 streamed |' '| images/s |' Operators \
  'Exchange of gradients' '| exchange | shm | 3274634 floats | 2 × 1 |' '| exchange | mpi |' 'GB/s |' 'Prediction over HTTP' '| Lockstep | 1 image, 64 connections |' \
  '| Lockstep | 100 images, 8 connections |' 'Goals of serving' '| start to ready |' '| < 300 ms |'; do
  grep -qF -- "$expected" "$work/README.md" || fail "no '$expected' in: $(cat "$work/README.md")"
done

# A model whose answers are all the same could not be told from a server that answers nonsense.
code=0
"${serve[@]}" --train_steps 1 >"$work/out" 2>"$work/log" || code=$?
[[ $code == 1 && ! -s $work/out ]] || fail "exit code $code for a model that has learned nothing: $(cat "$work/out")"
grep -qF 'train it longer (--train_steps)' "$work/log" || fail "$(cat "$work/log")"

code=0
"$BIN/lockstep_bench" train --stepz=3 >"$work/out" 2>&1 || code=$?
[[ $code == 2 ]] || fail "exit code $code for an unknown flag"
grep -qF 'unknown flag `--stepz` (did you mean `--steps`?)' "$work/out" || fail "$(cat "$work/out")"
code=0
"$BIN/lockstep_bench" trian >"$work/out" 2>&1 || code=$?
[[ $code == 2 ]] || fail "exit code $code for an unknown subcommand"
grep -qF 'unknown subcommand `trian` (did you mean `train`?)' "$work/out" || fail "$(cat "$work/out")"
