#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The same program learns colour images of CIFAR's shape, Fashion-MNIST where it is installed, and the real digits.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

expect_accuracy() {  # DIRECTORY AT_LEAST
  awk -v got="$(field "$1" accuracy)" -v want="$2" 'BEGIN { exit !(got >= want) }' ||
    fail "accuracy $(field "$1" accuracy) of $1 is below $2"
}

"$MAKE_IMAGES" "$work/colour" 32 32 3 400 100
train 2 --data_dir "$work/colour" --model "$SOURCE_DIR/configs/models/cifar_cnn.yaml" --train_steps 30 \
  --train_batch_size 40 --output_dir "$work/cifar"
expect_accuracy "$work/cifar" 0.9

train 2 --data_dir "$SOURCE_DIR/data/mnist" --train_steps 600 --learning_rate 0.003 --lr_schedule cosine \
  --output_dir "$work/digits"
expect_accuracy "$work/digits" 0.95
expect_log "Saving dict for global step 600: accuracy = 0."

fashion=/usr/share/datasets/fashion-mnist
if [[ -d $fashion ]]; then
  train 2 --data_dir "$fashion" --train_steps 600 --learning_rate 0.003 --lr_schedule cosine \
    --output_dir "$work/fashion"
  expect_accuracy "$work/fashion" 0.78
else
  echo "Fashion-MNIST skipped: $fashion is not there (package dataset-fashion-mnist)"
fi
