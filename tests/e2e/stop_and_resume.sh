#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SIGTERM to a rank, SIGUSR1 or SIGTERM to the launcher: all ranks stop after the same step, leave a checkpoint, say from where the
# run continues, and exit 0; continued, the weights are those of the undisturbed run.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

flags=(--train_steps 300 --train_batch_size 40 --log_step_count_steps 1)
make_mnist_like
train 1 "${flags[@]}" --output_dir "$work/undisturbed"
expected=$(sha "$work/undisturbed")

run=$work/one_rank
start 1 "${flags[@]}" --output_dir "$run"
wait_until reached "$run" 20
kill -TERM "$(pgrep -P "$job")"  # below `timeout`
wait "$job" || fail "exit code $? after SIGTERM"
expect_log "the same command continues from there"
[[ ! -f $run/run.json ]] || fail "the run was not stopped but finished"
train 1 "${flags[@]}" --output_dir "$run"
expect_equal "$expected" "$(sha "$run")" "weights_sha256 after SIGTERM"

run=$work/two_ranks
start 2 "${flags[@]}" --output_dir "$run"
wait_until reached "$run" 20
kill -USR1 "$(pgrep -P "$job")"  # mpirun passes it on
wait "$job" || fail "exit code $? after SIGUSR1 to mpirun"
expect_log "the same command continues from there"
[[ ! -f $run/run.json ]] || fail "the run was not stopped but finished"
train 2 "${flags[@]}" --output_dir "$run"
expect_equal "$expected" "$(sha "$run")" "weights_sha256 after SIGUSR1"

# After SIGTERM mpirun waits this long before it passes it on, and as long again before it kills; it reports the signal,
# whatever the ranks say. Meanwhile it does not read what they write: a rank that logs more than a pipe holds would block.
flags+=(--log_step_count_steps 50)
run=$work/terminated
export OMPI_MCA_odls_base_sigkill_timeout=3
start 2 "${flags[@]}" --train_steps 1000000 --output_dir "$run"
wait_until reached "$run" 20
kill -TERM "$(pgrep -P "$job")"
wait "$job" || true
# mpirun may leave before its ranks, and with it what they still say.
for ((i = 0; i < 3000; ++i)); do
  pgrep -f -- "--output_dir $run\$" >/dev/null || break
  sleep 0.01
done
[[ -f $run/checkpoint ]] || fail "no checkpoint after SIGTERM to mpirun"
stopped=$(sed -nE 's/^model_checkpoint_path: "model.ckpt-([0-9]+)"$/\1/p' "$run/checkpoint")
train 2 "${flags[@]}" --train_steps $((stopped + 10)) --output_dir "$run"
expect_log "resuming from $run/model.ckpt-$stopped"
train 1 "${flags[@]}" --train_steps $((stopped + 10)) --output_dir "$work/undisturbed2"
expect_equal "$(sha "$work/undisturbed2")" "$(sha "$run")" "weights_sha256 after SIGTERM to mpirun"
