#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Models that TensorFlow wrote (tensorflow_models.py), and our own exports, read by us: the same predictions. Training
continues from one of them."""

import json
import os
import shutil

import numpy as np

import common

THEIRS = os.path.join(common.WORK_DIR, "tensorflow")
IMPORTED = os.path.join(common.WORK_DIR, "imported")


def check_theirs():
    with np.load(os.path.join(THEIRS, "predictions.npz")) as file:
        theirs = file["classes"], file["probabilities"]
    # The last of these has no graph beside it: a description of the network names its variables.
    sources = {"reference": [], "resource": [], "frozen": [], "module": [], "keras": [], "saver/model.ckpt-200": [],
               "objects/ckpt-1": ["--model", os.path.join(common.SOURCE_DIR, "configs/models/mnist_cnn.yaml")]}
    for source, more in sources.items():
        directory = os.path.join(IMPORTED, source.partition("/")[0])
        said = common.run("lockstep", "import", "--source", os.path.join(THEIRS, source), "--directory", directory,
                          *more)
        assert "3274634 parameters" in said, said
        common.expect_same_predictions(f"TensorFlow's {source}, imported", theirs, common.our_predictions(directory))


def check_ours():
    """What we export is the same to us: to the last bit."""
    expected = common.our_predictions(common.RUN)
    for model in ("run/export", "frozen", "model.onnx"):
        found = common.our_predictions(os.path.join(common.WORK_DIR, model))
        assert all(np.array_equal(a, b) for a, b in zip(found, expected)), model
        print(f"our {model}, read back: the same bits")


def train(directory, *flags):
    """Rows of metrics.jsonl of 20 steps."""
    common.run("mnist_train", "--config", os.path.join(common.SOURCE_DIR, "configs/train/quick.yaml"), "--data_dir",
               os.path.join(common.WORK_DIR, "records"), "--output_dir", directory, "--train_steps", 20,
               "--log_step_count_steps", 5, "--learning_rate", 1e-4, "--warmup_steps", 0, *flags)
    with open(os.path.join(directory, "metrics.jsonl")) as file:
        rows = [json.loads(line) for line in file]
    return [row["loss"] for row in rows if row["kind"] == "train"], [r["accuracy"] for r in rows if r["kind"] == "eval"]


def check_training_continues():
    cold, _ = train(os.path.join(IMPORTED, "cold_run"))
    assert cold[0] > 1, cold  # that this tells one from the other
    with np.load(os.path.join(THEIRS, "predictions.npz")) as file:
        before = common.accuracy(file["classes"])
    for source in ("reference", "keras", "saver/model.ckpt-200"):
        warm, accuracy = train(os.path.join(IMPORTED, source.partition("/")[0] + "_run"), "--warm_start",
                               os.path.join(THEIRS, source))
        assert max(warm) < 0.5 and accuracy[-1] > before - 0.002, (warm, accuracy, before)
        print(f"training goes on from TensorFlow's {source}: loss {warm[0]:.3f} to {warm[-1]:.3f}",
              f"(cold {cold[0]:.3f}), accuracy {accuracy[-1]:.4f} after {before:.4f}")


def main():
    shutil.rmtree(IMPORTED, ignore_errors=True)
    check_theirs()
    check_ours()
    check_training_continues()


if __name__ == "__main__":
    main()
