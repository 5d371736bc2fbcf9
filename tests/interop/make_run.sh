#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the other checks look at, in $LOCKSTEP_INTEROP_DIR: records, request.json with all test images, run (three
# checkpoints, events of as many evaluations, the export of its end), frozen and model.onnx (more exports of it).
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

readonly bin=$LOCKSTEP_BIN_DIR out=$LOCKSTEP_INTEROP_DIR
rm -rf "$out"
run "$bin/lockstep" records create --source data/mnist --directory "$out/records"
run "$bin/lockstep" request create --data_dir "$out/records" -n 10000 --output "$out/request.json"
# 300 steps leave a model that is right in 98 of 100 cases, with probabilities that are not all 0 or 1.
run "$bin/mnist_train" --config configs/train/quick.yaml --data_dir "$out/records" --output_dir "$out/run" \
  --train_steps 300 --save_summary_steps 10 --log_step_count_steps 10 --save_checkpoints_secs 0 --save_checkpoints_steps 100
run "$bin/lockstep" export --model_dir "$out/run" --directory "$out/frozen" --frozen
run "$bin/lockstep" export --model_dir "$out/run" --directory "$out/model.onnx" --format onnx
