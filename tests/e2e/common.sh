# SPDX-License-Identifier: Apache-2.0
# What the end-to-end tests share. ctest passes MNIST_TRAIN, LOCKSTEP, MAKE_IMAGES, MPIEXEC and SOURCE_DIR.
set -euo pipefail

work=$(mktemp -d)
children=()
clean_up() {
  for child in "${children[@]}"; do kill -KILL -- "-$child" 2>/dev/null || true; done
  rm -rf "$work"
}
trap clean_up EXIT

# Open MPI refuses to run as root unless both are set; containers are root.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

fail() {
  echo "FAILED: $*" >&2
  if [[ -f $work/log ]]; then
    echo "--- last lines of the run:" >&2
    tail -n 15 "$work/log" >&2
  fi
  exit 1
}

small_model=$SOURCE_DIR/configs/models/mnist_small.yaml
deadline_s=150

make_mnist_like() { "$MAKE_IMAGES" "$work/data" 28 28 1 1500 300; }

# launch RANKS FLAGS... : the command line of a run, in the array `command`.
launch() {
  local ranks=$1
  shift
  command=("$MNIST_TRAIN" --data_dir "$work/data" --model "$small_model" --threads 1 "$@")
  if [[ $ranks != 1 ]]; then command=("$MPIEXEC" --oversubscribe --bind-to none -np "$ranks" "${command[@]}"); fi
}

# train RANKS FLAGS... : runs to the end; log in $work/log; fails with it.
train() {
  launch "$@"
  timeout "$deadline_s" "${command[@]}" >"$work/log" 2>&1 || fail "exit code $? of: ${command[*]}"
}

# start RANKS FLAGS... : the same in the background, in a process group of its own; its id in `job`.
start() {
  launch "$@"
  set -m
  timeout "$deadline_s" "${command[@]}" >"$work/log" 2>&1 &
  job=$!
  set +m
  children+=("$job")
}

# wait_until COMMAND... : polls until it succeeds.
wait_until() {
  local end=$((SECONDS + deadline_s))
  until "$@" 2>/dev/null; do
    ((SECONDS < end)) || fail "timed out waiting for: $*"
    kill -0 "$job" 2>/dev/null || fail "the run ended before: $*"
    sleep 0.01
  done
}

# field DIRECTORY KEY : a value of run.json.
field() { sed -nE "s/^  \"$2\": \"?([^\",]*)\"?,?$/\1/p" "$1/run.json"; }
sha() { field "$1" weights_sha256; }

# reached DIRECTORY STEP : metrics.jsonl tells of this step or a later one.
reached() {
  local last
  last=$(sed -nE 's/.*"kind":"train".*"step":([0-9]+).*/\1/p' "$1/metrics.jsonl" | tail -n 1)
  [[ -n $last && $last -ge $2 ]]
}

expect_equal() { [[ -n $1 && $1 == "$2" ]] || fail "$3: expected $1, got $2"; }
expect_log() { grep -qF -- "$1" "$work/log" || fail "the log does not say: $1"; }

expect_accuracy() {  # DIRECTORY AT_LEAST
  awk -v got="$(field "$1" accuracy)" -v want="$2" 'BEGIN { exit !(got >= want) }' ||
    fail "accuracy $(field "$1" accuracy) of $1 is below $2"
}
