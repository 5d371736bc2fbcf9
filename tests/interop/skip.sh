# SPDX-License-Identifier: Apache-2.0
# Sourced: what the scripts of this folder share.
readonly interop_environment=build/venv/interop
readonly interop_packages=(--no-deps -r tests/interop/requirements.txt)

# skip REASON : leaves with the code that ctest takes for "skipped"; a failure where these checks are required.
skip() {
  if [[ ${LOCKSTEP_REQUIRE_INTEROP:-0} == 1 ]]; then
    echo "FAILED: $* (LOCKSTEP_REQUIRE_INTEROP=1)" >&2
    exit 1
  fi
  echo "skipped: $*"
  exit 77
}
