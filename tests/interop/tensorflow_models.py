#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the tutorial's network in TensorFlow and writes it in every way that TensorFlow writes models, into
$LOCKSTEP_INTEROP_DIR/tensorflow, with what TensorFlow predicts for the test images (predictions.npz):

  reference/   SavedModel of TensorFlow 1: VariableV2, as the tutorial's 2017 program made it
  resource/    the same with resource variables
  frozen/      the same with the variables turned into constants
  module/      tf.saved_model.save of a tf.Module (TensorFlow 2)
  keras/       export() of a Keras model
  saver/       model.ckpt-STEPS of tf.compat.v1.train.Saver, with its .meta
  objects/     tf.train.Checkpoint of the module
"""

import os
import shutil

import keras
import numpy as np
import tensorflow as tf

import common

v1 = tf.compat.v1
OUT = os.path.join(common.WORK_DIR, "tensorflow")
STEPS, BATCH = 200, 100
SHAPES = {"conv2d/kernel": (5, 5, 1, 32), "conv2d/bias": (32,), "conv2d_1/kernel": (5, 5, 32, 64),
          "conv2d_1/bias": (64,), "dense/kernel": (3136, 1024), "dense/bias": (1024,),
          "dense_1/kernel": (1024, 10), "dense_1/bias": (10,)}


def training_batches():
    images = common.as_input(common.read_idx("train-images-idx3-ubyte"))
    labels = common.read_idx("train-labels-idx1-ubyte").astype(np.int32)
    for rows in np.random.default_rng(1).permutation(len(images))[:STEPS * BATCH].reshape(STEPS, BATCH):
        yield images[rows], labels[rows]


def build_graph(features, use_resource, training=None):
    """The tutorial's model function, with tf.layers (gone from TensorFlow 2.16 on) spelled out in its operators."""
    x = tf.reshape(features, [-1, 28, 28, 1])
    for name in ("conv2d", "conv2d_1"):
        x = tf.nn.conv2d(x, variable(f"{name}/kernel", use_resource), 1, "SAME", name=f"{name}/Conv2D")
        x = tf.nn.relu(tf.nn.bias_add(x, variable(f"{name}/bias", use_resource), name=f"{name}/BiasAdd"))
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = tf.reshape(x, [-1, 7 * 7 * 64])
    x = tf.matmul(x, variable("dense/kernel", use_resource), name="dense/MatMul")
    x = tf.nn.relu(tf.nn.bias_add(x, variable("dense/bias", use_resource)))
    if training is not None:
        x = v1.cond(training, lambda: tf.nn.dropout(x, rate=0.4), lambda: tf.identity(x), name="dropout")
    logits = tf.matmul(x, variable("dense_1/kernel", use_resource), name="dense_1/MatMul")
    return tf.nn.bias_add(logits, variable("dense_1/bias", use_resource), name="dense_1/BiasAdd")


def variable(name, use_resource):
    initializer = v1.zeros_initializer() if name.endswith("bias") else v1.glorot_uniform_initializer(seed=1)
    return v1.get_variable(name, SHAPES[name], initializer=initializer, use_resource=use_resource)


def outputs_of(logits):
    return {"classes": tf.argmax(logits, 1), "probabilities": tf.nn.softmax(logits, name="softmax_tensor")}


def train(directory):
    """Trains, saves with the Saver, and returns (weights, predictions)."""
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(1)
        step = v1.train.create_global_step()
        features = v1.placeholder(tf.float32, [None, 784], name="features")
        labels = v1.placeholder(tf.int32, [None], name="labels")
        training = v1.placeholder_with_default(False, [], name="training")
        logits = build_graph(features, use_resource=False, training=training)
        outputs = outputs_of(logits)
        loss = v1.losses.sparse_softmax_cross_entropy(labels, logits)
        minimize = v1.train.AdamOptimizer(1e-3).minimize(loss, step)
        saver = v1.train.Saver()
        session.run(v1.global_variables_initializer())
        for images, targets in training_batches():
            session.run(minimize, {features: images, labels: targets, training: True})
        saver.save(session, os.path.join(directory, "model.ckpt"), global_step=step)
        weights = {v.op.name: session.run(v) for v in v1.trainable_variables()}
        images, parts = common.test_images(), []
        for begin in range(0, len(images), 1000):
            parts.append(session.run(outputs, {features: images[begin:begin + 1000]}))
    return weights, {key: np.concatenate([part[key] for part in parts]) for key in ("classes", "probabilities")}


def export_graph(directory, weights, use_resource, freeze=False):
    """As an Estimator exports: a fresh graph with a placeholder, the variables restored, a SavedModel of version 1."""
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.create_global_step()
        features = v1.placeholder(tf.float32, [None, 784], name="Placeholder")
        outputs = outputs_of(build_graph(features, use_resource))
        session.run(v1.global_variables_initializer())
        for v in v1.trainable_variables():
            v.load(weights[v.op.name], session)
        session.run(v1.assign(v1.train.get_global_step(), STEPS))
        if not freeze:
            return write_saved_model(directory, session, features, outputs)
        names = {key: value.op.name for key, value in outputs.items()}
        graph = v1.graph_util.convert_variables_to_constants(session, session.graph_def, list(names.values()))
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(graph, name="")
        tensor = session.graph.get_tensor_by_name
        write_saved_model(directory, session, tensor("Placeholder:0"),
                          {key: tensor(name + ":0") for key, name in names.items()})


def write_saved_model(directory, session, features, outputs):
    signature = v1.saved_model.predict_signature_def({"inputs": features}, outputs)
    builder = v1.saved_model.Builder(directory)
    builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
    builder.save()


class Module(tf.Module):
    """TensorFlow 2: variables are attributes, the network is a function."""

    def __init__(self, weights):
        super().__init__()
        self.layers = {name: tf.Variable(value, name=name) for name, value in weights.items()}
        self.step = tf.Variable(STEPS, dtype=tf.int64)

    @tf.function(input_signature=[tf.TensorSpec([None, 784], tf.float32, name="inputs")])
    def serve(self, inputs):
        w = self.layers
        x = tf.reshape(inputs, [-1, 28, 28, 1])
        for name in ("conv2d", "conv2d_1"):
            x = tf.nn.relu(tf.nn.conv2d(x, w[f"{name}/kernel"], 1, "SAME") + w[f"{name}/bias"])
            x = tf.nn.max_pool2d(x, 2, 2, "SAME")
        x = tf.reshape(x, [tf.shape(x)[0], -1])
        x = tf.nn.relu(x @ w["dense/kernel"] + w["dense/bias"])
        return outputs_of(x @ w["dense_1/kernel"] + w["dense_1/bias"])


def keras_model(weights):
    model = keras.Sequential([
        keras.Input((784,)), keras.layers.Reshape((28, 28, 1)),
        keras.layers.Conv2D(32, 5, padding="same", activation="relu"), keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(64, 5, padding="same", activation="relu"), keras.layers.MaxPooling2D(),
        keras.layers.Flatten(), keras.layers.Dense(1024, activation="relu"), keras.layers.Dropout(0.4),
        keras.layers.Dense(10, activation="softmax")])
    model.set_weights([weights[name] for name in SHAPES])
    return model


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    weights, predictions = train(os.path.join(OUT, "saver"))
    np.savez(os.path.join(OUT, "predictions.npz"), **predictions)
    export_graph(os.path.join(OUT, "reference"), weights, use_resource=False)
    export_graph(os.path.join(OUT, "resource"), weights, use_resource=True)
    export_graph(os.path.join(OUT, "frozen"), weights, use_resource=True, freeze=True)
    module = Module(weights)
    tf.saved_model.save(module, os.path.join(OUT, "module"), signatures=module.serve)
    tf.train.Checkpoint(model=module).save(os.path.join(OUT, "objects", "ckpt"))
    keras_model(weights).export(os.path.join(OUT, "keras"))
    accuracy = common.accuracy(predictions["classes"])
    print(f"trained {STEPS} steps in TensorFlow {tf.__version__}: accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
