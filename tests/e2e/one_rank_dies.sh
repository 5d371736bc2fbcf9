#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SIGKILL of one rank ends the whole job within 10 s, with a failure; the run resumes to the undisturbed weights.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

flags=(--train_steps 200 --train_batch_size 40 --log_step_count_steps 1 --save_checkpoints_secs 0)
make_mnist_like
train 1 "${flags[@]}" --output_dir "$work/undisturbed"

run=$work/run
start 3 "${flags[@]}" --save_checkpoints_steps 10 --output_dir "$run"
wait_until reached "$run" 15
victim=$(pgrep -f -- "$MNIST_TRAIN .*--output_dir $run" | grep -v -e "^$job\$" | tail -n 1)
begin=$SECONDS
kill -KILL "$victim"
status=0
wait "$job" || status=$?
[[ $status == 1 || $status == 137 ]] || fail "exit code $status, expected 137, or 1"
grep -qE 'rank [0-2] on [^ ]+ is gone: its process [0-9]+ has ended' "$work/log" || fail "the log names no rank, host and reason"
((SECONDS - begin <= 10)) || fail "the job took $((SECONDS - begin)) s to end"
train 2 "${flags[@]}" --output_dir "$run"
expect_equal "$(sha "$work/undisturbed")" "$(sha "$run")" "weights_sha256 after the loss of a rank"
