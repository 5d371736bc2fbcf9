#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Our SavedModels in TensorFlow: the one that the run exported, and a frozen one."""

import os
import subprocess
import sys
import tempfile

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
        variables = values_of_variables(session)
        if variables:
            check_graphs_saver(session, meta_graph.saver_def, variables, os.path.join(directory, "variables/variables"))
        else:
            assert not meta_graph.HasField("saver_def"), meta_graph.saver_def
    return variables, (outputs["classes"], outputs["probabilities"])


def values_of_variables(session):
    return {v.op.name: session.run(v) for v in tf.compat.v1.global_variables()}


def same_values(some, others):
    return set(some) == set(others) and all(np.array_equal(some[name], others[name]) for name in some)


def check_graphs_saver(session, saver_def, variables, exported_prefix):
    """Saves and restores with the operators of the graph itself, by the names in its SaverDef: no Saver of Python, which
    would add operators of its own."""
    names = (saver_def.filename_tensor_name, saver_def.save_tensor_name, saver_def.restore_op_name)
    assert names == ("save/Const:0", "save/control_dependency:0", "save/restore_all"), saver_def
    filename, save, restore = names
    operators = len(session.graph.get_operations())
    with tempfile.TemporaryDirectory() as directory:
        prefix = os.path.join(directory, "saved")
        assert session.run(save, {filename: prefix}) == prefix.encode()
        reader = tf.train.load_checkpoint(prefix)
        assert same_values({name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}, variables)
        for suffix in (".data-00000-of-00001", ".index"):
            with open(prefix + suffix, "rb") as saved, open(exported_prefix + suffix, "rb") as exported:
                assert saved.read() == exported.read(), f"{suffix} of what TensorFlow saves is not ours byte for byte"
        session.run([v.initializer for v in tf.compat.v1.global_variables()])
        changed = values_of_variables(session)
        assert set(changed) == set(variables) and not any(
            np.array_equal(changed[name], variables[name]) for name in variables), "the initializers changed nothing"
        session.run(restore, {filename: prefix})
        assert same_values(values_of_variables(session), variables), "restored other values than saved"
    assert len(session.graph.get_operations()) == operators, "operators were added on the way"
    print(f"the graph's own {save} and {restore} save and restore {len(variables)} variables")


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


def saved_model_cli(*arguments):
    """What TensorFlow's command prints."""
    command = [os.path.join(os.path.dirname(sys.executable), "saved_model_cli"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"exit code {done.returncode} of {' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def with_saved_model_cli(directory, images):
    """`show` tells the tags and signatures; `run` predicts."""
    words = saved_model_cli("show", "--dir", directory, "--all").split()
    shown = " ".join(words)
    for signature in SIGNATURES:
        assert f"signature_def['{signature}']" in shown, shown
    for expected in ("MetaGraphDef with tag-set: 'serve'",
                     "inputs['inputs'] tensor_info: dtype: DT_FLOAT shape: (-1, 784) name: Placeholder:0",
                     "outputs['classes'] tensor_info: dtype: DT_INT64 shape: (-1) name: ArgMax:0",
                     "outputs['probabilities'] tensor_info: dtype: DT_FLOAT shape: (-1, 10) name: softmax_tensor:0"):
        assert shown.count(expected) == (1 if "tag-set" in expected else 2), f"{expected}\nin\n{shown}"
    assert shown.count("Method name is: tensorflow/serving/predict") == 2, shown
    with tempfile.TemporaryDirectory() as scratch:
        np.save(f"{scratch}/images.npy", images)
        saved_model_cli("run", "--dir", directory, "--tag_set", "serve", "--signature_def", "serving_default",
                        "--inputs", f"inputs={scratch}/images.npy", "--outdir", scratch)
        return np.load(f"{scratch}/classes.npy"), np.load(f"{scratch}/probabilities.npy")


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
        variables, outputs = with_tensorflow_1(path, images)
        common.expect_same_predictions(f"{name}, tf.compat.v1.saved_model.load", outputs, ours)
        common.expect_same_predictions(f"{name}, saved_model_cli", with_saved_model_cli(path, images), ours)
        if path == directory:
            check_variables(path, variables)
            check_variables_are_resources(loaded)
        else:
            assert not variables, variables


if __name__ == "__main__":
    main()
