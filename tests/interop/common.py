# SPDX-License-Identifier: Apache-2.0
"""What the checks share: where things are, our programs, the test images, the comparison of predictions."""

import gzip
import json
import os
import subprocess
import sys

import numpy as np

SOURCE_DIR = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
# ctest passes these; the defaults serve a check that is run by hand.
BIN_DIR = os.environ.get("LOCKSTEP_BIN_DIR", os.path.join(SOURCE_DIR, "build/release/bin"))
WORK_DIR = os.environ.get("LOCKSTEP_INTEROP_DIR", os.path.join(SOURCE_DIR, "build/release/interop"))
MNIST = os.path.join(SOURCE_DIR, "data/mnist")
RUN = os.path.join(WORK_DIR, "run")  # of make_run.sh

# Largest difference of a probability between two programs that compute in float32, in any order.
TOLERANCE = 1e-5


def run(program, *arguments, expect_failure=False):
    """Runs a program of ours and returns what it wrote to stdout (to stderr, if it is to fail)."""
    command = [os.path.join(BIN_DIR, program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if (done.returncode != 0) != expect_failure:
        raise AssertionError(f"exit code {done.returncode} of {' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stderr if expect_failure else done.stdout


def end(process, seconds):
    """Ends a process, by force when it has not obeyed within `seconds`: then False."""
    process.terminate()
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        process.kill()
        return False


def skip(reason):
    """Leaves as skip.sh does."""
    if os.environ.get("LOCKSTEP_REQUIRE_INTEROP") == "1":
        sys.exit(f"FAILED: {reason} (LOCKSTEP_REQUIRE_INTEROP=1)")
    print("skipped:", reason)
    sys.exit(77)


def read_idx(stem):
    """An IDX file of data/mnist as it is: uint8, (count, ...)."""
    with gzip.open(os.path.join(MNIST, stem + ".gz")) as file:
        data = file.read()
    dims = data[3]
    shape = np.frombuffer(data, ">u4", dims, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dims).reshape([int(s) for s in shape])


def as_input(images):
    """(N, 784) float32 in [0, 1], made as the training program (ours and the tutorial's) makes them."""
    return images.reshape(len(images), -1).astype(np.float32) * np.float32(1 / 255)


def test_images():
    return as_input(read_idx("t10k-images-idx3-ubyte"))


def test_labels():
    return read_idx("t10k-labels-idx1-ubyte")


def metrics(kind):
    """{step: row} of the run's metrics.jsonl; kind is train or eval."""
    with open(os.path.join(RUN, "metrics.jsonl")) as file:
        return {row["step"]: row for row in map(json.loads, file) if row["kind"] == kind}


def our_predictions(model):
    """(classes int64 (N), probabilities float32 (N, C)) that `lockstep predict` answers for the test images. `model`:
    whatever Lockstep takes for a model."""
    answer = json.loads(run("lockstep", "predict", "--model_dir", model, "--json-instances",
                            os.path.join(WORK_DIR, "request.json"), "--json"))["predictions"]
    return (np.array([row["classes"] for row in answer], np.int64),
            np.array([row["probabilities"] for row in answer], np.float32))


def accuracy(classes):
    return float(np.mean(classes == test_labels()))


def expect_same_predictions(name, theirs, ours, at_least=0.95):
    """Equal classes, probabilities within TOLERANCE, and a model that has learned something: constants agree too."""
    (classes, probabilities), (our_classes, our_probabilities) = theirs, ours
    assert classes.shape == our_classes.shape == (10000,), f"{name}: {classes.shape}, {our_classes.shape}"
    assert probabilities.shape == our_probabilities.shape == (10000, 10), f"{name}: {probabilities.shape}"
    assert np.isfinite(probabilities).all() and np.isfinite(our_probabilities).all(), name
    worst = float(np.abs(probabilities.astype(np.float64) - our_probabilities).max())
    different = np.flatnonzero(classes != our_classes)
    assert different.size == 0, f"{name}: classes differ for {different.size} images, first {different[:5]}"
    assert worst <= TOLERANCE, f"{name}: a probability differs by {worst}"
    assert accuracy(our_classes) >= at_least, f"{name}: accuracy {accuracy(our_classes)}"
    print(f"{name}: 10000 classes equal, probabilities within {worst:.1e}, accuracy {accuracy(our_classes):.4f}")
