#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Plain all-reduces on the emulated GPU: the same run twice gives the same weights, and the losses are those of ordered
# sums but for rounding.
source "$(dirname "${BASH_SOURCE[0]}")/emu_common.sh"

flags=(--train_steps 5 --train_batch_size 16 --log_step_count_steps 1 --eval_steps 1 --eval_batch_size 15)
make_small_images
on_gpu train 2 "${flags[@]}" --output_dir "$work/ordered"
for run in first second; do
  on_gpu train 2 "${flags[@]}" --collective=nccl --output_dir "$work/$run"
  expect_equal "nccl all-reduce" "$(field "$work/$run" transport)" "transport"
done
expect_equal "$(sha "$work/first")" "$(sha "$work/second")" "weights_sha256 of the same run twice"
expect_close "$work/ordered" "$work/first" 1e-5 5
