#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the Python environments that `lockstep_bench train --peers` and `lockstep_bench serve --peers` run the peers in:
# build/peers/tensorflow and build/peers/onnxruntime (from PyPI, of the versions that the interop tests pin, with FastAPI
# to serve them), and build/peers/pytorch (Debian's package; PyPI's only where the distribution has none, as it is large).
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"
source scripts/python_environment.sh

readonly where=build/peers

as_root() {
  if [[ $(id -u) == 0 ]]; then run "$@"; else echo "Not root: asking sudo."; run sudo "$@"; fi
}

as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv
for peer in tensorflow-cpu onnxruntime; do
  make_environment "$where/${peer%-cpu}" "$(grep "^$peer==" tests/interop/requirements.txt)" \
    -r bench/peers/serving_requirements.txt -c tests/interop/requirements.txt
done
if apt-cache show python3-torch >/dev/null 2>&1; then
  # With the reference BLAS that it is installed with, PyTorch's dense layers are seven times slower.
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    python3-torch python3-numpy libopenblas0-pthread
  make_environment "$where/pytorch" --system-site-packages
else
  make_environment "$where/pytorch" torch numpy
fi
