#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Exit codes and messages of what goes wrong: 2 for usage, 1 for everything else, nothing half-written.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# expect_failure CODE MESSAGE RANKS FLAGS...
expect_failure() {
  local code=$1 message=$2 status=0
  shift 2
  launch "$@"
  timeout "$deadline_s" "${command[@]}" >"$work/log" 2>&1 || status=$?
  expect_equal "$code" "$status" "exit code of: ${command[*]}"
  expect_log "$message"
}

make_mnist_like
out=$work/out
expect_failure 2 "unknown flag --train_step (did you mean \`--train_steps\`?)" 1 --train_step 5
expect_failure 2 "or --warmup_steps 0 for none" 1 --lr_schedule cosine --warmup_steps 100 --train_steps 50
expect_failure 2 "train_batch_size must be a whole number" 2 --train_batch_size none
echo 'lernrate: 1' >"$work/bad.yaml"
expect_failure 2 "$work/bad.yaml:1: unknown key \`lernrate\`" 1 --config "$work/bad.yaml"
expect_failure 1 "$work/nowhere is no directory" 2 --data_dir "$work/nowhere" --output_dir "$out"
expect_failure 1 "--model=$work/missing.yaml: no such file; name a network" 1 --model "$work/missing.yaml" --output_dir "$out"
status=0
(cd "$work" && timeout "$deadline_s" "$MNIST_TRAIN" --data_dir data --output_dir "$out") >"$work/log" 2>&1 || status=$?
expect_equal 1 "$status" "exit code of a run elsewhere, without --model and --config"
expect_log "--model=configs/models/mnist_cnn.yaml: no such file (it is the default, relative to the root of"
expect_failure 1 "the train images are 28x28x1 (height, width, depth)" 1 \
  --model "$SOURCE_DIR/configs/models/cifar_cnn.yaml" --output_dir "$out"
expect_failure 1 "9 ranks need --grad_slices of at least 9, found 8: start at most 8 ranks" 9 --output_dir "$out"
expect_equal 1 "$(grep -c "9 ranks need" "$work/log")" "times that nine ranks say the same"
expect_failure 1 "the largest --train_batch_size that fits is" 1 --train_batch_size 2000000000 --output_dir "$out"
head -c 1000 "$work/data/train-images-idx3-ubyte" >"$work/cut"
mkdir "$work/cut_data"
cp "$work"/data/* "$work/cut_data"
mv "$work/cut" "$work/cut_data/train-images-idx3-ubyte"
expect_failure 1 "$work/cut_data/train-images-idx3-ubyte" 1 --data_dir "$work/cut_data" --output_dir "$out"
[[ ! -e $out ]] || fail "a run that never started left $out behind"

expect_failure 1 "non-finite loss at step 1 on rank" 2 --learning_rate 1e30 --output_dir "$out"
expect_log "layer "

if ldd "$MNIST_TRAIN" | grep -iE 'cuda|cudnn|nccl'; then fail "a CPU-only run loads the above"; fi
# No GPU, whatever this machine has: the library is looked for where it is not.
export LOCKSTEP_CUDA_LIBRARY=$work/liblockstep_cuda.so
expect_failure 1 "there is no CUDA library (looked for $work/liblockstep_cuda.so)" 2 --device cuda --output_dir "$out"
echo "no library" >"$LOCKSTEP_CUDA_LIBRARY"
expect_failure 1 "cannot load $work/liblockstep_cuda.so" 1 --device cuda --output_dir "$out"
expect_failure 2 "--backend=cuda runs on a GPU: add --device=cuda" 1 --backend cuda --output_dir "$out"
train 2 --device auto --train_steps 2 --output_dir "$work/auto"
expect_log "device=auto takes the CPU"
unset LOCKSTEP_CUDA_LIBRARY

train 1 --train_steps 3 --output_dir "$work/run"
expect_failure 1 "seed: 1 in the saved run, 2 now" 2 --train_steps 6 --seed 2 --output_dir "$work/run"
printf 'other pixels' | dd of="$work/data/train-images-idx3-ubyte" bs=1 seek=1000 conv=notrunc status=none
expect_failure 1 "train images: CRC-32C 0x" 2 --train_steps 6 --output_dir "$work/run"
