#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the two Python environments that `lockstep_bench train --peers` runs the peers in: build/peers/tensorflow (from
# PyPI, of the version that the interop tests pin) and build/peers/pytorch (Debian's package; PyPI's only where the
# distribution has none, as it is large).
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"
source scripts/python_environment.sh

readonly where=build/peers

as_root() {
  if [[ $(id -u) == 0 ]]; then run "$@"; else echo "Not root: asking sudo."; run sudo "$@"; fi
}

as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv
make_environment "$where/tensorflow" "$(grep '^tensorflow-cpu==' tests/interop/requirements.txt)"
if apt-cache show python3-torch >/dev/null 2>&1; then
  # With the reference BLAS that it is installed with, PyTorch's dense layers are seven times slower.
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    python3-torch python3-numpy libopenblas0-pthread
  make_environment "$where/pytorch" --system-site-packages
else
  make_environment "$where/pytorch" torch numpy
fi
