#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian 12 / Ubuntu 24.04 packages that building and testing need. Does nothing when all are there.
#   scripts/install_deps.sh [--print]     --print lists the packages and stops
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(
  # compilers and tools
  g++ cmake ninja-build pkg-config git util-linux
  # ranks
  libopenmpi-dev openmpi-bin
  # files: gzip, CRC-32C, protobuf schemas, tensor-bundle index, PNG summaries, downloads, SHA-256
  zlib1g-dev libisal-dev libprotobuf-dev protobuf-compiler libleveldb-dev libsnappy-dev libpng-dev
  libfarmhash-dev
  libcurl4-openssl-dev libssl-dev
  # prediction server: HTTP, gRPC, registry, JSON
  libboost-dev libgrpc++-dev protobuf-compiler-grpc libsqlite3-dev libsimdjson-dev
  # kernels and the rest of the code
  libhwy-dev libabsl-dev libyaml-cpp-dev libcli11-dev libfmt-dev libspdlog-dev nlohmann-json3-dev
  # tests, benchmarks, checks. The two clang tools are of one version everywhere, or they would disagree on formatting.
  libgtest-dev libgmock-dev libbenchmark-dev clang-format-14 clang-tidy-14
  # the PTX of the CUDA kernels in a simulator (tests/ptx)
  make python3-numpy
  # AddressSanitizer and libFuzzer
  clang-14 libclang-rt-14-dev lld-14
  # data of one end-to-end test; pgrep, with which another finds its ranks; the client of the prediction server
  dataset-fashion-mnist procps curl
  # checks against TensorFlow and ONNX Runtime, which pip installs into build/venv
  python3-venv
)
# The browser of the TensorBoard check. Ubuntu has it as a snap only, which needs a running snapd: left to the user there.
if [[ $(. /etc/os-release 2>/dev/null && echo "${ID:-}") == debian ]]; then packages+=(chromium); fi

installed() { [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null) == "ii "* ]]; }

as_root() {
  if [[ $(id -u) == 0 ]]; then
    run env DEBIAN_FRONTEND=noninteractive "$@"
  elif command -v sudo >/dev/null; then
    echo "Not root: asking sudo to run apt-get."
    run sudo env DEBIAN_FRONTEND=noninteractive "$@"
  else
    echo "Not root and no sudo here. Run as root: $*" >&2
    return 1
  fi
}

main() {
  if [[ ${1:-} == --print ]]; then
    printf '%s\n' "${packages[@]}"
    return
  fi
  local missing=() package
  if ! command -v apt-get >/dev/null; then
    echo "No apt-get here: this script knows Debian and Ubuntu. The packages wanted, by their Debian names:" >&2
    printf '  %s\n' "${packages[@]}" >&2
    return 1
  fi
  for package in "${packages[@]}"; do
    installed "$package" || missing+=("$package")
  done
  if [[ ${#missing[@]} == 0 ]]; then
    echo "All ${#packages[@]} packages are installed."
    return
  fi
  echo "Missing packages: ${missing[*]}"
  as_root apt-get update -q
  as_root apt-get install -y -q --no-install-recommends "${missing[@]}"
}

main "$@"
