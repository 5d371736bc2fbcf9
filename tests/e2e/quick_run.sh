#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# configs/train/quick.yaml on two ranks reaches its accuracy.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cd "$SOURCE_DIR"
deadline_s=400
timeout "$deadline_s" "$MPIEXEC" --oversubscribe --bind-to none -np 2 "$MNIST_TRAIN" --config configs/train/quick.yaml \
  --data_dir data/mnist --output_dir "$work/run" >"$work/log" 2>&1 || fail "exit code $?"
accuracy=$(field "$work/run" accuracy)
tail -n 2 "$work/log"
awk -v got="$accuracy" 'BEGIN { exit !(got >= 0.990) }' || fail "accuracy $accuracy is below 0.990"
