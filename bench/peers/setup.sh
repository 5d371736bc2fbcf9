#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the two Python environments that `lockstep_bench train --peers` runs the peers in: build/peers/tensorflow (from
# PyPI, pinned) and build/peers/pytorch (Debian's package; PyPI's only where the distribution has none, as it is large).
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

readonly tensorflow=tensorflow-cpu==2.21.0
readonly where=build/peers

as_root() {
  if [[ $(id -u) == 0 ]]; then run "$@"; else echo "Not root: asking sudo."; run sudo "$@"; fi
}

make_environment() {  # name, packages from PyPI or --system-site-packages
  local name=$1
  shift
  if [[ -e $where/$name/done ]]; then
    echo "$where/$name is there."
    return
  fi
  rm -rf "${where:?}/$name"
  if [[ $1 == --system-site-packages ]]; then
    run /usr/bin/python3 -m venv --system-site-packages "$where/$name"
  else
    run python3 -m venv "$where/$name"
    run "$where/$name/bin/pip" install --quiet "$@"
  fi
  touch "$where/$name/done"
}

mkdir -p "$where"
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv
make_environment tensorflow "$tensorflow"
if apt-cache show python3-torch >/dev/null 2>&1; then
  # With the reference BLAS that it is installed with, PyTorch's dense layers are seven times slower.
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    python3-torch python3-numpy libopenblas0-pthread
  make_environment pytorch --system-site-packages
else
  make_environment pytorch torch numpy
fi
