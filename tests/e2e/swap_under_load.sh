#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# swap_under_load.sh [SECONDS [QUIET_SECONDS]] : load on `lockstep serve` (wrk, 64 connections, the tutorial's network), first
# quiet, then while a new version of the model appears each second. No request fails, no answer is wrong, the 99th
# percentile stays within twice the quiet one, and memory does not grow.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
if ! command -v wrk >/dev/null; then
  echo "SKIPPED: no wrk here (Debian's package wrk)"
  exit 77
fi
readonly seconds=${1:-60} quiet_seconds=${2:-15} connections=64
cd "$work"
export WORK=$work

# Two models of other weights: all that the versions to come are made of.
make_mnist_like
small_model=$SOURCE_DIR/configs/models/mnist_cnn.yaml
for which in 1 2; do
  train 1 --seed "$which" --train_steps 2 --train_batch_size 16 --eval_steps 1 --output_dir "run$which"
  mv "run$which"/export/Servo/* "model$which"
done
"$LOCKSTEP" request create --data_dir data -n 1 --output request.json 2>"$work/log" || fail "request create"
printf '{"instances": [%s]}' "$(cat request.json)" >body.json

version=0
offer() {
  version=$((version + 1))
  cp -rl "model$((version % 2 + 1))" next
  mkdir -p base
  mv next "base/$version"
  rm -rf "base/$((version - 3))"
}
ask() { curl -sS --max-time 30 -d @body.json "$url:predict"; }
resident_kib() { sed -nE 's/^VmRSS:[[:space:]]*([0-9]+) kB$/\1/p' "/proc/$job/status"; }
# figure NAME FILE : a value of wrk's last line.
figure() { sed -nE "s/^.*\\b$1=([0-9]+)\\b.*$/\\1/p" "$2"; }
load() { wrk -t 1 -c "$connections" -d "$1" --timeout 30 -s "$SOURCE_DIR/tests/e2e/swap_under_load.lua" "$url:predict" >"$2" || fail "wrk: $(cat "$2")"; }
serves() { curl -sS --max-time 30 "$url" | grep -A 1 "\"version\": \"$1\"" | grep -q AVAILABLE; }

offer
set -m
timeout $((seconds + quiet_seconds + 120)) "$LOCKSTEP" serve --port 0 --rest_api_port 0 --model_name m --model_base_path base >"$work/log" 2>&1 &
job=$!
set +m
children+=("$job")
wait_until grep -q 'REST API at http' "$work/log"
# timeout's child is the server.
server=$(pgrep -P "$job")
url=$(sed -nE 's|^.*REST API at (http://[^/]*)/.*$|\1|p' "$work/log")/v1/models/m
wait_until serves 1
ask >answer1
offer
wait_until serves 2
ask >answer2
cmp -s answer1 answer2 && fail "both models answer the same"
for answer in answer1 answer2; do grep -q '"predictions"' "$answer" || fail "no prediction: $(cat "$answer")"; done

load "$quiet_seconds" quiet
job=$server
before_kib=$(resident_kib)
first=$version
load "$seconds" swapping &
wrk_job=$!
end=$((SECONDS + seconds - 1))
while ((SECONDS < end)); do
  offer
  sleep 1
done
wait "$wrk_job"
sleep 2  # until the version before the last one is gone: before, there was one alone
after_kib=$(resident_kib)
swaps=$(grep -c 'Serving version' "$work/log")

tail -n 1 quiet | sed 's/^/quiet:    /'
tail -n 1 swapping | sed 's/^/swapping: /'
echo "versions offered: $((version - first)), served: $((swaps - 2)); resident: $((before_kib / 1024)) MiB before, $((after_kib / 1024)) MiB after"
for phase in quiet swapping; do
  expect_equal 0 "$(figure wrong $phase)" "wrong answers, $phase"
  expect_equal 0 "$(figure failed $phase)" "failed requests, $phase"
done
((swaps - 2 >= (version - first) * 8 / 10)) || fail "only $((swaps - 2)) of $((version - first)) versions were served"
(($(figure p99_us swapping) <= 2 * $(figure p99_us quiet))) || fail "the 99th percentile more than doubles"
((after_kib <= before_kib * 5 / 4 + 32 * 1024)) || fail "memory grows"
