# SPDX-License-Identifier: Apache-2.0
"""What the tests of nvcc's PTX share: compiling a .cu file, launching its kernels in the simulator, comparing.

A test file defines functions test_*(sim) and ends with common.main(). Each is run for the PTX of every architecture of
ARCHS. The simulator is a Python module in the folder that LOCKSTEP_PTXSIM names; when that is not set, without nvcc or
NumPy the exit code is 77, "skipped". LOCKSTEP_PTX_STATS=FILE receives JSON lines, the counts of hot launches and the size of every
kernel's biggest launch; scripts/kernel_resources.py makes the tables of docs/cuda.md of them.
LOCKSTEP_PTX_LAUNCHES=FILE receives which kernels ran, for check_launches.py.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
ARCHS = ("sm_80", "sm_90")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


LAUNCHES = os.environ.get("LOCKSTEP_PTX_LAUNCHES")
if LAUNCHES and os.path.exists(LAUNCHES):
    os.remove(LAUNCHES)  # those of this run, or none when it is skipped


def skip(reason):
    print("skipped: " + reason)
    sys.exit(SKIPPED)


try:
    import numpy as np
except ImportError:
    skip("NumPy is not installed")
if not os.environ.get("LOCKSTEP_PTXSIM"):
    skip("LOCKSTEP_PTXSIM does not name the folder of the PTX simulator")
sys.path.insert(0, os.environ["LOCKSTEP_PTXSIM"])
try:
    import ptxsim
except ImportError as error:
    sys.exit("FAILED: no PTX simulator in LOCKSTEP_PTXSIM=%s: %s" % (os.environ["LOCKSTEP_PTXSIM"], error))


def find_nvcc():
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    for path in (os.environ.get("NVCC"), shutil.which("nvcc"), os.path.join(home, "bin", "nvcc")):
        if path and os.path.exists(path):
            return path
    return skip("nvcc is neither in NVCC, nor on the PATH, nor in CUDA_HOME")


# As the library is compiled.
NVCC_FLAGS = ["-std=c++20", "--expt-relaxed-constexpr", "-fmad=false", "-I" + ROOT]


def compile_ptx(source, arch):
    with tempfile.TemporaryDirectory() as folder:
        ptx = os.path.join(folder, "out.ptx")
        extra = os.environ.get("LOCKSTEP_PTX_FLAGS", "").split()
        command = [find_nvcc(), "-ptx", "-arch=" + arch, *NVCC_FLAGS, *extra, "-o", ptx, os.path.join(ROOT, source)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            sys.exit("FAILED: %s\n%s" % (" ".join(command), result.stderr + result.stdout))
        with open(ptx) as file:
            return file.read()


class Simulator:
    """The kernels of some .cu files, compiled for one architecture."""

    def __init__(self, arch):
        self.arch = arch
        self.launched = {}  # the mangled names of the kernels that ran, by source
        self.biggest = {}  # by kernel: shared bytes and threads of the launch with most
        self._modules = {}

    def module(self, source):
        if source not in self._modules:
            self._modules[source] = ptxsim.Module(compile_ptx(source, self.arch))
            self.launched[source] = set()
        return self._modules[source]

    def kernels(self):
        """{source: {mangled name: [readable name, whether it ran]}} of every .entry of the sources compiled."""
        found = {}
        for source, module in self._modules.items():
            readable = {kernel["name"]: kernel["demangled"] for kernel in module.kernels()}
            found[source] = {name: [readable.get(name, name), name in self.launched[source]]
                             for name in re.findall(r"\.entry\s+([\w$.]+)", module.ptx)}
        return found

    def launch(self, source, kernel, grid, block, args, shared=0, **options):
        """Every check on; any finding is an exception. Returns the statistics."""
        options = {"uninit_global": 1, "global_race": 1, **options}
        stats = self.module(source).launch(kernel, grid, block, args, shared=shared, **options)
        self.launched[source].add(stats["kernel"])
        threads = int(np.prod(block))
        stats.update(threads=threads, shared_bytes=stats["shared_static"] + stats["shared_dynamic"])
        size = (stats["shared_bytes"], threads)
        self.biggest[stats["kernel"]] = max(size, self.biggest.get(stats["kernel"], size))
        return stats


class Array:
    """Device memory that starts `misalign` elements behind a 256-byte boundary. Without values it is uninitialised:
    reading an element before it is written is an error, as is anything outside."""

    def __init__(self, values=None, shape=None, dtype=np.float32, misalign=0):
        self.shape = np.shape(values) if values is not None else shape
        self.size = int(np.prod(self.shape, dtype=np.int64))
        self.misalign = misalign
        self.buffer = ptxsim.empty((self.size + misalign,), dtype)
        if values is not None and self.size:
            self.buffer.set(np.ascontiguousarray(values, dtype), misalign * self.buffer.dtype.itemsize)
        self.address = self.buffer.at(misalign)

    def at(self, element):
        return self.buffer.at(self.misalign + element)

    def numpy(self):
        return self.buffer.numpy()[self.misalign:].reshape(self.shape)


def output(shape, dtype=np.float32, misalign=0):
    return Array(shape=shape, dtype=dtype, misalign=misalign)


def check_close(what, got, expected, scale=None, c=4.0, terms=1, epsilon=2.0**-23):
    """|got - expected| <= (c + sqrt(terms) / 2) * epsilon * scale, as in tests/kernels; non-finite where expected."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    assert got.shape == expected.shape, "%s: shape %s, expected %s" % (what, got.shape, expected.shape)
    scale = np.maximum(1, np.abs(expected)) if scale is None else np.asarray(scale, np.float64)
    tolerance = (c + np.sqrt(terms) / 2) * epsilon * scale + 2.0**-126
    finite = np.isfinite(expected)
    same = np.where(np.isnan(expected), np.isnan(got), got == expected)
    with np.errstate(invalid="ignore"):
        good = np.where(finite, np.abs(got - expected) <= tolerance, same)
    if not good.all():
        worst = np.unravel_index(int(np.argmin(good)), got.shape) if got.shape else ()
        raise AssertionError("%s%s: got %r, expected %r; %d of %d outside the tolerance" %
                             (what, list(map(int, worst)), got[worst], expected[worst], (~good).sum(), good.size))


def check_same(what, got, expected):
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, "%s: shape %s, expected %s" % (what, got.shape, expected.shape)
    different = ~((got == expected) | ((got != got) & (expected != expected)))
    if different.any():
        at = np.unravel_index(int(np.argmax(different)), got.shape)
        raise AssertionError("%s%s: got %r, expected %r; %d of %d differ" %
                             (what, list(map(int, at)), got[at], expected[at], different.sum(), got.size))


def counts(stats):
    """What docs/cuda.md tells of a hot kernel. The share of instructions is of warp instructions before ptxas."""
    loads, stores = stats["global"]["load"], stats["global"]["store"]
    shared, classes = stats["shared"], {kind: n["warp"] for kind, n in stats["classes"].items()}
    return {"load_efficiency": loads["efficiency"], "store_efficiency": stores["efficiency"],
            "shared_load_conflicts": shared["load"]["conflict_ratio"],
            "shared_store_conflicts": shared["store"]["conflict_ratio"],
            "kernel": stats["kernel"], "threads": stats["threads"], "shared_bytes": stats["shared_bytes"],
            "bytes": stats["bytes_moved"], "unique_bytes": stats["unique_bytes"]["total"], "flops": stats["flops"],
            "intensity": stats["intensity"],
            "math_share": (classes.get("fp32_fma", 0) + classes.get("mma", 0)) / stats["warp_insts"],
            "warp_insts": stats["warp_insts"], "classes": classes}


def append_to_stats(record):
    if os.environ.get("LOCKSTEP_PTX_STATS"):
        with open(os.environ["LOCKSTEP_PTX_STATS"], "a") as file:
            file.write(json.dumps(record) + "\n")


def note(sim, what, stats):
    """Appends the counts of a hot kernel's launch to LOCKSTEP_PTX_STATS."""
    append_to_stats({"arch": sim.arch, "what": what, "hot": True, **counts(stats)})


def check_traffic(sim, what, stats, sectors=1.1, wavefronts=1.1):
    """A hot kernel: whole sectors are used and shared memory is read and written without bank conflicts."""
    note(sim, what, stats)
    c = counts(stats)
    assert stats["local"]["load_requests"] == 0, what + " uses local memory"
    for name in ("load_efficiency", "store_efficiency"):
        assert c[name] == 0 or c[name] >= 1 / sectors, "%s: %s is %.3f" % (what, name, c[name])
    for name in ("shared_load_conflicts", "shared_store_conflicts"):
        assert c[name] <= wavefronts, "%s: %s is %.3f" % (what, name, c[name])


def main():
    tests = [(name, f) for name, f in vars(sys.modules["__main__"]).items() if name.startswith("test_")]
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    failed, kernels = 0, {}
    if os.environ.get("LOCKSTEP_PTX_STATS"):
        os.makedirs(os.path.dirname(os.path.abspath(os.environ["LOCKSTEP_PTX_STATS"])), exist_ok=True)
        open(os.environ["LOCKSTEP_PTX_STATS"], "w").close()
    for arch in ARCHS:
        sim = Simulator(arch)
        for name, test in tests:
            if only not in arch + "." + name:
                continue
            start = time.monotonic()
            try:
                test(sim)
                result = "ok"
            except (AssertionError, ptxsim.KernelError, ptxsim.PtxSimError) as error:
                result = "FAILED: %s: %s" % (type(error).__name__, error)
                failed += 1
            print("%s.%s: %s (%.1f s)" % (arch, name, result, time.monotonic() - start), flush=True)
        kernels[arch] = sim.kernels()
        for kernel, (shared, threads) in sorted(sim.biggest.items()):
            append_to_stats({"arch": arch, "hot": False, "kernel": kernel, "threads": threads, "shared_bytes": shared})
    if LAUNCHES:
        os.makedirs(os.path.dirname(os.path.abspath(LAUNCHES)), exist_ok=True)
        with open(LAUNCHES, "w") as file:
            json.dump(kernels, file, indent=1)
    sys.exit(1 if failed else 0)
