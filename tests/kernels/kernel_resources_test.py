# SPDX-License-Identifier: Apache-2.0
"""The check of the hot kernels finds what it is for, and the tables of a document are compared, on a build directory
that holds what it is told."""

import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
SCRIPT = SCRIPTS / "kernel_resources.py"
KERNEL = "_ZN8lockstep4cuda11test_kernelILi4EEEvPf"
REPORT = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN8lockstep4cuda11test_kernelILi4EEEvPf' for 'sm_80'
ptxas info    : Function properties for _ZN8lockstep4cuda11test_kernelILi4EEEvPf
    {stack} bytes stack frame, {spills} bytes spill stores, 8 bytes spill loads
ptxas info    : Used 26 registers, used 1 barriers, 128 bytes smem, 372 bytes cmem[0]
"""
EMPTY_TABLES = "before\n" + "".join(f"<!-- {name}:begin nvcc 13.0 x -->\n<!-- {name}:end -->\nafter\n"
                                     for name in ("resources", "counts"))


def load_script():
    spec = importlib.util.spec_from_file_location("kernel_resources", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    spec.loader.exec_module(module)
    return module


class KernelResources(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)

    def put(self, name, text):
        path = self.build / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run_script(self, *arguments):
        return subprocess.run([sys.executable, SCRIPT, self.build, *arguments], capture_output=True, text=True)

    def check_hot(self, report, hot):
        self.put("a/x.cu.o.ptxas", report)
        return self.run_script("--hot", self.put("hot.txt", f"# comment\n{hot}\n"))

    def test_spills_of_a_hot_kernel_fail(self):
        done = self.check_hot(REPORT.format(stack=16, spills=0), "test_kernel<.*>")
        self.assertEqual(done.returncode, 1)
        self.assertIn("sm_80: test_kernel<4>: 16 bytes of local memory, 8 bytes spilled", done.stderr)

    def test_kernels_not_listed_may_spill(self):
        clean = REPORT.replace("8 bytes spill loads", "0 bytes spill loads").replace("test_kernel", "tidy_kernel")
        done = self.check_hot(REPORT.format(stack=16, spills=4) + clean.format(stack=0, spills=0), "tidy_kernel<4>")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("test_kernel<4> sm_80: 26 registers, 128 bytes of shared memory, 16 of local memory, 12 spilled",
                      self.run_script().stdout)

    def test_a_name_that_no_kernel_has_fails(self):
        done = self.check_hot(REPORT.format(stack=0, spills=0), "gone_kernel")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no kernel matches `gone_kernel`", done.stderr)

    def test_a_build_without_reports_is_skipped(self):
        done = self.run_script("--hot", self.put("hot.txt", "test_kernel\n"))
        self.assertEqual(done.returncode, 77)
        self.assertIn("skipped: no report of ptxas", done.stdout)

    def test_tables_are_written_then_current_then_stale(self):
        self.put("CMakeFiles/3.25/CMakeCUDACompiler.cmake", 'set(CMAKE_CUDA_COMPILER_VERSION "13.0")\n')
        shipped = "".join(REPORT.format(stack=0, spills=0).replace("sm_80", f"sm_{arch}") for arch in load_script().LIMITS)
        report = self.put("a/x.cu.o.ptxas", shipped)
        docs = self.put("cuda.md", EMPTY_TABLES)
        self.assertEqual(self.run_script("--docs", docs).returncode, 77)  # no counts yet
        self.put("ptx_counts/x.jsonl", json.dumps({
            "kernel": KERNEL, "arch": "sm_80", "hot": True, "what": "test", "threads": 256, "shared_bytes": 4096,
            "shared_load_conflicts": 1, "shared_store_conflicts": 0, "load_efficiency": 1, "store_efficiency": 1,
            "math_share": 0.5, "intensity": 2}) + "\n")
        self.assertEqual(self.run_script("--docs", docs).returncode, 1)
        self.assertEqual(self.run_script("--docs", docs, "--write").returncode, 0)
        self.assertIn("| `test_kernel<4>` | 256 | 4,096 | 26, 100 % | 26, 100 % |", docs.read_text())
        self.assertIn("| test | 1.00 / 1.00 | 1.00 / - | 50 % | 2.0 |", docs.read_text())
        self.assertTrue(docs.read_text().startswith("before\n"))
        self.assertEqual(self.run_script("--docs", docs).returncode, 0)
        report.write_text(shipped.replace("26 registers", "27 registers"))
        done = self.run_script("--docs", docs)
        self.assertEqual(done.returncode, 1)
        self.assertIn("the table of resources is not what was built", done.stderr)
        report.write_text(REPORT.format(stack=0, spills=0))  # one architecture only
        self.assertEqual(self.run_script("--docs", docs).returncode, 77)
        report.write_text(shipped.replace("26 registers", "27 registers"))
        self.put("CMakeFiles/3.25/CMakeCUDACompiler.cmake", 'set(CMAKE_CUDA_COMPILER_VERSION "13.1")\n')
        self.assertEqual(self.run_script("--docs", docs).returncode, 77)

    def test_occupancy_by_hand(self):
        occupancy = load_script().occupancy
        self.assertEqual(occupancy("80", 32, 256, 0), 100)
        self.assertEqual(occupancy("86", 32, 32, 0), 33)  # 16 blocks of one of 48 warps
        self.assertEqual(occupancy("90", 128, 256, 0), 25)  # 16,384 registers of a quarter: four warps
        self.assertEqual(occupancy("90", 33, 256, 0), 75)  # 33 * 32 -> 1,280: 12 warps a quarter, 6 blocks of 8
        self.assertEqual(occupancy("80", 32, 256, 80 * 1024), 25)  # 81 KB each of 164
        self.assertEqual(occupancy("120", 32, 256, 60 * 1024), 17)


class KeepPtxasReport(unittest.TestCase):
    """The launcher that files the reports away while a build compiles."""

    def compile(self, stderr, status):
        with tempfile.TemporaryDirectory() as folder:
            compiler, out = pathlib.Path(folder, "nvcc"), pathlib.Path(folder, "x.o")
            compiler.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{stderr}END\nexit {status}\n")
            compiler.chmod(0o755)
            done = subprocess.run([SCRIPTS / "keep_ptxas_report.sh", compiler, "-c", "x.cu", "-o", out],
                                  capture_output=True, text=True)
            return done, out.with_suffix(".o.ptxas").read_text()

    def test_the_report_is_filed_and_warnings_are_shown(self):
        report = REPORT.format(stack=0, spills=0)
        done, filed = self.compile("x.cu(3): warning: odd\n    int i;\n" + report + "x.cu(9): warning: end\n", 0)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(filed, report)
        self.assertEqual(done.stderr, "x.cu(3): warning: odd\n    int i;\nx.cu(9): warning: end\n")

    def test_a_failure_stays_one(self):
        done, filed = self.compile("x.cu(3): error: no\n", 2)
        self.assertEqual((done.returncode, done.stderr, filed), (2, "x.cu(3): error: no\n", ""))


if __name__ == "__main__":
    unittest.main()
