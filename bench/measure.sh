#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures everything that the README's tables show and writes the tables. Run it on an idle machine, after
# scripts/install_deps.sh and bench/peers/setup.sh; takes about five minutes. The rows stay in build/bench_rows.jsonl.
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

readonly bin=build/release/bin rows=build/bench_rows.jsonl

run cmake --preset release
run cmake --build --preset release --target lockstep_bench kernels_bench io_bench all_reduce_bench
: >"$rows"
measure() { run "$@" --json | tee -a "$rows" | cut -c 1-100; }

measure "$bin/lockstep_bench" train --peers --threads "$(cores)"
if [[ $(cores) -gt 1 ]]; then
  measure "$bin/lockstep_bench" train --peers --threads 1 --no_phases
fi
sed -i '/"bench":"peak"/d' "$rows"  # what each call above measured for itself
measure "$bin/lockstep_bench" peak
measure "$bin/kernels_bench" --benchmark_repetitions=5 --benchmark_min_time=0.2
measure "$bin/io_bench" --benchmark_repetitions=5 --benchmark_min_time=0.2
# Open MPI refuses to run as root unless both are set; containers are root.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
measure mpirun --oversubscribe -np 2 "$bin/all_reduce_bench"
run "$bin/lockstep_bench" report --rows "$rows" --readme README.md
