#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes build/venv/interop, the environment of the checks in this folder, from requirements.txt. Exit code 77 (skipped)
# with the reason where PyPI is out of reach, or 1 (failed) when LOCKSTEP_REQUIRE_INTEROP=1.
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"
source scripts/python_environment.sh
source tests/interop/skip.sh

if ! environment_is_ready "$interop_environment" "${interop_packages[@]}"; then
  if ! reason=$(pypi_answers); then skip "PyPI is out of reach: $reason"; fi
  make_environment "$interop_environment" "${interop_packages[@]}"
fi
"$interop_environment/bin/pip" list --disable-pip-version-check |
  grep -E '^(tensorflow_cpu|tensorflow[-_]serving[-_]api|tensorboard|onnx|onnxruntime|playwright|numpy|keras) '
