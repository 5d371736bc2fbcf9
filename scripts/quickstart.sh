#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fresh machine to a trained, exported, predicting model: dependencies, build, records, two ranks of training, the
# tutorial's prediction. Prints each command it runs; fails when the model is worse than it should be. Safe to run again:
# it starts its own folder anew.
#   scripts/quickstart.sh [OUTPUT_DIR]     default out/quickstart
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly wanted_accuracy=0.990
readonly wanted_classes="7 2 1 0 4 1 4 9 5 9"  # of the first ten test images
readonly out=${1:-out/quickstart}
readonly bin=build/release/bin

# Open MPI refuses to run as root unless both are set; containers are root.
if [[ $(id -u) == 0 ]]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

say "Dependencies"
scripts/install_deps.sh

say "Build"
run cmake --preset release
run cmake --build --preset release --target lockstep mnist_train

say "Records: gzip IDX to TFRecord"
run "$bin/lockstep" records create --source data/mnist --directory "$out/records"

say "Training on two ranks"
run rm -rf "$out/run"  # a run that finds its own checkpoints would resume, and be done at once
# --oversubscribe: also where the host has one core. --bind-to none: ranks may use every core they are given.
run mpirun -np 2 --oversubscribe --bind-to none "$bin/mnist_train" --config configs/train/quick.yaml \
  --data_dir "$out/records" --output_dir "$out/run"

field() { sed -nE "s/.*\"$1\": *\"?([^\",}]*)\"?.*/\1/p" "$out/run/run.json" | head -n 1; }
failed() {
  echo "FAILED: $*" >&2
  exit 1
}
accuracy=$(field accuracy)

say "Result"
cat <<END
test accuracy   $accuracy (wanted: at least $wanted_accuracy)
training        $(printf %.0f "$(field train_seconds)") s, $(printf %.0f "$(field images_per_s)") images/s
weights sha256  $(field weights_sha256)
outputs         $out/run: checkpoints, run.json, TensorBoard events (tensorboard --logdir $out/run)
END
awk -v got="$accuracy" -v want="$wanted_accuracy" 'BEGIN { exit !(got >= want) }' ||
  failed "the accuracy is below $wanted_accuracy"

say "Export: the training ended with a SavedModel; an ONNX file beside it"
exports=("$out"/run/export/Servo/*)
readonly saved_model=${exports[-1]}
run "$bin/lockstep" export --model_dir "$saved_model" --directory "$out/run/export/model.onnx" --format onnx

say "Prediction: the first ten test images, by the SavedModel"
run "$bin/lockstep" request create --data_dir "$out/records" -n 10 --output "$out/request.json"
run "$bin/lockstep" predict --model_dir "$saved_model" --json-instances "$out/request.json" | tee "$out/predict.txt"
classes=$(tail -n +2 "$out/predict.txt" | cut -d ' ' -f 1 | paste -s -d ' ')
[[ $classes == "$wanted_classes" ]] || failed "predicted $classes, wanted $wanted_classes"
echo "OK"
