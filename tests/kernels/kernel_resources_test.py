# SPDX-License-Identifier: Apache-2.0
"""The check of the hot kernels finds what it is for, with a stand-in for nvcc that reports what it is told."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "kernel_resources.py"
REPORT = """ptxas info    : Compiling entry function '_ZN8lockstep4cuda11test_kernelILi4EEEvPf' for 'sm_80'
ptxas info    : Function properties for _ZN8lockstep4cuda11test_kernelILi4EEEvPf
    {stack} bytes stack frame, {spills} bytes spill stores, 8 bytes spill loads
ptxas info    : Used 26 registers, used 1 barriers, 128 bytes smem, 372 bytes cmem[0]
"""


class KernelResources(unittest.TestCase):
    def run_script(self, report, hot):
        with tempfile.TemporaryDirectory() as folder:
            nvcc, hot_list = pathlib.Path(folder, "nvcc"), pathlib.Path(folder, "hot.txt")
            nvcc.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{report}END\n")
            nvcc.chmod(0o755)
            hot_list.write_text(f"# comment\n{hot}\n")
            return subprocess.run([sys.executable, SCRIPT, "--nvcc", nvcc, "--arch", "80", "--hot", hot_list],
                                  capture_output=True, text=True)

    def test_spills_of_a_hot_kernel_fail(self):
        done = self.run_script(REPORT.format(stack=16, spills=0), "test_kernel<.*>")
        self.assertEqual(done.returncode, 1)
        self.assertIn("sm_80: test_kernel<4>: 16 bytes of local memory, 8 bytes spilled", done.stderr)

    def test_kernels_not_listed_may_spill(self):
        clean = REPORT.replace("8 bytes spill loads", "0 bytes spill loads").replace("test_kernel", "tidy_kernel")
        done = self.run_script(REPORT.format(stack=16, spills=4) + clean.format(stack=0, spills=0), "tidy_kernel<4>")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("| `test_kernel<4>` | 80 | 26 | 128 | 16 | 12 |", done.stdout)

    def test_a_name_that_no_kernel_has_fails(self):
        done = self.run_script(REPORT.format(stack=0, spills=0), "gone_kernel")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no kernel matches `gone_kernel`", done.stderr)

    def test_no_nvcc_is_skipped(self):
        done = subprocess.run([sys.executable, SCRIPT, "--nvcc", "/nowhere/nvcc"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 77)
        self.assertIn("skipped: no nvcc", done.stdout)


if __name__ == "__main__":
    unittest.main()
