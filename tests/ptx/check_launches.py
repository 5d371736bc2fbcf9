# SPDX-License-Identifier: Apache-2.0
"""Fails when a kernel of nvcc's PTX was launched by no test of this folder.

    check_launches.py FOLDER    # with the files that the tests wrote to LOCKSTEP_PTX_LAUNCHES

Every .entry of every kernels/**/*.cu and architecture must have run. Skipped, exit code 77, only where there is no
simulator: where there is one, a test that did not run is missed here.
"""
import json
import os
import pathlib
import sys

SKIPPED = 77
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def read_launches(folder):
    """{arch: {source: {mangled name: [readable name, whether any test launched it]}}}"""
    merged = {}
    for path in sorted(folder.glob("*.json")):
        for arch, sources in json.loads(path.read_text()).items():
            for source, kernels in sources.items():
                seen = merged.setdefault(arch, {}).setdefault(source, {})
                for name, (readable, launched) in kernels.items():
                    seen[name] = [readable, launched or seen.get(name, [readable, False])[1]]
    return merged


def complaints(launches, sources):
    if not launches:
        return ["no test has told which kernels it launched"]
    found = []
    for arch, kernels_of in sorted(launches.items()):
        for source in sources:
            if source not in kernels_of:
                found.append("%s: %s: no test launches its kernels" % (arch, source))
            found += ["%s: %s: no test launches %s" % (arch, source, readable)
                      for readable, launched in kernels_of.get(source, {}).values() if not launched]
    return found


def main():
    if not os.environ.get("LOCKSTEP_PTXSIM"):
        print("skipped: LOCKSTEP_PTXSIM does not name the folder of the PTX simulator")
        sys.exit(SKIPPED)
    launches = read_launches(pathlib.Path(sys.argv[1]))
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "kernels").rglob("*.cu"))
    found = complaints(launches, sources)
    for complaint in found:
        print("FAILED: " + complaint)
    counts = ["%d of %s" % (sum(map(len, kernels_of.values())), arch) for arch, kernels_of in sorted(launches.items())]
    print("%d sources, kernels: %s" % (len(sources), ", ".join(counts) or "none"))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
