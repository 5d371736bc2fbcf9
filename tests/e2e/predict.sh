#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a trained run to the tutorial's table: request create, predict, pictures, inspect. Python, where there is one,
# makes the same files and the same table on its own.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly wanted="7 2 1 0 4 1 4 9 5 9"  # the first ten digits of the test set
cd "$work"

# lockstep ARGUMENTS... : its standard output; fails with what it says.
lockstep() { "$LOCKSTEP" "$@" 2>"$work/log" || fail "exit code $? of: lockstep $*"; }
classes() { tail -n +2 | cut -d ' ' -f 1 | paste -s -d ' '; }

train 1 --data_dir "$SOURCE_DIR/data/mnist" --train_steps 1000 --learning_rate 0.0015 --lr_schedule cosine \
  --output_dir "$work/run"

lockstep request create --data_dir "$SOURCE_DIR/data/mnist" -n 10
lockstep predict --model_dir run --json-instances request.json >table
expect_equal "CLASSES  PROBABILITIES" "$(head -n 1 table)" "heading"
expect_equal "$wanted" "$(classes <table)" "classes"
lockstep records create --source "$SOURCE_DIR/data/mnist" --directory records >/dev/null
lockstep request create --data_dir records -n 10 --output from_records.json
cmp request.json from_records.json || fail "records give another request than the IDX files"
lockstep inspect run >inspected
grep -q 'checkpoint.* verified' inspected || fail "no checkpoint was verified in the run"

if ! command -v python3 >/dev/null; then
  echo "no python3: its table was not compared"
  exit 0
fi
lockstep predict --model_dir run --json-instances request.json --json >predictions.json
python3 "$SOURCE_DIR/tests/e2e/predict_check.py" "$SOURCE_DIR/data/mnist" request.json predictions.json table || fail "Python disagrees"

# The pictures that it drew: ten times as large, dark on light, off the centre.
lockstep predict --model_dir run --image digit_{0..9}.png >pictures
expect_equal "$wanted" "$(classes <pictures)" "classes of the pictures"
# And as they are in the set, through base64: the same numbers as from the request, to the last digit.
lockstep predict --model_dir run --json-instances pixels.json >pixels
cmp table pixels || fail "bytes in base64 give other numbers than the request"
lockstep predict --model_dir run --json-instances png.json >png
cmp table png || fail "a PNG of a test image gives other numbers than the request"
