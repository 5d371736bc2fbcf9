#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints and event files with contents known to the last bit: TensorFlow reads ours, we read TensorFlow's."""

import hashlib
import json
import os
import tempfile

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

import common

KERNELS = {"conv2d": (5, 5, 1, 32), "conv2d_1": (5, 5, 32, 64), "dense": (3136, 1024), "dense_1": (1024, 10)}


def expected_variables():
    variables = {"global_step": np.array(10000, np.int64), "beta1_power": np.array(0.9, np.float32),
                 "beta2_power": np.array(0.999, np.float32)}
    for layer, shape in KERNELS.items():
        for name, dims in (("kernel", shape), ("bias", shape[-1:])):
            count = int(np.prod(dims))
            values = (0.25 * (np.arange(count) % 1000) - 100).astype(np.float32).reshape(dims)
            for slot in ("", "/Adam", "/Adam_1"):
                variables[f"{layer}/{name}{slot}"] = values
    return variables


def check_ours_in_tensorflow(directory):
    expected = expected_variables()
    assert tf.train.latest_checkpoint(directory) == f"{directory}/model.ckpt-10000"
    reader = tf.train.load_checkpoint(directory)
    assert set(reader.get_variable_to_shape_map()) == set(expected)
    for name, values in expected.items():
        read = reader.get_tensor(name)
        assert read.dtype == values.dtype and read.shape == values.shape, name
        assert np.array_equal(read, values), name
    state = tf.train.get_checkpoint_state(directory)
    assert [os.path.basename(p) for p in state.all_model_checkpoint_paths] == ["model.ckpt-10000"]
    print(f"TensorFlow reads our checkpoint: {len(expected)} variables equal")


def check_rows(path, expected):
    rows = {row["name"]: row for row in map(json.loads, common.run("interop_tool", "read", path).splitlines())}
    for name, values in expected.items():
        row = rows[name]
        assert tuple(row["shape"]) == values.shape, row
        assert row["sha256"] == hashlib.sha256(values.tobytes()).hexdigest(), row
    return rows


def index_block_types(index_path):
    """Types of the metaindex and the index block of a table: 0 uncompressed, 1 snappy."""
    with open(index_path, "rb") as file:
        data = file.read()

    def varint(at):
        value = shift = 0
        while True:
            value |= (data[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 128:
                return value, at

    at, types = len(data) - 48, []
    for _ in range(2):
        offset, at = varint(at)
        size, at = varint(at)
        types.append(data[offset + size])
    return types


def expect_uncompressed(index_path):
    """As this TensorFlow writes them, and as we do; the unit tests of the table reader have snappy ones, which others
    wrote."""
    types = index_block_types(index_path)
    assert types == [0, 0], f"{index_path}: types of metaindex and index block are {types}"


def check_tensorflows_in_ours(directory):
    """Version 1 Saver (what Estimator writes) and the object-based tf.train.Checkpoint."""
    expected = expected_variables()
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session() as session:
        for name, values in expected.items():
            tf.compat.v1.get_variable(name, initializer=values, use_resource=False)
        session.run(tf.compat.v1.global_variables_initializer())
        prefix = tf.compat.v1.train.Saver().save(session, f"{directory}/v1/model.ckpt", global_step=10000,
                                                 write_meta_graph=True)
    for path in (prefix, prefix + ".index", prefix + ".meta", f"{directory}/v1", f"{directory}/v1/checkpoint"):
        rows = check_rows(path, expected)
        assert set(rows) == set(expected)
    expect_uncompressed(prefix + ".index")
    for suffix in (".index", ".data-00000-of-00001"):
        with open(prefix + suffix, "rb") as theirs, open(f"{directory}/ours/model.ckpt-10000{suffix}", "rb") as ours:
            assert theirs.read() == ours.read(), f"{suffix} of TensorFlow's checkpoint is not ours byte for byte"
    print(f"we read a checkpoint of tf.compat.v1.train.Saver: {len(rows)} variables equal; its files are byte for byte ours")

    values = {"a": tf.Variable(np.arange(6, dtype=np.float32).reshape(2, 3)), "b": tf.Variable([1, 2], dtype=tf.int32)}
    path = tf.train.Checkpoint(**values).save(f"{directory}/v2/ckpt")
    rows = check_rows(path, {f"{name}/.ATTRIBUTES/VARIABLE_VALUE": v.numpy() for name, v in values.items()})
    graph_row = rows["_CHECKPOINTABLE_OBJECT_GRAPH"]
    text = tf.train.load_checkpoint(path).get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
    assert graph_row["dtype"] == "string" and graph_row["sha256"] == hashlib.sha256(text).hexdigest()
    expect_uncompressed(path + ".index")
    print(f"we read a tf.train.Checkpoint: {len(rows)} tensors, one of them a string")


def check_events(directory):
    events = event_accumulator.EventAccumulator(directory, size_guidance={
        event_accumulator.SCALARS: 0, event_accumulator.HISTOGRAMS: 0, event_accumulator.IMAGES: 0}).Reload()
    tags = events.Tags()
    assert tags["scalars"] == ["loss"], tags
    assert tags["histograms"] == ["dense/kernel"], tags
    assert sorted(tags["images"]) == ["mistakes/0", "mistakes/1"], tags
    # 100, 200, 300 and, after the START event that drops the last of them, 300 to 500.
    steps = [100, 200, 300, 400, 500]
    scalars = events.Scalars("loss")
    assert [e.step for e in scalars] == steps, scalars
    assert np.allclose([e.value for e in scalars], [1 / 100, 1 / 200, 1 / 500, 1 / 600, 1 / 700]), scalars
    values = (0.25 * (np.arange(5000) % 1000) - 100).astype(np.float32)
    for event in events.Histograms("dense/kernel"):
        histogram = event.histogram_value
        assert histogram.num == 5000 and histogram.min == values.min() and histogram.max == values.max()
        assert np.isclose(histogram.sum, values.sum(dtype=np.float64))
        assert np.isclose(sum(histogram.bucket), 5000)
    assert [e.step for e in events.Histograms("dense/kernel")] == steps
    for tag, side, channels in (("mistakes/0", 28, 1), ("mistakes/1", 32, 3)):
        images = events.Images(tag)
        assert [e.step for e in images] == steps
        pixels = tf.io.decode_png(images[0].encoded_image_string).numpy()
        assert pixels.shape == (side, side, channels) and (images[0].width, images[0].height) == (side, side)
    print(f"TensorBoard sees every tag with {len(steps)} points each, and drops what a resumed run overtook")


def main():
    with tempfile.TemporaryDirectory() as directory:
        common.run("interop_tool", "write", f"{directory}/ours")
        check_ours_in_tensorflow(f"{directory}/ours")
        check_tensorflows_in_ours(directory)
        check_events(f"{directory}/ours")


if __name__ == "__main__":
    main()
