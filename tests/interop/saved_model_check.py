#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Our SavedModels in TensorFlow: the one that the run exported, and a frozen one."""

import os

import numpy as np
import tensorflow as tf

import common

# What the tutorial's model declares.
SIGNATURES = {"serving_default", "prediction"}


def exported():
    """The newest version under run/export/Servo, and the directory as the tutorial lists it."""
    base = os.path.join(common.RUN, "export/Servo")
    versions = os.listdir(base)
    assert len(versions) == 1 and versions[0].isdecimal() and len(versions[0]) == 10, versions
    directory = os.path.join(base, versions[0])
    found = sorted(os.path.relpath(os.path.join(top, file), directory) for top, _, files in os.walk(directory)
                   for file in files)
    assert found == ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"], found
    size = os.path.getsize(os.path.join(directory, "variables/variables.data-00000-of-00001"))
    assert size == 13098544, f"{size} bytes of variables"
    return directory


def with_tensorflow_2(directory, images):
    loaded = tf.saved_model.load(directory)
    assert set(loaded.signatures) == SIGNATURES, loaded.signatures
    for name in SIGNATURES:
        function = loaded.signatures[name]
        inputs = function.structured_input_signature[1]
        assert set(inputs) == {"inputs"} and inputs["inputs"].shape.as_list() == [None, 784], inputs
        assert inputs["inputs"].dtype == tf.float32
        shapes = {key: (value.dtype, value.shape.as_list()) for key, value in function.structured_outputs.items()}
        assert shapes == {"classes": (tf.int64, [None]), "probabilities": (tf.float32, [None, 10])}, shapes
    outputs = loaded.signatures["serving_default"](inputs=tf.constant(images))
    # The batch dimension is free. (Not down to 0: TensorFlow 2.21 with oneDNN fails on any second convolution then.)
    for count in (1, 7):
        assert loaded.signatures["serving_default"](inputs=tf.constant(images[:count]))["classes"].shape == [count]
    return loaded, (outputs["classes"].numpy(), outputs["probabilities"].numpy())


def with_tensorflow_1(directory, images):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], directory)
        signature = meta_graph.signature_def["serving_default"]
        assert signature.method_name == "tensorflow/serving/predict", signature.method_name
        names = {key: info.name for key, info in signature.outputs.items()}
        outputs = session.run(names, {signature.inputs["inputs"].name: images})
        # A session can save what it loaded: the Saver's own operators work.
        saver = tf.compat.v1.train.Saver() if tf.compat.v1.global_variables() else None
        variables = {v.op.name: session.run(v) for v in tf.compat.v1.global_variables()}
    return (saver, variables), (outputs["classes"], outputs["probabilities"])


def check_variables(directory, variables):
    """The graph's variables are those of the checkpoint."""
    reader = tf.train.load_checkpoint(os.path.join(directory, "variables/variables"))
    assert set(variables) == set(reader.get_variable_to_shape_map()), variables
    checkpoint = tf.train.load_checkpoint(common.RUN)
    for name, value in variables.items():
        assert np.array_equal(value, checkpoint.get_tensor(name)), name
    assert variables["global_step"] == 300 and variables["global_step"].dtype == np.int64


def check_variables_are_resources(loaded):
    """TensorFlow 2 finds Python variables in it, so that it can be tuned further."""
    names = sorted(v.name for v in loaded.variables)
    assert len(names) == 9, names


def main():
    images = common.test_images()
    directory = exported()
    frozen = os.path.join(common.WORK_DIR, "frozen")
    frozen = os.path.join(frozen, os.listdir(frozen)[0])
    assert os.listdir(frozen) == ["saved_model.pb"], os.listdir(frozen)

    ours = common.our_predictions(common.RUN)
    for name, path in (("SavedModel", directory), ("frozen SavedModel", frozen)):
        loaded, outputs = with_tensorflow_2(path, images)
        common.expect_same_predictions(f"{name}, tf.saved_model.load", outputs, ours)
        (_, variables), outputs = with_tensorflow_1(path, images)
        common.expect_same_predictions(f"{name}, tf.compat.v1.saved_model.load", outputs, ours)
        if path == directory:
            check_variables(path, variables)
            check_variables_are_resources(loaded)
        else:
            assert not variables, variables


if __name__ == "__main__":
    main()
