#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The same program learns colour images of CIFAR's shape and the real digits.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$MAKE_IMAGES" "$work/colour" 32 32 3 400 100
train 2 --data_dir "$work/colour" --model "$SOURCE_DIR/configs/models/cifar_cnn.yaml" --train_steps 30 \
  --train_batch_size 40 --output_dir "$work/cifar"
expect_accuracy "$work/cifar" 0.9

train 2 --data_dir "$SOURCE_DIR/data/mnist" --train_steps 600 --learning_rate 0.003 --lr_schedule cosine \
  --output_dir "$work/digits"
expect_accuracy "$work/digits" 0.95
expect_log "Saving dict for global step 600: accuracy = 0."
