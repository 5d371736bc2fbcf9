#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh SCRIPT ARGUMENTS... : runs a check of this folder (.py or .sh) in the environment that setup.sh has made.
readonly here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../../scripts/common.sh"
source scripts/python_environment.sh
source tests/interop/skip.sh

if ! environment_is_ready "$interop_environment" "${interop_packages[@]}"; then
  skip "$interop_environment is not there; tests/interop/setup.sh makes it"
fi
readonly script=$1
shift
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2} CUDA_VISIBLE_DEVICES=
case $script in
  *.py) exec "$interop_environment/bin/python" "tests/interop/$script" "$@" ;;
  *) exec "tests/interop/$script" "$@" ;;
esac
