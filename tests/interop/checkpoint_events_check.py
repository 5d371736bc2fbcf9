#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checkpoints and event files of a real run, read by TensorFlow and TensorBoard."""

import hashlib
import json
import os

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

import common

VARIABLES = {"conv2d/kernel": (5, 5, 1, 32), "conv2d/bias": (32,), "conv2d_1/kernel": (5, 5, 32, 64),
             "conv2d_1/bias": (64,), "dense/kernel": (3136, 1024), "dense/bias": (1024,), "dense_1/kernel": (1024, 10),
             "dense_1/bias": (10,)}


def check_checkpoints(summary):
    state = tf.train.get_checkpoint_state(common.RUN)
    steps = [int(path.rsplit("-", 1)[1]) for path in state.all_model_checkpoint_paths]
    assert steps == [100, 200, 300], steps
    expected = dict(VARIABLES, global_step=(), beta1_power=(), beta2_power=())
    expected.update({name + slot: shape for name, shape in VARIABLES.items() for slot in ("/Adam", "/Adam_1")})
    for step, path in zip(steps, state.all_model_checkpoint_paths):
        reader = tf.train.load_checkpoint(path)
        shapes = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
        assert shapes == expected, shapes
        assert reader.get_tensor("global_step") == step and reader.get_tensor("global_step").dtype == np.int64
        # TensorFlow's Adam holds beta^(steps + 1) in a product of float32.
        for name, beta in (("beta1_power", 0.9), ("beta2_power", 0.999)):
            assert np.isclose(reader.get_tensor(name), beta ** (step + 1), rtol=1e-4, atol=1e-30), (name, step)
        for name in VARIABLES:
            moment, square = reader.get_tensor(name + "/Adam"), reader.get_tensor(name + "/Adam_1")
            assert np.isfinite(moment).all() and np.isfinite(square).all() and (square >= 0).all(), name
            assert (square > 0).any() and (moment != 0).any(), f"{name}: Adam has not moved"
    digest = hashlib.sha256()
    for name in sorted(VARIABLES):
        digest.update(reader.get_tensor(name).tobytes())
    assert digest.hexdigest() == summary["weights_sha256"]
    print(f"tf.train.load_checkpoint reads {len(expected)} tensors at steps {steps}, the weights are those of run.json")


def check_adam_goes_on_in_tensorflow():
    """The checkpoint restored into a TensorFlow 1 graph with AdamOptimizer's own slots: every name is found."""
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.train.create_global_step()
        variables = [tf.compat.v1.get_variable(name, shape, use_resource=False) for name, shape in VARIABLES.items()]
        loss = tf.add_n([tf.reduce_sum(v * v) for v in variables])
        tf.compat.v1.train.AdamOptimizer(1e-3).minimize(loss, tf.compat.v1.train.get_global_step())
        saver = tf.compat.v1.train.Saver()
        saver.restore(session, tf.train.latest_checkpoint(common.RUN))
        assert session.run(tf.compat.v1.train.get_global_step()) == 300
        names = {v.op.name for v in tf.compat.v1.global_variables()}
        assert names == set(tf.train.load_checkpoint(common.RUN).get_variable_to_shape_map()), names
    print(f"tf.compat.v1.train.Saver restores all {len(names)} variables of a graph with AdamOptimizer")


def accumulate(directory):
    everything = {kind: 0 for kind in (event_accumulator.SCALARS, event_accumulator.HISTOGRAMS,
                                       event_accumulator.IMAGES, event_accumulator.TENSORS)}
    return event_accumulator.EventAccumulator(directory, size_guidance=everything).Reload()


def check_training_events():
    events = accumulate(common.RUN)
    tags = events.Tags()
    scalars = {"OptimizeLoss": "loss", "loss": "loss", "global_step/sec": "global_step_per_s",
               "images_per_sec": "images_per_s", "learning_rate": "learning_rate", "rank_0/communication_seconds": None,
               "rank_0/cpu_percent": None, "rank_0/resident_memory_bytes": None}
    assert set(tags["scalars"]) == set(scalars), tags["scalars"]
    assert set(tags["histograms"]) == set(VARIABLES), tags["histograms"]
    rows, steps = common.metrics("train"), list(range(10, 301, 10))
    for tag, key in scalars.items():
        points = events.Scalars(tag)
        assert [p.step for p in points] == steps, (tag, points)
        if key:
            assert np.allclose([p.value for p in points], [rows[s][key] for s in steps], rtol=1e-6), tag
    reader = tf.train.load_checkpoint(common.RUN)
    for tag, shape in VARIABLES.items():
        points = events.Histograms(tag)
        assert [p.step for p in points] == [100, 200, 300], (tag, [p.step for p in points])
        for point in points:
            assert point.histogram_value.num == np.prod(shape) == sum(point.histogram_value.bucket), tag
        weights = reader.get_tensor(tag)
        assert (points[-1].histogram_value.min, points[-1].histogram_value.max) == (weights.min(), weights.max()), tag
    assert tags["graph"], "no graph in the events"
    graph = tf.compat.v1.GraphDef.FromString(events.Graph().SerializeToString())
    tf.import_graph_def(graph, name="")
    print(f"the run's events: {len(scalars)} scalar tags with {len(steps)} points each, {len(VARIABLES)} histogram tags",
          f"with 3, a graph of {len(graph.node)} nodes")


def check_evaluation_events():
    events = accumulate(os.path.join(common.RUN, "eval"))
    rows = common.metrics("eval")
    assert set(events.Tags()["scalars"]) == {"accuracy", "loss"}, events.Tags()
    for tag in ("accuracy", "loss"):
        points = events.Scalars(tag)
        assert [p.step for p in points] == sorted(rows) == [100, 200, 300], points
        assert np.allclose([p.value for p in points], [rows[p.step][tag] for p in points], rtol=1e-6), tag
    shown = [(tag, point) for tag in events.Tags()["images"] for point in events.Images(tag)]
    assert len(shown) == 30, f"{len(shown)} images, expected ten for each of three evaluations"
    for tag, point in shown:
        assert tf.io.decode_png(point.encoded_image_string).shape == (28, 28, 1), tag
    print(f"the evaluation's events: accuracy and loss with {len(rows)} points each, {len(shown)} images")


def main():
    with open(os.path.join(common.RUN, "run.json")) as file:
        summary = json.load(file)
    check_checkpoints(summary)
    check_adam_goes_on_in_tensorflow()
    check_training_events()
    check_evaluation_events()


if __name__ == "__main__":
    main()
