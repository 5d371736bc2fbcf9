#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts here: strict mode, repository root as the working directory, commands printed before they run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }

# Prints a command to standard error as it could be typed, then runs it.
run() {
  local word line=
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_./=:,@%^+-]+$ ]]; then line+=" $word"; else line+=" $(printf %q "$word")"; fi
  done
  printf '+%s\n' "$line" >&2
  "$@"
}

cores() { nproc; }
