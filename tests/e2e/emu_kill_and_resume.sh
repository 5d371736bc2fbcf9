#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# On the emulated GPU: one rank of two is killed, the job ends with a failure within 10 s; it resumes, is killed whole,
# and resumes on another number of ranks to the weights of the undisturbed run.
source "$(dirname "${BASH_SOURCE[0]}")/emu_common.sh"

flags=(--train_steps 14 --train_batch_size 8 --log_step_count_steps 1 --eval_steps 1 --eval_batch_size 15
       --save_checkpoints_secs 0)
make_small_images
on_gpu train 1 "${flags[@]}" --output_dir "$work/undisturbed"

run=$work/run
pids() { pgrep -f -- "^$MNIST_TRAIN_EMU .*--output_dir $run"; }
on_gpu start 2 "${flags[@]}" --save_checkpoints_steps 2 --output_dir "$run"
wait_until reached "$run" 4
begin=$SECONDS
kill -KILL "$(pids | tail -n 1)"
wait "$job" && fail "the job claims success without one of its ranks" || true
((SECONDS - begin <= 10)) || fail "the job took $((SECONDS - begin)) s to end"

on_gpu start 2 "${flags[@]}" --save_checkpoints_steps 2 --output_dir "$run"
wait_until reached "$run" 8
kill -KILL $(pids)
wait "$job" && fail "the killed run claims success" || true
end=$((SECONDS + 20))
while pids >/dev/null; do
  ((SECONDS < end)) || fail "ranks outlive their SIGKILL"
  sleep 0.05
done

on_gpu train 3 "${flags[@]}" --output_dir "$run"
expect_log "resuming from $run/model.ckpt-"
expect_equal "$(sha "$work/undisturbed")" "$(sha "$run")" "weights_sha256 after two kills"
