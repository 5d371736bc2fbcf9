#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two steps of the tutorial's network on the emulated GPU: 1, 2 and 4 ranks end with the same weights, and the losses are
# those of the CPU.
source "$(dirname "${BASH_SOURCE[0]}")/emu_common.sh"

small_model=$SOURCE_DIR/configs/models/mnist_cnn.yaml
# Five examples in four slices: with four ranks, one of them has two.
flags=(--train_steps 2 --train_batch_size 5 --grad_slices 4 --log_step_count_steps 1 --eval_steps 1 --eval_batch_size 2)
"$MAKE_IMAGES" "$work/data" 28 28 1 40 10
train 1 "${flags[@]}" --output_dir "$work/cpu"
for ranks in 1 2 4; do
  on_gpu train "$ranks" "${flags[@]}" --output_dir "$work/ranks$ranks"
  expect_log "backend=cuda (emulated"
  expect_equal "$(sha "$work/ranks1")" "$(sha "$work/ranks$ranks")" "weights_sha256 of $ranks ranks"
  expect_equal "$(field "$work/ranks1" loss)" "$(field "$work/ranks$ranks" loss)" "evaluation loss of $ranks ranks"
  [[ $ranks == 1 ]] || expect_equal nccl "$(field "$work/ranks$ranks" transport)" "transport of $ranks ranks"
  expect_close "$work/cpu" "$work/ranks$ranks" 1e-5 2
done
