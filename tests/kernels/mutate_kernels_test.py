# SPDX-License-Identifier: Apache-2.0
"""scripts/mutate_kernels.py refuses edits that no longer fit, and tells a survivor from what is caught. The latter
needs the build folder that EMULATOR_BUILD names."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "mutate_kernels.py"
BUILD = os.environ.get("EMULATOR_BUILD")
HARMLESS = {"find": "// In the order of operations of the CPU: the same bits.", "put": "// Another comment."}
BROKEN = {"find": "if (thread < vectors) {", "put": "if (thread <= vectors) {"}


def edit(name, **fields):
    entry = {"name": name, "kind": "bound", "file": "adam/adam_cuda.cu"} | fields
    return "[[mutation]]\n" + "".join(f"{key} = '{value}'\n" for key, value in entry.items())


class MutateKernels(unittest.TestCase):
    def run_script(self, *edits, arguments=("--check",)):
        with tempfile.TemporaryDirectory() as folder:
            table = pathlib.Path(folder, "table.toml")
            table.write_text("\n".join(edits))
            command = [sys.executable, SCRIPT, "--table", table, *arguments]
            return subprocess.run(command, capture_output=True, text=True)

    def expect_refused(self, why, *edits, **options):
        done = self.run_script(*edits, **options)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(why, done.stderr)

    def test_edits_that_fit_pass(self):
        done = self.run_script(edit("a", **HARMLESS), edit("b", **BROKEN))
        self.assertEqual((done.returncode, done.stdout), (0, "2 edits fit the sources\n"), done.stderr)

    def test_a_text_that_is_gone_is_refused(self):
        self.expect_refused("a: its text is 0 times in", edit("a", find="no such text", put=""))

    def test_a_text_that_is_there_twice_is_refused(self):
        twice = edit("a", find="const int64_t i =", put="const int64_t i = 1 +")
        self.expect_refused("a: its text is 2 times in", twice)

    def test_what_makes_no_sense_is_refused(self):
        self.expect_refused("a: changes nothing", edit("a", find="kThreads = 256", put="kThreads = 256"))
        self.expect_refused("a: kind 'wrong'", edit("a", kind="wrong", **HARMLESS))
        self.expect_refused("a: there is no kernels/adam/none.cu", edit("a", file="adam/none.cu", **HARMLESS))
        self.expect_refused("a: unit 'none'", edit("a", unit="none", **HARMLESS))
        self.expect_refused("a: 2 edits of this name", edit("a", **HARMLESS), edit("a", **BROKEN))
        self.expect_refused("unexpected keyword argument", edit("a", colour="blue", **HARMLESS))
        self.expect_refused("no edit matches", edit("a", **HARMLESS), arguments=("--only", "zzz", "--list"))

    def test_a_barrier_without_an_edit_is_found(self):
        spec = importlib.util.spec_from_file_location("mutate_kernels", SCRIPT)
        script = importlib.util.module_from_spec(spec)
        sys.modules["mutate_kernels"] = script
        spec.loader.exec_module(script)
        mutations = script.read_table(script.TABLE)
        self.assertEqual(script.barriers_without_edit(mutations), [])
        without = [m for m in mutations if m.name != "gemm-wait" and m.name != "gemm-wait-one"]
        (file, line), = script.barriers_without_edit(without)
        self.assertEqual(file, "dense/gemm_tile.cuh")
        self.assertIn("cp_async_wait", (script.ROOT / "kernels" / file).read_text().splitlines()[line - 1])

    def test_wrong_arguments_are_a_usage_error(self):
        for wrong in (["--quick", "0"], ["--jobs", "0"], ["--only", "("]):
            self.assertEqual(self.run_script(edit("a", **HARMLESS), arguments=wrong).returncode, 2)

    def test_a_folder_without_a_build_is_refused(self):
        self.expect_refused("is not a build folder", edit("a", **HARMLESS), arguments=("--build-dir", "/nowhere"))

    @unittest.skipUnless(BUILD, "EMULATOR_BUILD is not set")
    def test_survivors_are_told_from_what_is_caught(self):
        reason = "only a comment"
        done = self.run_script(edit("survivor", **HARMLESS), edit("same", equivalent=reason, **HARMLESS),
                               edit("caught", **BROKEN), edit("claimed", equivalent=reason, **BROKEN),
                               edit("nonsense", find="if (thread < vectors) {", put="if (thread < vectors {"),
                               arguments=("--build-dir", BUILD))
        self.assertEqual(done.returncode, 1, done.stderr)
        for line in (r"survivor +bound +SURVIVED\n", r"same +bound +equivalent: only a comment\n",
                     r"caught +bound +out of bounds: Adam/Parity\.\S+\n",
                     r"claimed +bound +CAUGHT \(out of bounds: \S+\) although it is called equivalent\n",
                     r"nonsense +bound +ERROR does not compile",
                     r"1 equivalent, 3 to explain\n  survivor\n  claimed\n  nonsense\n"):
            self.assertRegex(done.stdout, line)

    @unittest.skipUnless(BUILD, "EMULATOR_BUILD is not set")
    def test_without_survivors_all_is_well(self):
        done = self.run_script(edit("caught", **BROKEN), edit("same", equivalent="a comment", **HARMLESS),
                               arguments=("--build-dir", BUILD))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
