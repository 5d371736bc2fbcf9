#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Registers, shared memory, stack and spills of every CUDA kernel, as ptxas reports them.

    scripts/kernel_resources.py --nvcc /usr/local/cuda/bin/nvcc --arch 80 90 --cache build/resources.json
    scripts/kernel_resources.py … --hot tests/kernels/hot_kernels.txt   # exit code 1 when a hot kernel spills

Compiles the device half of every kernels/**/*_cuda.cu, in parallel; the cache keeps what has not changed.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = ["-std=c++20", "--expt-relaxed-constexpr", "--fmad=false", "-O3", "-DNDEBUG", f"-I{ROOT}"]
SKIPPED = 77  # what ctest takes for "skipped"


def sources():
    return sorted((ROOT / "kernels").rglob("*_cuda.cu"))


def stamp_of(source, arch):
    """Changes with anything that a kernel may include."""
    digest = hashlib.sha256(f"{source} {arch} {FLAGS}".encode())
    for folder in (ROOT / "kernels", ROOT / "core" / "base"):
        for path in sorted(folder.rglob("*")):
            if path == source or path.suffix in (".h", ".cuh"):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def demangled(names):
    if not names:
        return []
    out = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return [re.sub(r"^void |lockstep::|cuda::|\(anonymous namespace\)::", "", line) for line in out.splitlines()]


def without_parameters(name):
    """f<(Padding)1>(float*) -> f<(Padding)1>"""
    depth = 0
    for i, char in enumerate(name):
        depth += {"<": 1, ">": -1}.get(char, 0)
        if char == "(" and depth == 0:
            return name[:i]
    return name


def parse(report):
    """One dict per kernel from the text of ptxas -v."""
    kernels = []
    for block in re.split(r"ptxas info\s+: Compiling entry function ", report)[1:]:
        def number(pattern):
            found = re.search(pattern, block)
            return int(found.group(1)) if found else 0
        kernels.append({
            "name": re.match(r"'(\S+)'", block).group(1),
            "registers": number(r"Used (\d+) registers"),
            "static_shared_bytes": number(r"(\d+) bytes smem"),
            "stack_bytes": number(r"(\d+) bytes stack frame"),
            "spill_bytes": number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        })
    for kernel, name in zip(kernels, demangled([k["name"] for k in kernels])):
        kernel["name"] = without_parameters(name)
    return kernels


def measure(nvcc, source, arch):
    command = [nvcc, *FLAGS, f"-arch=sm_{arch}", "-Xptxas=-v", "-cubin", "-o", os.devnull, str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return parse(done.stderr)


def measure_all(nvcc, archs, cache_path, jobs):
    """{arch: [kernel, …]}"""
    cache = json.loads(cache_path.read_text()) if cache_path and cache_path.exists() else {}
    wanted = {(source, arch): stamp_of(source, arch) for source in sources() for arch in archs}
    missing = [key for key, stamp in wanted.items() if stamp not in cache]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for key, kernels in zip(missing, pool.map(lambda key: measure(nvcc, *key), missing)):
            cache[wanted[key]] = kernels
    if cache_path:
        cache_path.write_text(json.dumps({stamp: cache[stamp] for stamp in wanted.values()}))
    return {arch: [k for source in sources() for k in cache[wanted[source, arch]]] for arch in archs}


def complaints(measured, hot_path):
    """What is wrong with the hot kernels: one regular expression for names per line, `#` starts a comment."""
    lines = [line.split("#")[0].strip() for line in hot_path.read_text().splitlines()]
    found = []
    for pattern in filter(None, lines):
        for arch, kernels in measured.items():
            hot = [k for k in kernels if re.fullmatch(pattern, k["name"])]
            if not hot:
                found.append(f"sm_{arch}: no kernel matches `{pattern}` of {hot_path}")
            found += [f"sm_{arch}: {k['name']}: {k['stack_bytes']} bytes of local memory, {k['spill_bytes']} bytes spilled"
                      for k in hot if k["stack_bytes"] or k["spill_bytes"]]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--arch", nargs="+", default=["80", "90"], help="compute capabilities, default 80 90")
    parser.add_argument("--cache", type=pathlib.Path, help="file to keep results in")
    parser.add_argument("--hot", type=pathlib.Path, help="list of kernels that must not use local memory")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    if subprocess.run(["sh", "-c", 'command -v "$0" > /dev/null', args.nvcc]).returncode != 0:
        print(f"skipped: no nvcc ({args.nvcc})")
        return SKIPPED
    measured = measure_all(args.nvcc, args.arch, args.cache, args.jobs)
    if args.json:
        print(json.dumps(measured, indent=1))
    else:
        print("| kernel | sm | registers | static shared | stack | spills |\n|---|---|---|---|---|---|")
        for arch, kernels in measured.items():
            for k in kernels:
                print(f"| `{k['name']}` | {arch} | {k['registers']} | {k['static_shared_bytes']} | {k['stack_bytes']} | "
                      f"{k['spill_bytes']} |")
    found = complaints(measured, args.hot) if args.hot else []
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
