# SPDX-License-Identifier: Apache-2.0
# Sourced after common.sh: how the project makes Python environments. They lie under build/, never in the system's Python.

readonly system_python=/usr/bin/python3  # python3-venv belongs to this one, whatever else is in the PATH

# What an environment was made from; it is made anew when that changes.
environment_recipe() {
  printf '%s\n' "$($system_python --version)" "$@"
  local word
  for word in "$@"; do
    if [[ -f $word ]]; then cat "$word"; fi
  done
}

environment_is_ready() {  # DIRECTORY PIP_ARGUMENTS...
  local directory=$1
  shift
  [[ -f $directory/recipe && $(cat "$directory/recipe") == "$(environment_recipe "$@")" ]]
}

# make_environment DIRECTORY PIP_ARGUMENTS... : a virtual environment with what `pip install PIP_ARGUMENTS` installs, or,
# with the one argument --system-site-packages, with the distribution's Python packages. Does nothing when it is there.
make_environment() {
  local directory=$1
  shift
  mkdir -p "$(dirname "$directory")"
  (
    flock 9  # tests of two build folders may want it at once
    if environment_is_ready "$directory" "$@"; then
      echo "$directory is there."
      exit
    fi
    set -e
    rm -rf "$directory"
    if [[ $1 == --system-site-packages ]]; then
      run "$system_python" -m venv --system-site-packages "$directory"
    else
      run "$system_python" -m venv "$directory"
      run "$directory/bin/pip" install --no-compile --quiet --disable-pip-version-check --no-input "$@"
    fi
    environment_recipe "$@" >"$directory/recipe"
  ) 9>"$directory.lock"
}

# Whether a small package can be had from PyPI (or the mirror that pip is configured for); pip's last line if not.
pypi_answers() {
  local scratch status=0 output
  scratch=$(mktemp -d)
  output=$("$system_python" -m venv "$scratch/venv" 2>&1 &&
    "$scratch/venv/bin/pip" download --quiet --disable-pip-version-check --no-input --no-deps --no-cache-dir \
      --retries 1 --timeout 15 --dest "$scratch" six==1.17.0 2>&1) || status=$?
  rm -rf "$scratch"
  [[ $status == 0 ]] || printf '%s\n' "$output" | tail -n 1
  return "$status"
}
