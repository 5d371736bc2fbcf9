#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Breaks the CUDA kernels, one edit at a time, and says which test notices on the emulated GPU.

    scripts/mutate_kernels.sh                 # builds what it needs, then all of scripts/kernel_mutations.toml
    scripts/mutate_kernels.sh --only barrier  # those whose name or kind matches
    scripts/mutate_kernels.py --check         # only that every edit still fits the sources

An edit never touches the source tree: the changed file lies in a folder of its own, which the compiler searches
first. Of the CUDA sources only the one that the edit concerns is compiled, as the build compiles it for the emulator
but with -O1, and linked in front of the emulator's library into the test programs. A test that fails, crashes or hangs
has caught the edit. Exit code 1: some edit survived without an explanation, was explained as equivalent and caught all
the same, did not compile, or no longer fits the sources. 2: wrong arguments.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "scripts" / "kernel_mutations.toml"
KINDS = ("barrier", "async copy", "bound", "index", "mask", "order", "alignment", "size")
# As in the entries of tests/kernels/CMakeLists.txt.
NOT_ON_THE_EMULATOR = "-*Gradient.*:*ThreadCounts*:*_seeded*"
OURS_ALONE = NOT_ON_THE_EMULATOR + ":*cudnn*"
SLOW_CASES = ("mnist", "winograd")  # left for last: most edits are caught before
TIMEOUT_S = 300  # of one program; unchanged ones need a tenth of it


@dataclasses.dataclass(frozen=True)
class Unit:
    """A CUDA source and its tests, (program, filter) in the order in which they are tried."""
    source: str
    tests: tuple


def operator(folder, suite, cases):
    parity, alone, lockstep = (f"emu_kernel_{part}_test" for part in ("parity", "operator", "lockstep"))
    slow = ":".join(f"{suite}/*{word}*" for word in SLOW_CASES)
    quick = OURS_ALONE + "".join(f":*{word}*" for word in SLOW_CASES)
    return Unit(f"kernels/{folder}_cuda.cu", ((parity, f"{suite}/*{quick}"),
                                              (alone, f"*{suite}*{OURS_ALONE}"),
                                              (lockstep, f"*/{cases}_*{quick}:*OtherArithmetics*"),
                                              (parity, slow + OURS_ALONE)))


def beside_cudnn(source, suite):
    """Kernels that do what cuDNN leaves of an operator."""
    parity, alone = "emu_kernel_parity_test", "emu_kernel_operator_test"
    return Unit(f"kernels/{source}_cuda.cu", ((parity, f"{suite}/*cudnn*{NOT_ON_THE_EMULATOR}"),
                                              (alone, f"*{suite}*cudnn*{NOT_ON_THE_EMULATOR}")))


DEVICE_FUNCTIONS = (("emu_device_functions_test", "*"),)
UNITS = {
    "adam": operator("adam/adam", "Adam", "adam"),
    "conv2d": operator("conv2d/conv2d", "Conv2d", "conv2d"),
    "conv2d_cudnn_steps": beside_cudnn("conv2d/conv2d_cudnn_steps", "Conv2d"),
    "dense": operator("dense/dense", "Dense", "dense"),
    "dropout": operator("dropout/dropout", "Dropout", "dropout"),
    "images": operator("images/images", "Images", "images"),
    "pool2d": operator("pool2d/pool2d", "Pool2d", "pool2d"),
    "pool2d_argmax": beside_cudnn("pool2d/pool2d_argmax", "Pool2d"),
    "softmax_rows": beside_cudnn("softmax_xent/softmax_rows", "SoftmaxXent"),
    "softmax_xent": operator("softmax_xent/softmax_xent", "SoftmaxXent", "softmax_xent"),
    "tree_sum": Unit("kernels/tree_sum_cuda.cu", DEVICE_FUNCTIONS + operator("", "Dense", "dense").tests),
    "sound_kernels": Unit("tests/emu/sound_kernels.cu", DEVICE_FUNCTIONS),
}


class Error(Exception):
    """What the user can do something about."""


@dataclasses.dataclass
class Mutation:
    name: str
    kind: str
    file: str
    find: str
    put: str
    unit: str = ""
    quick: bool = False
    equivalent: str = ""

    def __post_init__(self):
        source = pathlib.PurePath(self.file)
        name = source.name.removesuffix("_cuda.cu")
        self.unit = self.unit or (name if name in UNITS else source.parent.name)

    def text(self):
        return (ROOT / "kernels" / self.file).read_text()

    def problem(self):
        """Why it cannot be tried; empty when it can."""
        if self.kind not in KINDS:
            return f"kind '{self.kind}': expected one of {', '.join(KINDS)}"
        if self.unit not in UNITS:
            return f"unit '{self.unit}': expected one of {', '.join(UNITS)}"
        if not (ROOT / "kernels" / self.file).is_file():
            return f"there is no kernels/{self.file}"
        if self.find == self.put:
            return "changes nothing"
        found = self.text().count(self.find)
        return "" if found == 1 else f"its text is {found} times in kernels/{self.file}, expected once:\n{self.find}"


def read_table(path):
    try:
        mutations = [Mutation(**entry) for entry in tomllib.loads(path.read_text())["mutation"]]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise Error(f"{path}: {error}") from error
    names = collections.Counter(m.name for m in mutations)
    problems = [f"{m.name}: {m.problem()}" for m in mutations if m.problem()]
    problems += [f"{name}: {count} edits of this name" for name, count in names.items() if count > 1]
    if problems:
        raise Error("\n".join(f"{path.name}: {problem}" for problem in problems))
    return mutations


# Calls that order threads; mma.cuh, which defines some, apart.
ORDERING = re.compile(r"__sync(threads|warp)\(|cp_async_wait<|cp_async_commit\(\)")


def barriers_without_edit(mutations):
    """(file, line number) of each barrier or wait in the kernels that no edit takes away."""
    left = []
    for path in sorted((ROOT / "kernels").rglob("*.cu*")):
        file, text = path.relative_to(ROOT / "kernels").as_posix(), path.read_text()
        if file.startswith("emu/") or file == "mma.cuh":
            continue
        edits = [(text.index(m.find), m) for m in mutations if m.file == file and m.kind in ("barrier", "async copy")]
        for call in ORDERING.finditer(text):
            if not any(begin <= call.start() < begin + len(m.find) for begin, m in edits):
                left.append((file, text.count("\n", 0, call.start()) + 1))
    return left


def check_barriers(mutations):
    left = barriers_without_edit(mutations)
    if left:
        raise Error("\n".join(f"kernels/{file}:{line}: no edit takes this barrier away" for file, line in left))


# What tests print, most telling first, and what to call it.
FINDINGS = [
    (r": race: ", "race"), (r": uninitialised: ", "uninitialised"), (r": out of bounds: ", "out of bounds"),
    (r": misaligned: ", "misaligned"), (r": use after free: ", "use after free"),
    (r": divergent barrier: ", "divergence"), (r": divergent warp: ", "divergence"),
    (r"guard (bytes|words) .* overwritten|was written to", "guard words"),
    (r"a warp shuffle at .* takes no part|shared memory|cudaError", "emulator, other"),
    (r"workspace is smaller", "workspace check"),
    (r"elements outside|tol |differ|Expected|Which is|Value of", "wrong values"),
]


def finding_of(output):
    return next((name for pattern, name in FINDINGS if re.search(pattern, output)), "failed")


@dataclasses.dataclass
class Outcome:
    caught_by: str = ""  # a test; empty: it survived
    finding: str = ""
    error: str = ""  # it could not be tried


class Workshop:
    """Compiles and links changed sources beside a finished build, which it leaves as it is."""

    def __init__(self, build, folder):
        self.build, self.folder = build.resolve(), pathlib.Path(folder)
        try:
            commands = json.loads((self.build / "compile_commands.json").read_text())
        except OSError as error:
            raise Error(f"{build} is not a build folder of this project: {error}") from error
        self.compile = {u: self._compile_command(commands, unit) for u, unit in UNITS.items()}
        programs = {program for unit in UNITS.values() for program, _ in unit.tests}
        self.link = {program: self._link_command(program) for program in programs}

    def _compile_command(self, commands, unit):
        for entry in commands:
            if entry["file"] == str(ROOT / unit.source) and "-DLOCKSTEP_EMULATED=1" in entry["command"]:
                words = shlex.split(entry["command"])
                # What an edit leaves unused is no matter.
                words = [w for w in words if not re.fullmatch(r"-W(error|all|extra|pedantic|shadow)|-O\w", w)]
                return words + ["-O1", "-w"]
        raise Error(f"{self.build}: nothing compiles {unit.source} for the emulator there")

    def _link_command(self, program):
        done = subprocess.run(["ninja", "-C", self.build, "-t", "commands", program], capture_output=True, text=True)
        last = done.stdout.strip().splitlines()[-1:]
        if done.returncode != 0 or not last or not (self.build / "bin" / program).exists():
            raise Error(f"{self.build}: no finished {program} of a Ninja build there {done.stderr.strip()}")
        words = shlex.split(last[0])
        if words[:2] != [":", "&&"] or words[-2:] != ["&&", ":"]:
            raise Error(f"cannot make sense of the command that links {program}: {last[0]}")
        return words[2:-2]

    def compile_unit(self, name, folder):
        """The object; a file below `folder` takes the place of one in the source tree."""
        source, result = UNITS[name].source, folder / "unit.o"
        words = list(self.compile[name])
        changed = folder / source
        words[words.index("-c") + 1] = str(changed if changed.exists() else ROOT / source)
        words[words.index("-o") + 1] = str(result)
        first = next(i for i, word in enumerate(words) if word.startswith("-I"))
        words.insert(first, f"-I{folder}")
        done = subprocess.run(words, cwd=self.build, capture_output=True, text=True)
        if done.returncode != 0:
            raise Error(f"does not compile:\n{done.stderr[-2000:]}")
        return result

    def link_program(self, program, name, unit, folder):
        words = list(self.link[program])
        at = words.index("-o") + 1
        result = folder / program
        words[at] = str(result)
        own = [i for i, word in enumerate(words) if word.endswith(f"/{pathlib.Path(UNITS[name].source).name}.o")]
        if own:
            words[own[0]] = str(unit)  # it is part of the program
        else:
            words.insert(at + 1, str(unit))  # the library's is then not wanted
        done = subprocess.run(words, cwd=self.build, capture_output=True, text=True)
        if done.returncode != 0:
            raise Error(f"does not link:\n{done.stderr[-2000:]}")
        return result

    def run_tests(self, name, folder):
        unit = self.compile_unit(name, folder)
        for program, pattern in UNITS[name].tests:
            binary = folder / program
            if not binary.exists():
                self.link_program(program, name, unit, folder)
            outcome = run_program(binary, pattern)
            if outcome.caught_by:
                return outcome
        return Outcome()

    def try_edit(self, unit, edit=None):
        """Without an edit: the sources as they are, which must pass."""
        folder = self.folder / (edit.name if edit else f"unchanged-{unit}")
        folder.mkdir()
        try:
            if edit is not None:
                changed = folder / "kernels" / edit.file
                changed.parent.mkdir(parents=True)
                changed.write_text(edit.text().replace(edit.find, edit.put))
            return self.run_tests(unit, folder)
        except Error as error:
            return Outcome(error=str(error))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def run_program(binary, pattern):
    command = [binary, f"--gtest_filter={pattern}", "--gtest_fail_fast"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return Outcome(binary.name, "hangs")
    if done.returncode == 0:
        if " 0 tests ran" in done.stdout.replace("from 0 test suites ", ""):
            return Outcome(error=f"{binary.name} has no test for {pattern}")
        return Outcome()
    failed = re.findall(r"^\[  FAILED  \] (\S+?)[,\s]", done.stdout, re.MULTILINE)
    begun = re.findall(r"^\[ RUN      \] (\S+)", done.stdout, re.MULTILINE)
    test = (failed or begun or [binary.name])[0 if failed else -1]
    return Outcome(test, "crash" if done.returncode < 0 else finding_of(done.stdout))


def verdict(mutation, outcome):
    """(line of the table, whether all is well)"""
    if outcome.error:
        return f"ERROR {outcome.error}", False
    if outcome.caught_by and mutation.equivalent:
        return f"CAUGHT ({outcome.finding}: {outcome.caught_by}) although it is called equivalent", False
    if outcome.caught_by:
        return f"{outcome.finding}: {outcome.caught_by}", True
    if mutation.equivalent:
        return f"equivalent: {mutation.equivalent}", True
    return "SURVIVED", False


def check_unchanged(workshop, units):
    for unit in units:
        outcome = workshop.try_edit(unit)
        if outcome.error or outcome.caught_by:
            what = outcome.error or f"{outcome.caught_by} fails ({outcome.finding})"
            raise Error(f"without any edit, {UNITS[unit].source} does not pass its tests: {what}")


def try_all(workshop, mutations, jobs):
    outcomes = {}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(workshop.try_edit, m.unit, m): m for m in mutations}
        for done in concurrent.futures.as_completed(running):
            mutation = running[done]
            outcomes[mutation.name] = done.result()
            print(f"{mutation.name:34} {mutation.kind:11} {verdict(mutation, done.result())[0]}", flush=True)
    return outcomes


def in_words(counts):
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


def summary(mutations, outcomes, seconds):
    kinds = collections.Counter(m.kind for m in mutations)
    findings = collections.Counter(outcomes[m.name].finding for m in mutations if outcomes[m.name].caught_by)
    equivalent = sum(1 for m in mutations if m.equivalent and not outcomes[m.name].caught_by)
    print(f"\n{len(mutations)} edits in {seconds:.0f} s: {in_words(kinds)}")
    print(f"{findings.total()} caught: {in_words(findings)}")
    bad = [m for m in mutations if not verdict(m, outcomes[m.name])[1]]
    print(f"{equivalent} equivalent, {len(bad)} to explain" + "".join(f"\n  {m.name}" for m in bad))
    return not bad


def selected(mutations, args):
    if args.only:
        mutations = [m for m in mutations if re.search(args.only, m.name) or re.search(args.only, m.kind)]
    if args.quick is not None:
        mutations = [m for m in mutations if m.quick][: args.quick]
    if not mutations:
        raise Error("no edit matches")
    return mutations


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", type=pathlib.Path, default=ROOT / "build" / "release", help="a finished build")
    parser.add_argument("--table", type=pathlib.Path, default=TABLE, help="the edits")
    parser.add_argument("--list", action="store_true", help="print the edits and stop")
    parser.add_argument("--check", action="store_true", help="check that each edit fits the sources, each barrier has one, and stop")
    parser.add_argument("--only", metavar="REGEX", help="edits whose name or kind matches")
    parser.add_argument("--quick", metavar="N", type=int, help="the first N of a fixed sample")
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="edits at a time (default 1)")
    args = parser.parse_args()
    if args.jobs < 1 or (args.quick is not None and args.quick < 1):
        parser.error("--jobs and --quick must be at least 1")
    try:
        re.compile(args.only or "")
    except re.error as error:
        parser.error(f"--only: {error}")
    return args


def main():
    args = arguments()
    try:
        mutations = read_table(args.table)
        if args.check:
            if args.table == TABLE:
                check_barriers(mutations)
            print(f"{len(mutations)} edits fit the sources")
            return 0
        mutations = selected(mutations, args)
        if args.list:
            for m in mutations:
                print(f"{m.name:34} {m.kind:11} kernels/{m.file}")
            return 0
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            workshop = Workshop(args.build_dir, folder)
            check_unchanged(workshop, sorted({m.unit for m in mutations}))
            outcomes = try_all(workshop, mutations, args.jobs)
        return 0 if summary(mutations, outcomes, time.monotonic() - start) else 1
    except Error as error:
        print(f"mutate_kernels: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
