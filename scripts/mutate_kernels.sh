#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Breaks one barrier, bound or index of the CUDA kernels after the other and reports the edits that no test notices:
# builds the release preset's tests on the emulated GPU, then runs scripts/mutate_kernels.py, which see.
# --list, --check and --help need no build.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case " $* " in
  *" --list "* | *" --check "* | *" --help "* | *" -h "*) exec python3 scripts/mutate_kernels.py "$@" ;;
esac
run cmake --preset release
run cmake --build --preset release --target \
  emu_kernel_parity_test emu_kernel_operator_test emu_kernel_lockstep_test emu_device_functions_test
run python3 scripts/mutate_kernels.py "$@"
