#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Three steps of the tutorial's network on the emulated GPU: the losses are those of the CPU.
source "$(dirname "${BASH_SOURCE[0]}")/emu_common.sh"

small_model=$SOURCE_DIR/configs/models/mnist_cnn.yaml
flags=(--train_steps 3 --train_batch_size 4 --grad_slices 2 --log_step_count_steps 1 --eval_steps 1 --eval_batch_size 2)
"$MAKE_IMAGES" "$work/data" 28 28 1 40 10
train 1 "${flags[@]}" --output_dir "$work/cpu"
on_gpu train 2 "${flags[@]}" --output_dir "$work/gpu"
expect_close "$work/cpu" "$work/gpu" 1e-5 3
