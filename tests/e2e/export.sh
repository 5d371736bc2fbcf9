#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Exports at the end of a run and by `lockstep export`: what lies where, what is said, what is refused.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cd "$work"
make_mnist_like

# export_model ARGUMENTS... : prints what it says.
export_model() { "$LOCKSTEP" export "$@" 2>"$work/log" || fail "exit code $? of: lockstep export $*"; }

# expect_refusal CODE MESSAGE ARGUMENTS...
expect_refusal() {
  local code=$1 message=$2 status=0
  shift 2
  "$LOCKSTEP" export "$@" >"$work/log" 2>&1 || status=$?
  expect_equal "$code" "$status" "exit code of: lockstep export $*"
  expect_log "$message"
}

# At the end of training, of two ranks; again only when there is something new; not when the run is told not to.
train 2 --train_steps 4 --output_dir run
expect_log "SavedModel written to: run/export/Servo/"
first=$(ls run/export/Servo)
train 1 --train_steps 4 --output_dir run
expect_equal "$first" "$(ls run/export/Servo)" "export of a finished run"
train 1 --train_steps 2 --output_dir run
expect_log "nothing is left to train: the run is at step 4, --train_steps=2 ends before that"
expect_equal "$first" "$(ls run/export/Servo)" "export of a run that is beyond its target"
train 1 --train_steps 8 --output_dir run
expect_log "removed the older export run/export/Servo/$first; --exports_to_keep keeps more"
second=$(ls run/export/Servo)
[[ $second != *$'\n'* && $second -gt $first ]] || fail "after $first and more training there is: $second"
train 1 --train_steps 2 --export=false --output_dir silent
[[ ! -e silent/export ]] || fail "--export=false exported"

# A place where nothing can be written: exit code 1, the run's results are there, and the same command tries again.
mkdir blocked
touch blocked/export
launch 2 --train_steps 4 --output_dir blocked
status=0
timeout "$deadline_s" "${command[@]}" >"$work/log" 2>&1 || status=$?
expect_equal 1 "$status" "exit code of a run that cannot export"
expect_log "the run is finished and its checkpoint is safe in blocked, but the export failed"
expect_equal 4 "$(field blocked steps)" "steps in run.json"
rm blocked/export
train 1 --train_steps 4 --output_dir blocked
expect_log "SavedModel written to: blocked/export/Servo/"

# By command: the newest checkpoint, an older one with its network, both formats.
for _ in 1 2 3; do export_model --model_dir run --directory kept --exports_to_keep 2 >said; done
expect_equal 2 "$(ls kept | wc -l)" "exports kept"
expect_equal "SavedModel written to: kept/$(ls kept | tail -n 1)/saved_model.pb" "$(<said)" "what it says"
cmp run/export/Servo/*/saved_model.pb kept/"$(ls kept | tail -n 1)"/saved_model.pb || fail "the run wrote another model"
cp run/model.ckpt-4.* .
export_model --checkpoint model.ckpt-4 --model "$small_model" --directory frozen --frozen >/dev/null
expect_equal saved_model.pb "$(ls frozen/*)" "a frozen export"
expect_equal "ONNX model written to: onnx/model.onnx" "$(export_model --model_dir run --format onnx --directory onnx)" \
  "what it says"
# What goes is named, on standard error.
export_model --model_dir run --directory kept >/dev/null
expect_equal 2 "$(grep -c "^lockstep: removed the older export kept/[0-9]*; --exports_to_keep N keeps more" log)" \
  "exports named as removed"
# The rate of a dropout is in no graph for prediction; who imports one is told.
"$LOCKSTEP" import --source kept --directory imported >/dev/null 2>"$work/log" || fail "import of a dropout"
expect_log "warning: node \`dropout/Identity\` (Identity): a dropout by its name, whose rate is not in a graph"

export_model --model_dir run --format onnx --directory named.onnx >/dev/null
cmp onnx/model.onnx named.onnx || fail "two ONNX files of one model differ"

expect_refusal 2 "--directory is required" --model_dir run
expect_refusal 2 "--model_dir" --directory x
expect_refusal 2 "saved_model" --model_dir run --directory x --format tflite
expect_refusal 2 "--frozen: is for --format saved_model" --model_dir run --directory x --format onnx --frozen
expect_refusal 1 "nowhere" --model_dir nowhere --directory x
expect_refusal 1 "copy the model.yaml of the training run there, or" --checkpoint model.ckpt-4 --directory x
expect_refusal 2 "named.onnx ends in .onnx: add --format onnx" --model_dir run --directory named.onnx
expect_refusal 2 "x.onnx ends in .onnx: add --format onnx" --model_dir run --directory x.onnx
[[ ! -e x ]] || fail "a refused export left x behind"
