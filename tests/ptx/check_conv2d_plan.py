# SPDX-License-Identifier: Apache-2.0
"""Fails where conv2d_plan.py, which tests of PTX launch with, plans otherwise than kernels/conv2d/conv2d_plan.h.

    check_conv2d_plan.py CONV2D_PLANS    # the program of conv2d_plans.cc

Needs neither NumPy nor the simulator.
"""
import collections
import subprocess
import sys

import conv2d_plan as plan

TILE = [field for field, _ in plan.Tile._fields_]


def values(planned, names):
    """What C++ leaves at 0 where nothing fits is missing in Python."""
    found = {field: getattr(planned.tile, field) for field in TILE}
    found.update({name: int(getattr(planned, name, 0)) for name in names})
    return found


def replan(kind, words):
    """{name: value} of one line, as conv2d_plan.py has it."""
    if kind == "chunk_target":
        return {"value": plan.chunk_target(*map(int, words))}
    if kind == "chunk_count":
        return {"value": plan.chunk_count(*map(int, words))}
    math = words.pop(0) if words[0][0].isalpha() else None
    shape = plan.Shape(*map(int, words))
    if kind == "patch":
        return values(plan.PatchPlan(shape, math), ("fits", "block_k", "threads", "shared", "packed_words", "k_blocks"))
    if kind == "filter_grad":
        return values(plan.FilterGradPlan(shape, math), ("fits", "taps_per_group", "groups", "shared"))
    if kind == "one_channel":
        return values(plan.OneChannelPlan(shape), ("threads",))
    if kind == "suits_one_channel":
        return {"value": int(plan.suits_one_channel(shape))}
    sys.exit("FAILED: a line of an unknown kind: " + kind)


def main():
    lines = subprocess.run([sys.argv[1]], capture_output=True, text=True, check=True).stdout.splitlines()
    seen, failed = collections.Counter(), 0
    for line in lines:
        given, results = line.split(" : ")
        kind, *words = given.split()
        expected = {name: int(value) for name, value in (pair.split("=") for pair in results.split())}
        got = replan(kind, words)
        seen[kind] += 1
        if got != expected:
            failed += 1
            different = ["%s is %s, in C++ %s" % (name, got.get(name), expected.get(name))
                         for name in sorted(got.keys() | expected.keys()) if got.get(name) != expected.get(name)]
            print("FAILED: %s: %s" % (given, "; ".join(different)))
    for kind in ("patch", "filter_grad", "one_channel", "suits_one_channel", "chunk_target", "chunk_count"):
        if not seen[kind]:
            failed += 1
            print("FAILED: %s printed no %s" % (sys.argv[1], kind))
    print("%d plans compared" % sum(seen.values()))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
