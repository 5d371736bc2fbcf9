#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Networks far from the tutorial's, with random weights: TensorFlow writes them as a checkpoint, we import that by its
names and export it as a SavedModel, a frozen one and ONNX. TensorFlow and ONNX Runtime answer for these what we do, and
what TensorFlow computes from the description, layer by layer."""

import json
import os
import shutil

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf

import common

OUT = os.path.join(common.WORK_DIR, "odd")
EXAMPLES = 40

# (height, width, depth), classes, layers as the description has them.
NETWORKS = {
    "no_hidden_dense": ((28, 28, 1), 10, [
        ("conv", dict(filters=6, kernel=5, activation="relu")), ("max_pool", dict(window=2)), ("dense", dict(units=10))]),
    "strides_and_valid": ((28, 28, 1), 10, [
        ("conv", dict(filters=8, kernel=5, stride=2, padding="valid", activation="relu")),
        ("conv", dict(filters=8, kernel=3, stride=2, padding="same", activation="none")),
        ("max_pool", dict(window=3, stride=2, padding="same")),
        ("dense", dict(units=12, activation="relu")), ("dropout", dict(rate=0.4)), ("dense", dict(units=10))]),
    "colour_two_classes": ((32, 32, 3), 2, [
        ("conv", dict(filters=5, kernel=4, stride=3, padding="same", activation="relu")),
        ("conv", dict(filters=7, kernel=1, activation="relu")), ("max_pool", dict(window=3, stride=2)),
        ("dense", dict(units=9, activation="relu")), ("dense", dict(units=2))]),
    "pool_first": ((9, 14, 1), 3, [
        ("max_pool", dict(window=2, stride=1, padding="same")),
        ("conv", dict(filters=4, kernel=2, padding="same", activation="none")),
        ("dense", dict(units=3))]),
    "dense_only": ((7, 5, 3), 4, [("dense", dict(units=4))]),
}


def yaml_of(image, classes, layers):
    lines = ["image: {height: %d, width: %d, depth: %d}" % image, f"classes: {classes}", "layers:"]
    for kind, settings in layers:
        lines.append("  - %s: {%s}" % (kind, ", ".join(f"{key}: {value}" for key, value in settings.items())))
    return "\n".join(lines) + "\n"


def compute(image, layers, inputs, random):
    """(weights by TensorFlow's names, probabilities). Weights are made as the shapes come up."""
    weights, counts = {}, {"conv": 0, "dense": 0}

    def weight(kind, part, shape):
        number = counts[kind]
        name = {"conv": "conv2d", "dense": "dense"}[kind] + (f"_{number}" if number else "") + "/" + part
        scale = 1 / np.sqrt(np.prod(shape[:-1])) if part == "kernel" else 0.3
        weights[name] = random.uniform(-2 * scale, 2 * scale, shape).astype(np.float32)
        return weights[name]

    x = tf.reshape(inputs, (-1, *image))
    for kind, settings in layers:
        if kind == "max_pool":
            x = tf.nn.max_pool2d(x, settings["window"], settings.get("stride", settings["window"]),
                                 settings.get("padding", "valid").upper())
        if kind not in counts:
            continue
        if kind == "conv":
            size = settings["kernel"]
            x = tf.nn.conv2d(x, weight(kind, "kernel", (size, size, x.shape[3], settings["filters"])),
                             settings.get("stride", 1), settings.get("padding", "same").upper())
        else:
            x = tf.reshape(x, (len(x), -1))
            x = tf.matmul(x, weight(kind, "kernel", (x.shape[1], settings["units"])))
        bias = weight(kind, "bias", (x.shape[-1],))
        if counts[kind] + 1 == sum(1 for other, _ in layers if other == kind) and kind == "dense":
            bias[:] = -tf.reduce_mean(x, 0).numpy()  # of the logits: no class that always wins
        x = tf.nn.bias_add(x, bias)
        x = tf.nn.relu(x) if settings.get("activation") == "relu" else x
        counts[kind] += 1
    return weights, tf.nn.softmax(x).numpy()


def ours(model, requests):
    answer = json.loads(common.run("lockstep", "predict", "--model_dir", model, "--json-instances", requests, "--json"))
    rows = answer["predictions"]
    return (np.array([row["classes"] for row in rows], np.int64),
            np.array([row["probabilities"] for row in rows], np.float32))


def with_tensorflow(directory, inputs):
    version = os.path.join(directory, os.listdir(directory)[0])
    outputs = tf.saved_model.load(version).signatures["serving_default"](inputs=tf.constant(inputs))
    return outputs["classes"].numpy(), outputs["probabilities"].numpy()


def with_onnx_runtime(path, inputs):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["classes", "probabilities"], {"inputs": inputs})


def expect_same(name, found, expected):
    (classes, probabilities), reference = found, expected
    assert probabilities.shape == reference.shape and np.isfinite(probabilities).all(), name
    worst = float(np.abs(probabilities.astype(np.float64) - reference).max())
    assert worst <= common.TOLERANCE, f"{name}: a probability differs by {worst}"
    assert np.array_equal(classes, reference.argmax(1)), f"{name}: other classes"
    return worst


def pictures(image, random):
    """Coarse patterns under some noise: unlike noise alone, no two of them are the same to a convolution."""
    rows, columns = (np.arange(size) // 4 for size in image[:2])
    coarse = random.uniform(0, 0.8, (EXAMPLES, rows[-1] + 1, columns[-1] + 1, image[2]))
    noise = random.uniform(0, 0.2, (EXAMPLES, *image))
    return (coarse[:, rows][:, :, columns] + noise).reshape(EXAMPLES, -1).astype(np.float32)


def check(name, image, classes, layers):
    random = np.random.RandomState(sum(name.encode()))
    inputs = pictures(image, random)
    weights, expected = compute(image, layers, inputs, random)
    assert expected.shape == (EXAMPLES, classes)
    assert len(set(expected.argmax(1))) > 1, f"{name}: all images are one class, which tells little"
    gaps = np.sort(expected, 1)
    assert (gaps[:, -1] - gaps[:, -2]).min() > 2 * common.TOLERANCE, f"{name}: a tie, whose class is nobody's"

    base = os.path.join(OUT, name)
    os.makedirs(base)
    path = {part: os.path.join(base, part) for part in ("model.yaml", "theirs", "run", "saved", "frozen", "model.onnx",
                                                       "request.json")}
    with open(path["model.yaml"], "w") as file:
        file.write(yaml_of(image, classes, layers))
    with open(path["request.json"], "w") as file:
        file.writelines(json.dumps({"inputs": row.tolist()}) + "\n" for row in inputs)
    tf.raw_ops.SaveV2(prefix=path["theirs"], tensor_names=list(weights), shape_and_slices=[""] * len(weights),
                      tensors=list(weights.values()))
    common.run("lockstep", "import", "--source", path["theirs"], "--model", path["model.yaml"], "--directory", path["run"])
    common.run("lockstep", "export", "--model_dir", path["run"], "--directory", path["saved"])
    common.run("lockstep", "export", "--model_dir", path["run"], "--directory", path["frozen"], "--frozen")
    common.run("lockstep", "export", "--model_dir", path["run"], "--directory", path["model.onnx"], "--format", "onnx")

    found = {"ours": ours(path["run"], path["request.json"]),
             "TensorFlow, SavedModel": with_tensorflow(path["saved"], inputs),
             "TensorFlow, frozen": with_tensorflow(path["frozen"], inputs),
             "ONNX Runtime": with_onnx_runtime(path["model.onnx"], inputs)}
    worst = max(expect_same(f"{name}: {who}", answer, expected) for who, answer in found.items())
    for export in ("saved", "frozen", "model.onnx"):  # read back, the same bits
        again = ours(path[export], path["request.json"])
        assert all(np.array_equal(a, b) for a, b in zip(again, found["ours"])), f"{name}: {export}, read back"
    print(f"{name}: {EXAMPLES} images, {len(set(expected.argmax(1)))} of {classes} classes, four answers within {worst:.1e}")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    for name, network in NETWORKS.items():
        check(name, *network)


if __name__ == "__main__":
    main()
