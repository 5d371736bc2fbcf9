#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a compiler of CUDA sources; what `ptxas -v` tells of the kernels goes to OBJECT.ptxas, the rest to stderr as usual.
#   scripts/keep_ptxas_report.sh COMPILER ARGUMENT... -o OBJECT
object='' previous='' status=0
for word; do
  [ "$previous" = -o ] && object=$word
  previous=$word
done
[ -n "$object" ] || exec "$@"
"$@" 2>"$object.stderr" || status=$?
# An "info" line, and the indented ones that belong to it.
awk -v report="$object.ptxas" '
  BEGIN { printf "" > report }
  { ours = /^ptxas info/ || ours && /^ / }
  ours { print > report; next }
  { print | "cat >&2" }' "$object.stderr"
rm -f "$object.stderr"
exit "$status"
