#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The CUDA library as it was built, on a machine without a GPU: it loads, says what is missing, and is left alone by
# programs that do not ask for it.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

library=${LOCKSTEP_CUDA_BUILT:-}
if [[ -z $library ]]; then echo "skipped: the CUDA library was not built"; exit 77; fi
if compgen -G "/dev/nvidia[0-9]*" >/dev/null; then echo "skipped: there is a GPU here"; exit 77; fi

if ldd "$library" | grep "not found"; then fail "$library needs the above"; fi
expect_equal "lockstep_cuda_library" "$(nm -D --defined-only "$library" | awk '{ print $3 }')" "symbols of $library"
for program in "$MNIST_TRAIN" "$LOCKSTEP"; do
  if ldd "$program" | grep -iE 'cuda|cudnn|nccl'; then fail "$program loads the above"; fi
done

make_mnist_like
launch 1 --device cuda --output_dir "$work/out"
status=0
timeout "$deadline_s" "${command[@]}" >"$work/log" 2>&1 || status=$?
expect_equal 1 "$status" "exit code of: ${command[*]}"
expect_log "no usable GPU"
[[ ! -e $work/out ]] || fail "a run that never started left $work/out behind"
train 2 --device auto --train_steps 2 --output_dir "$work/auto"
expect_log "device=auto takes the CPU"
