# SPDX-License-Identifier: Apache-2.0
# What the end-to-end tests of the emulated GPU share. ctest passes MNIST_TRAIN_EMU too.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Under AddressSanitizer: Open MPI leaves some memory behind when it is done.
export ASAN_OPTIONS=detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}

deadline_s=600  # emulation shares a busy machine badly
small_model=$SOURCE_DIR/tests/e2e/emu_model.yaml
make_small_images() { "$MAKE_IMAGES" "$work/data" 10 9 1 120 30; }

# on_gpu train|start|launch RANKS FLAGS... : the same with the program of the emulator. A captured step is one call there,
# which gives no sign of life for as long as it takes on a busy machine.
on_gpu() { MNIST_TRAIN=$MNIST_TRAIN_EMU "$@" --device=cuda --stall_timeout_secs=600; }

losses() { sed -nE 's/.*"kind":"train".*"loss":([^,}]*).*/\1/p; s/.*"loss":([^,}]*).*"kind":"train".*/\1/p' "$1/metrics.jsonl"; }

# expect_close DIRECTORY DIRECTORY TOLERANCE STEPS : the losses of all steps differ by at most this, relative to 1 or the
# first.
expect_close() {
  local report
  report=$(paste <(losses "$1") <(losses "$2") | awk -v tolerance="$3" -v steps="$4" '
    { scale = $1 > 1 ? $1 : 1; off = ($1 - $2) / scale; if (off < 0) off = -off
      if (!(NF == 2 && off <= tolerance)) print "step " NR ": " $1 " and " $2
      if (off > most) most = off }
    END { if (NR != steps) print NR " steps instead of " steps; else print "largest difference " most > "/dev/stderr" }')
  [[ -z $report ]] || fail "losses of $1 and $2 differ: $report"
}
