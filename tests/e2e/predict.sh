#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a trained run to the tutorial's table: export, request create, predict, here and by a server, pictures, inspect.
# Python, where there is one, makes the same files and the same table on its own.
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
expect_equal 7 "$(lockstep predict --model_dir run --image "$SOURCE_DIR/docs/images/seven.png" | classes)" "README's picture"

# The run ended with a SavedModel; an ONNX file beside it.
export_directory=$(echo run/export/Servo/*)
[[ $export_directory =~ /[0-9]+$ ]] || fail "expected one export, found $export_directory"
lockstep export --model_dir run --directory run/model.onnx --format onnx
# The weights are the same, and so is every digit of what they predict.
for model in "$export_directory" run/export/Servo run/model.onnx; do
  lockstep predict --model_dir "$model" --json-instances request.json >exported_table
  cmp table exported_table || fail "$model predicts other numbers than its run"
done

# serve FLAGS... : starts a server, which LOCKSTEP_HOST then names, and waits until it predicts with MNIST.
serve() {
  set -m
  timeout "$deadline_s" "$LOCKSTEP" serve --port 0 --rest_api_port 0 "$@" >server_log 2>&1 &
  job=$!
  set +m
  children+=("$job")
  wait_until grep -q 'REST API at http://[0-9.:]*/' server_log
  LOCKSTEP_HOST=$(sed -nE 's|.*REST API at (http://[0-9.:]*)/.*|\1|p' server_log)
  export LOCKSTEP_HOST
  wait_until is_ready
}
is_ready() { "$LOCKSTEP" predict --model MNIST --json-instances request.json >served_table; }

# The tutorial's command, to a server: the same table again.
serve --model_name MNIST --model_base_path run
cmp table served_table || fail "the server predicts other numbers than its model here"
expect_equal 7 "$(lockstep predict --model MNIST --image "$SOURCE_DIR/docs/images/seven.png" | classes)" "README's picture, by the server"

# And to a server of the registry, which has the run and the ONNX file as versions.
export LOCKSTEP_HOME=$work/registry
lockstep models create MNIST
lockstep versions create v1 --model MNIST --origin run
lockstep versions create v2 --model MNIST --origin run/model.onnx
expect_equal "v1 v2" "$(lockstep versions list --model MNIST | classes)" "versions"
serve
cmp table served_table || fail "the registry serves other numbers than the run"
asks_v2() { "$LOCKSTEP" predict --model MNIST --version v2 --json-instances request.json >served_table; }
wait_until asks_v2
cmp table served_table || fail "version v2 predicts other numbers than the run"

lockstep inspect run >inspected
for what in 'model.ckpt-1000.index .* verified' "${export_directory#run/} .*SavedModel .* verified" 'model.onnx .*ONNX'; do
  grep -q "^$what" inspected || fail "inspect does not tell of: $what"
done
printf 'x' | dd of="$export_directory/variables/variables.data-00000-of-00001" bs=1 seek=1000 conv=notrunc status=none
if "$LOCKSTEP" inspect run >inspected 2>/dev/null; then fail "a damaged export passes for sound"; fi
grep -q "^${export_directory#run/} .*DAMAGED" inspected || fail "inspect does not tell of the damaged export"

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
