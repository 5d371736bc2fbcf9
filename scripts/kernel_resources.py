#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Registers, shared memory, spills and occupancy of the CUDA kernels as they were built, and what tests/ptx counted.

    scripts/kernel_resources.py build/release --hot tests/kernels/hot_kernels.txt   # exit code 1 when a hot kernel spills
    scripts/kernel_resources.py build/release --docs docs/cuda.md            # exit code 1 when its tables are not current
    scripts/kernel_resources.py build/release --docs docs/cuda.md --write    # brings them up to date

Reads the reports of ptxas that a build with LOCKSTEP_CUDA=ON leaves beside its objects, for every architecture, and the
launches that `ctest -L ptx` left in ptx_counts/. Exit code 77, "skipped", where there is nothing to read, or where another
compiler made it than the tables of the documents.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys

SKIPPED = 77  # what ctest takes for "skipped"

# What a multiprocessor holds: warps, blocks, bytes of shared memory; everywhere 65,536 registers. CUDA C++ Programming
# Guide, "Technical Specifications per Compute Capability"; the rounding in occupancy() is that of the toolkit's
# cuda_occupancy.h.
LIMITS = {"80": (64, 32, 164), "86": (48, 16, 100), "89": (48, 24, 100), "90": (64, 32, 228), "100": (64, 32, 228),
          "120": (48, 24, 100)}


def demangled(names):
    if not names:
        return []
    out = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return [without_parameters(re.sub(r"^void |lockstep::|cuda::|\(anonymous namespace\)::", "", line))
            for line in out.splitlines()]


def without_parameters(name):
    """f<(Padding)1>(float*) -> f<(Padding)1>"""
    depth = 0
    for i, char in enumerate(name):
        depth += {"<": 1, ">": -1}.get(char, 0)
        if char == "(" and depth == 0:
            return name[:i]
    return name


def parse(report):
    """One dict per kernel and architecture from the text of ptxas -v."""
    kernels = []
    for block in re.split(r"ptxas info\s+: Compiling entry function ", report)[1:]:
        def number(pattern):
            found = re.search(pattern, block)
            return int(found.group(1)) if found else 0
        name, arch = re.match(r"'(\S+)' for 'sm_(\d+)", block).groups()
        kernels.append({
            "name": name,
            "arch": arch,
            "registers": number(r"Used (\d+) registers"),
            "static_shared_bytes": number(r"(\d+) bytes smem"),
            "stack_bytes": number(r"(\d+) bytes stack frame"),
            "spill_bytes": number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        })
    for kernel, name in zip(kernels, demangled([k["name"] for k in kernels])):
        kernel["name"] = name
    return kernels


def occupancy(arch, registers, threads, shared):
    """Share of a multiprocessor's warps that blocks of `threads` with `shared` bytes can fill, in per cent."""
    most_warps, blocks, kilobytes = LIMITS[arch]
    warps = -(-threads // 32)
    of_a_warp = -(-registers * 32 // 256) * 256
    in_a_quarter = 65536 // 4 // of_a_warp  # each quarter of a multiprocessor has its own registers
    blocks = min(blocks, most_warps // warps, 4 * in_a_quarter // warps,
                 kilobytes * 1024 // (-(-(shared + 1024) // 128) * 128))  # the system takes 1 KB a block
    return round(100 * blocks * warps / most_warps)


def read_reports(build):
    """[kernel, …] of every source of the library."""
    return [k for path in sorted(build.rglob("*.cu.o.ptxas")) for k in parse(path.read_text())]


def read_counts(build):
    """Launches that the tests of PTX noted, with the names of kernels that read_reports() gives them."""
    launches = [json.loads(line) for path in sorted((build / "ptx_counts").glob("*.jsonl"))
                for line in path.read_text().splitlines()]
    for launch, name in zip(launches, demangled([launch["kernel"] for launch in launches])):
        launch["kernel"] = name
    return launches


def complaints(kernels, hot_path):
    """What is wrong with the hot kernels: one regular expression for names per line, `#` starts a comment."""
    lines = [line.split("#")[0].strip() for line in hot_path.read_text().splitlines()]
    found = []
    for pattern in filter(None, lines):
        for arch in archs_of(kernels):
            hot = [k for k in kernels if k["arch"] == arch and re.fullmatch(pattern, k["name"])]
            if not hot:
                found.append(f"sm_{arch}: no kernel matches `{pattern}` of {hot_path}")
            found += [f"sm_{arch}: {k['name']}: {k['stack_bytes']} bytes of local memory, {k['spill_bytes']} bytes spilled"
                      for k in hot if k["stack_bytes"] or k["spill_bytes"]]
    return found


def archs_of(kernels):
    return sorted({k["arch"] for k in kernels}, key=int)


def by_name(kernels):
    """{name: {arch: kernel}}, in order of names."""
    table = {}
    for k in sorted(kernels, key=lambda k: k["name"]):
        table.setdefault(k["name"], {})[k["arch"]] = k
    return table


def row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def resource_table(kernels, launches):
    """Per kernel and architecture. Threads and dynamic shared memory are those of the launch that takes most."""
    archs = archs_of(kernels)
    biggest = {}
    for launch in launches:
        old = biggest.get(launch["kernel"])
        if old is None or (launch["hot"], launch["shared_bytes"]) > (old["hot"], old["shared_bytes"]):
            biggest[launch["kernel"]] = launch
    lines = [row("kernel", "threads", "shared bytes", *(f"sm_{arch}" for arch in archs)), "|" + "---|" * (3 + len(archs))]
    for name, of_arch in by_name(kernels).items():
        launch = biggest.get(name)
        static = max(k["static_shared_bytes"] for k in of_arch.values())
        shared = max(static, launch["shared_bytes"]) if launch else static
        cells = []
        for arch in archs:
            k = of_arch[arch]
            filled = f", {occupancy(arch, k['registers'], launch['threads'], shared)} %" if launch else ""
            spills = f", {k['stack_bytes']} local" if k["stack_bytes"] else ""
            cells.append(f"{k['registers']}{filled}{spills}")
        lines.append(row(f"`{name}`", launch["threads"] if launch else "", f"{shared:,}", *cells))
    return lines


def count_table(launches):
    """One row per hot launch of the newest architecture that the tests of PTX ran."""
    hot = [launch for launch in launches if launch["hot"]]
    newest = max(launch["arch"] for launch in hot)
    lines = [row("launch", "sectors over ideal, load / store", "wavefronts over ideal, load / store", "multiply share",
                 "FLOP per byte"), "|" + "---|" * 5]
    def over(efficiency):
        return f"{1 / efficiency:.2f}" if efficiency else "-"
    for c in (launch for launch in hot if launch["arch"] == newest):
        wavefronts = [f"{ratio:.2f}" if ratio else "-"
                      for ratio in (c["shared_load_conflicts"], c["shared_store_conflicts"])]
        lines.append(row(c["what"].replace("lockstep::cuda::", ""),
                         over(c["load_efficiency"]) + " / " + over(c["store_efficiency"]), " / ".join(wavefronts),
                         f"{100 * c['math_share']:.0f} %", f"{c['intensity']:.1f}"))
    return lines


def compiler_of(build):
    """nvcc's version as CMake found it, or None."""
    for path in build.glob("CMakeFiles/*/CMakeCUDACompiler.cmake"):
        found = re.search(r'CMAKE_CUDA_COMPILER_VERSION "([^"]+)"', path.read_text())
        if found:
            return found.group(1)
    return None


def section(name, compiler, lines):
    return (f"<!-- {name}:begin nvcc {compiler} (scripts/kernel_resources.py) -->\n\n" + "\n".join(lines) +
            f"\n\n<!-- {name}:end -->")


def update(docs, build, kernels, launches, write):
    """0: the tables of `docs` are what was built, or are now. Says what is not."""
    text, compiler = docs.read_text(), compiler_of(build)
    tables = {"resources": resource_table(kernels, launches), "counts": count_table(launches)}
    stale = []
    for name, lines in tables.items():
        old = re.search(rf"<!-- {name}:begin nvcc (\S+) .*?<!-- {name}:end -->", text, re.S)
        if not old:
            print(f"{docs} has no table between `<!-- {name}:begin …` and `<!-- {name}:end -->`", file=sys.stderr)
            return 1
        if not write and old.group(1) != compiler:
            print(f"skipped: {docs} tells of nvcc {old.group(1)}, here is {compiler}")
            return SKIPPED
        new = section(name, compiler, lines)
        if new != old.group(0):
            stale.append(name)
            text = text.replace(old.group(0), new)
    if write:
        docs.write_text(text)
        print(f"{docs}: " + (", ".join(stale) + " written" if stale else "current"))
        return 0
    for name in stale:
        print(f"{docs}: the table of {name} is not what was built. To write it: "
              f"scripts/kernel_resources.py {build} --docs {docs} --write", file=sys.stderr)
    return 1 if stale else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path, help="build directory")
    parser.add_argument("--hot", type=pathlib.Path, help="list of kernels that must not use local memory")
    parser.add_argument("--docs", type=pathlib.Path, help="document whose tables are compared")
    parser.add_argument("--write", action="store_true", help="write the document's tables instead")
    args = parser.parse_args()
    kernels = read_reports(args.build)
    if not kernels:
        print(f"skipped: no report of ptxas in {args.build} (build with LOCKSTEP_CUDA=ON)")
        return SKIPPED
    if args.docs:
        if not args.write and archs_of(kernels) != list(LIMITS):
            print(f"skipped: built for {', '.join(archs_of(kernels))}, the documents tell of {', '.join(LIMITS)}")
            return SKIPPED
        launches = read_counts(args.build)
        if not launches:
            print(f"skipped: no counts in {args.build / 'ptx_counts'} (ctest -L ptx makes them)")
            return SKIPPED
        return update(args.docs, args.build, kernels, launches, args.write)
    if not args.hot:
        for name, of_arch in by_name(kernels).items():
            for k in of_arch.values():
                print(f"{name} sm_{k['arch']}: {k['registers']} registers, {k['static_shared_bytes']} bytes of shared memory, "
                      f"{k['stack_bytes']} of local memory, {k['spill_bytes']} spilled")
        return 0
    found = complaints(kernels, args.hot)
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
