#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures everything that the README's tables show and writes the tables. Run it on an idle machine, after
# scripts/install_deps.sh and bench/peers/setup.sh; takes about seven minutes. The rows stay in build/bench_rows.jsonl.
# A program that fails, or has a row that did, does not keep the others from the tables; the exit status is 1 then.
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

readonly bin=build/release/bin rows=build/bench_rows.jsonl

run cmake --preset release
run cmake --build --preset release --target lockstep lockstep_bench kernels_bench io_bench all_reduce_bench
: >"$rows"
failed=()
measure() { run "$@" --json | tee -a "$rows" | cut -c 1-100 || failed+=("$*"); }

measure "$bin/lockstep_bench" train --peers --threads "$(cores)"
if [[ $(cores) -gt 1 ]]; then
  measure "$bin/lockstep_bench" train --peers --threads 1 --no_phases
fi
measure "$bin/lockstep_bench" serve --peers
sed -i '/"bench":"peak"/d' "$rows"  # what each call above measured for itself
measure "$bin/lockstep_bench" peak
measure "$bin/kernels_bench" --benchmark_repetitions=5 --benchmark_min_time=0.2
measure "$bin/io_bench" --benchmark_repetitions=5 --benchmark_min_time=0.2
# Open MPI refuses to run as root unless both are set; containers are root.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
measure mpirun --oversubscribe -np 2 "$bin/all_reduce_bench"
if nvidia-smi -L >build/gpus 2>&1; then  # a line a GPU
  run cmake --build --preset release --target lockstep_cuda
  measure "$bin/lockstep_bench" gpu_kernels
  for precision in fp32 tf32 bf16; do
    measure "$bin/lockstep_bench" train --device=cuda --precision="$precision" --train_batch_size 100 256 1024 4096 8192
  done
  measure "$bin/lockstep_bench" train --device=cuda --backend=cudnn --train_batch_size 100 256 1024 4096 8192
  sed -i '/"bench":"gpu peak"/d' "$rows"
  measure "$bin/lockstep_bench" gpu_peak
  measure mpirun --oversubscribe -np "$(wc -l <build/gpus)" "$bin/lockstep_bench" gpu_all_reduce
fi
sed -i '/^not run: /d' "$rows"
run "$bin/lockstep_bench" report --rows "$rows" --readme README.md
if [[ ${#failed[@]} -gt 0 ]]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
