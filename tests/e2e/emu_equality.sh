#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# emu_equality.sh [FLAGS...] : on the emulated GPU, 1, 2, 3 and 4 ranks end with the same weights, with and without a graph;
# the losses are those of the CPU within the tolerance of docs/numerics.md.
source "$(dirname "${BASH_SOURCE[0]}")/emu_common.sh"

flags=(--train_steps 8 --train_batch_size 19 --log_step_count_steps 1 --learning_rate 0.005 --eval_batch_size 15
       --eval_steps 2 "$@")
backend=cuda
for flag in "$@"; do
  [[ $flag != --backend=* ]] || backend=${flag#--backend=}
done
make_small_images
on_gpu train 1 "${flags[@]}" --output_dir "$work/one"
expect_log "backend=$backend (emulated"
expected=$(sha "$work/one")
for ranks in 2 3 4; do
  on_gpu train "$ranks" "${flags[@]}" --output_dir "$work/ranks$ranks"
  expect_equal "$expected" "$(sha "$work/ranks$ranks")" "weights_sha256 of $ranks ranks"
  expect_equal "$(field "$work/one" loss)" "$(field "$work/ranks$ranks" loss)" "evaluation loss of $ranks ranks"
  expect_equal nccl "$(field "$work/ranks$ranks" transport)" "transport of $ranks ranks"
done
on_gpu train 2 "${flags[@]}" --cuda_graph=false --output_dir "$work/direct"
expect_equal "$expected" "$(sha "$work/direct")" "weights_sha256 without a graph"

tolerance=1e-5
cpu_flags=()
for flag in "${flags[@]}"; do
  case $flag in
    --precision=tf32) tolerance=1e-3 ;;
    --precision=bf16) tolerance=1e-2 ;;
    --backend=*) ;;
    *) cpu_flags+=("$flag") ;;
  esac
done
if [[ $tolerance != 1e-5 ]]; then
  on_gpu train 1 "${cpu_flags[@]}" --output_dir "$work/fp32"
  [[ $(sha "$work/fp32") != "$expected" ]] || fail "the weights are those of fp32: no tensor core was used"
fi
train 1 "${cpu_flags[@]}" --output_dir "$work/cpu"
expect_close "$work/cpu" "$work/one" "$tolerance" 8
