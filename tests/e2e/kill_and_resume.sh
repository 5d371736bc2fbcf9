#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill_and_resume.sh RANKS RESUME_RANKS : SIGKILL at several moments, with a checkpoint written after every second step
# so that many of them fall into a write; each resume ends, or is killed again. The weights in the end are those of the
# undisturbed run.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ranks=$1 resume_ranks=$2
flags=(--train_steps 160 --train_batch_size 40 --augment_shift 1 --log_step_count_steps 1 --eval_steps 1
       --save_checkpoints_secs 0)
make_mnist_like
train 1 "${flags[@]}" --output_dir "$work/undisturbed"
expected=$(sha "$work/undisturbed")

run=$work/run
pids() { pgrep -f -- "--output_dir $run"; }
kill_all() {  # launcher and ranks at once, then waits until they are gone: a straggler would write into the resumed run
  local end=$((SECONDS + 20))
  kill -KILL $(pids)
  wait "$job" && fail "the killed run claims success" || true
  while pids >/dev/null; do
    ((SECONDS < end)) || fail "ranks outlive their SIGKILL"
    sleep 0.05
  done
}
checkpoints_of() { ls "$run" | grep -c 'model.ckpt-.*index' || true; }
half_written() { compgen -G "$run/*.tmp.*" >/dev/null; }

start "$ranks" "${flags[@]}" --save_checkpoints_steps 2 --output_dir "$run"
wait_until reached "$run" 7
kill_all
[[ $(checkpoints_of) -ge 1 ]] || fail "no checkpoint before the first kill"

start "$ranks" "${flags[@]}" --save_checkpoints_steps 2 --output_dir "$run"
wait_until reached "$run" 30
wait_until half_written
kill_all

start "$resume_ranks" "${flags[@]}" --save_checkpoints_steps 2 --output_dir "$run"
wait_until reached "$run" 60
kill_all

train "$resume_ranks" "${flags[@]}" --output_dir "$run"
expect_log "resuming from $run/model.ckpt-"
[[ $(field "$run" resumed_from) -gt 0 ]] || fail "the last run started from the beginning"
expect_equal "$expected" "$(sha "$run")" "weights_sha256 after three kills"
compgen -G "$run/*.tmp.*" >/dev/null && fail "temporary files are left behind" || true
