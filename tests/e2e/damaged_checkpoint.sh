#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A damaged newest checkpoint is passed over, with the reason; when none is sound the run refuses to start over.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

flags=(--train_steps 30 --train_batch_size 40 --save_checkpoints_steps 10)
make_mnist_like
train 1 "${flags[@]}" --output_dir "$work/undisturbed"
run=$work/run
train 1 "${flags[@]}" --output_dir "$run" --train_steps 20

flip_byte() {  # of file $1 at offset $2
  local byte
  byte=$(od -An -tu1 -j "$2" -N1 "$1" | tr -d ' ')
  printf "$(printf '\\x%02x' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

flip_byte "$run/model.ckpt-20.data-00000-of-00001" 4321
train 2 "${flags[@]}" --output_dir "$run"
expect_log "model.ckpt-20"
expect_log "resuming from $run/model.ckpt-10"
expect_equal "$(sha "$work/undisturbed")" "$(sha "$run")" "weights_sha256 after the fallback"

for data in "$run"/model.ckpt-*.data-*; do flip_byte "$data" 100; done
launch 1 "${flags[@]}" --output_dir "$run"
status=0
timeout "$deadline_s" "${command[@]}" >"$work/log" 2>&1 || status=$?
expect_equal 1 "$status" "exit code without a sound checkpoint"
expect_log "none of its"
