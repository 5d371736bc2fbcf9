#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fashion.sh MODEL STEPS AT_LEAST : learns Fashion-MNIST (Debian's dataset-fashion-mnist) to this accuracy.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data=/usr/share/datasets/fashion-mnist
if [[ ! -d $data ]]; then
  echo "skipped: $data is not there (package dataset-fashion-mnist)"
  exit 77
fi
deadline_s=1500
train 2 --data_dir "$data" --model "$SOURCE_DIR/configs/models/$1" --train_steps "$2" --learning_rate 0.003 \
  --lr_schedule cosine --output_dir "$work/fashion"
expect_accuracy "$work/fashion" "$3"
