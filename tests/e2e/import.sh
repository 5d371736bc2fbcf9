#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A trained model leaves in every format and comes back: it predicts the same, and training goes on from it, on any number of
# ranks.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cd "$work"
make_mnist_like
lockstep() { "$LOCKSTEP" "$@" 2>"$work/log" || fail "exit code $? of: lockstep $*"; }
table() { lockstep predict --model_dir "$1" --json-instances request.json; }

train 1 --train_steps 20 --output_dir run
lockstep export --model_dir run --directory frozen --frozen >/dev/null
lockstep export --model_dir run --directory model.onnx --format onnx >/dev/null
lockstep request create --data_dir data -n 10 >/dev/null
table run >wanted
mkdir checkpoint
cp run/model.ckpt-20.* checkpoint/  # without its model.yaml

# Every format, imported: the same table, digit by digit; each variable is told.
import_and_compare() {  # NAME SOURCE FLAGS...
  local name=$1 source=$2
  shift 2
  lockstep import --source "$source" --directory "imported_$name" "$@" >said
  grep -qx 'dense .*' said || fail "import does not list the layers of $source"
  grep -q "step 20$" said || fail "import does not tell the step of $source"
  table "imported_$name" >found
  cmp wanted found || fail "$source predicts other numbers after its import"
}
import_and_compare saved_model run/export/Servo
import_and_compare frozen frozen
import_and_compare onnx model.onnx
import_and_compare checkpoint checkpoint/model.ckpt-20 --model "$small_model"

# Begun with the weights of each source, a run ends with the same weights: they are the same to the last bit.
train 1 --train_steps 10 --warm_start run --output_dir warm
warm=$(sha warm)
train 1 --train_steps 10 --output_dir cold
[[ $(sha cold) != "$warm" ]] || fail "a warm start makes no difference"
train 2 --train_steps 10 --warm_start run/export/Servo --output_dir warm_saved_model
train 1 --train_steps 10 --warm_start frozen --threads 2 --output_dir warm_frozen
train 2 --train_steps 10 --warm_start model.onnx --output_dir warm_onnx
train 1 --train_steps 10 --warm_start checkpoint/model.ckpt-20 --output_dir warm_checkpoint
for other in warm_saved_model warm_frozen warm_onnx warm_checkpoint; do
  expect_equal "$warm" "$(sha "$other")" "weights of $other"
done

# An imported model is a run of 20 steps, and goes on as one. ONNX and the description keep the dropout; a SavedModel has
# lost it.
continue_both() {  # MODEL IMPORTED IMPORTED
  small_model=$1
  train 1 --train_steps 25 --output_dir "$2"
  train 2 --train_steps 25 --output_dir "$3"
  expect_equal 20 "$(field "$2" resumed_from)" "step an import continues from"
  expect_equal "$(sha "$2")" "$(sha "$3")" "weights after an import and five steps"
}
continue_both "$small_model" imported_checkpoint imported_onnx
continue_both imported_saved_model/model.yaml imported_saved_model imported_frozen

# Refused: what is there already, what is no model, what is another network; nothing is left behind.
expect_refusal() {  # CODE MESSAGE COMMAND...
  local code=$1 message=$2 status=0
  shift 2
  "$@" >"$work/log" 2>&1 || status=$?
  expect_equal "$code" "$status" "exit code of: $*"
  expect_log "$message"
}
expect_refusal 1 "holds a run or a checkpoint already" "$LOCKSTEP" import --source run --directory imported_frozen
expect_refusal 1 "lockstep: data: not a model" "$LOCKSTEP" import --source data --directory new
expect_refusal 1 "--model FILE" "$LOCKSTEP" import --source checkpoint --directory new
expect_refusal 1 "another network" "$LOCKSTEP" import --source model.onnx --directory new \
  --model "$SOURCE_DIR/configs/models/mnist_cnn.yaml"
launch 2 --train_steps 10 --warm_start data --output_dir new
expect_refusal 1 "--warm_start: data: not a model" "${command[@]}"
[[ ! -e new/model.yaml ]] || fail "a refused import or warm start left new/model.yaml behind"
