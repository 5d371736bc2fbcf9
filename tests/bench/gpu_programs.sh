#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The benchmarks of GPUs: on the emulated GPU all run to the end, with right results and without times; where there is no
# GPU they say so and succeed, or fail if one is required.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export ASAN_OPTIONS=detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}  # Open MPI leaves some memory behind
fail() {
  echo "FAILED: $*" >&2
  exit 1
}
# rows RANKS ARGUMENTS... : rows of the emulated program, also as JSON; appended to what the report shows.
rows() {
  local ranks=$1
  shift
  local run=()
  [[ $ranks == 1 ]] || run=("$MPIEXEC" --oversubscribe -np "$ranks")
  "${run[@]}" "$BIN/lockstep_bench_emu" "$@" --json >"$work/now" || fail "$*: $(cat "$work/now")"
  cat "$work/now" >>"$work/rows"
}

rows 1 gpu_kernels --shapes=tiny
for ranks in 2 3; do rows $ranks gpu_all_reduce --floats 1000 2000003 --runs 2; done
train=(train --device=cuda --model="$SOURCE_DIR/tests/e2e/emu_model.yaml" --train_batch_size 8 16 --steps 12 --warmup 4)
rows 1 "${train[@]}"
rows 1 "${train[@]}" --backend=cudnn --precision=tf32
rows 2 "${train[@]}"
printf '<!-- bench:begin -->\n<!-- bench:end -->\n' >"$work/README.md"
"$BIN/lockstep_bench" report --rows "$work/rows" --readme "$work/README.md"
for expected in '| fused multiply-add | fp32 |' '| mma.sync | tf32 |' '| mma.sync | bf16 |' '| copy | fp32 |' \
  '| conv2d_fwd | cuda fp32 | 3x6x6x16 3x3x8 |' '| conv2d_fwd | cudnn fp32 |' '| conv2d_bwd_data | cudnn tf32 |' \
  '| conv2d_bwd_filter | cuda bf16 |' '| conv2d_pool_bwd_filter | cudnn tf32 |' '| pool2d_max_fwd | cudnn fp32 |' \
  '| dense_bwd_filter | cuda tf32 |' '| softmax_xent | cudnn fp32 |' '| dropout_fwd | cuda fp32 |' '| adam_update | cuda fp32 |' \
  '| pool2d_max_bwd | cuda fp32 |' '| dropout_bwd | cuda fp32 |' '| softmax | cuda fp32 |' '| softmax | cudnn fp32 |' \
  '| scale_images | cuda fp32 |' '| tree_sum | cuda fp32 | 8 slices of 1003 |' \
  '| ordered | nccl | 2000003 floats | 3 × 1 |' '| plain | nccl all-reduce | 1000 floats | 2 × 1 |' \
  '| Lockstep | cuda fp32 emulated' '| Lockstep | cudnn tf32 emulated' '| batch 16 | 2 × '; do
  grep -qF -- "$expected" "$work/README.md" || fail "no '$expected' in: $(cat "$work/README.md")"
done
for unwanted in FAILED median spread images/s GFLOP GB/s\ \| 'of peak' 'as fast'; do
  if grep -F -- "$unwanted" "$work/README.md"; then fail "'$unwanted' in the rows of an emulated GPU"; fi
done

# Two steps after which the loss of this seed has risen: a step that does not train has no time.
code=0
"$BIN/lockstep_bench_emu" train --device=cuda --model="$SOURCE_DIR/tests/e2e/emu_model.yaml" --train_batch_size 1 \
  --steps 1 --warmup 1 --seed 6 >"$work/out" 2>&1 || code=$?
[[ $code == 1 ]] || fail "exit code $code of steps that do not train: $(cat "$work/out")"
grep -qE '^train .* FAILED$' "$work/out" || fail "no failed row: $(cat "$work/out")"

# not_run STATUS ARGUMENTS... : the real program, which finds no GPU.
not_run() {
  local code=0
  "$BIN/lockstep_bench" "${@:2}" >"$work/out" 2>&1 || code=$?
  [[ $code == "$1" ]] || fail "exit code $code of ${*:2}: $(cat "$work/out")"
}
export CUDA_VISIBLE_DEVICES=
unset LOCKSTEP_REQUIRE_GPU
for arguments in gpu_peak gpu_kernels gpu_all_reduce 'train --device=cuda'; do
  # shellcheck disable=SC2086
  not_run 0 $arguments
  grep -q '^not run: .' "$work/out" || fail "no reason: $(cat "$work/out")"
  # shellcheck disable=SC2086
  LOCKSTEP_REQUIRE_GPU=1 not_run 1 $arguments
done
