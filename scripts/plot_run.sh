#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# plot_run.sh OUTPUT_DIR FILE.svg : the training curve of a run, from its metrics.jsonl. Needs gnuplot (gnuplot-nox).
set -euo pipefail
if [[ $# != 2 || ! -f $1/metrics.jsonl ]]; then
  echo "usage: plot_run.sh OUTPUT_DIR FILE.svg; OUTPUT_DIR holds metrics.jsonl" >&2
  exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# points KIND KEY : "step value" of every line of this kind. Keys of a line are sorted, the step is the last.
points() { sed -nE "/\"kind\":\"$1\"/s/.*\"$2\":([-+.e0-9]+).*\"step\":([0-9]+).*/\2 \1/p" "$3/metrics.jsonl"; }

points train loss "$1" >"$work/loss"
points eval accuracy "$1" >"$work/accuracy"
gnuplot <<END
set terminal svg size 760,320 font "sans-serif,12" background "#ffffff"
set output "$2"
set key bottom center horizontal
set grid ytics lc "#dddddd"
set xlabel "step"
set ylabel "training loss"
set logscale y
set ytics nomirror
set y2label "test accuracy"
set y2range [0.95:1]
set y2tics format "%.2f"
plot "$work/loss" with lines lc "#9db7d5" title "loss of a batch", \
     "$work/accuracy" axes x1y2 with linespoints pt 7 ps 0.4 lc "#c0392b" title "test accuracy"
END
