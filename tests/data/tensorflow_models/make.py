# SPDX-License-Identifier: Apache-2.0
"""Writes the models of this folder: one small network, saved in every way that the importers read.

Run here with TensorFlow 2.21, Keras 3, tf_keras, tf2onnx and onnx; the files hold no times and no random numbers beyond the seed.
"""
import os
import shutil
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

v1 = tf.compat.v1
HERE = os.path.dirname(os.path.abspath(__file__))
SHAPES = {
    "conv2d/kernel": (3, 3, 1, 4), "conv2d/bias": (4,),
    "conv2d_1/kernel": (3, 3, 4, 5), "conv2d_1/bias": (5,),
    "dense/kernel": (20, 6), "dense/bias": (6,),
    "dense_1/kernel": (6, 3), "dense_1/bias": (3,),
}
random = np.random.RandomState(7)
WEIGHTS = {name: random.uniform(-0.6, 0.6, shape).astype(np.float32) for name, shape in SHAPES.items()}
INPUTS = random.uniform(0, 1, (5, 64)).astype(np.float32)


def path(name):
    full = os.path.join(HERE, name)
    if os.path.isdir(full):
        shutil.rmtree(full)
    return full


def features(image, w, add=tf.nn.bias_add):
    """Of images (n, 8, 8, 1), up to the flattened 20."""
    x = tf.nn.relu(add(tf.nn.conv2d(image, w["conv2d/kernel"], 1, "SAME"), w["conv2d/bias"]))
    x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = tf.nn.relu(add(tf.nn.conv2d(x, w["conv2d_1/kernel"], 1, "SAME"), w["conv2d_1/bias"]))
    return tf.nn.max_pool2d(x, 2, 2, "VALID")


def logits_of(flat, w, dropout=tf.identity, add=tf.nn.bias_add):
    x = tf.nn.relu(add(tf.matmul(flat, w["dense/kernel"]), w["dense/bias"]))
    return add(tf.matmul(dropout(x), w["dense_1/kernel"]), w["dense_1/bias"])


def network(inputs, w):
    x = features(tf.reshape(inputs, [-1, 8, 8, 1]), w)
    return logits_of(tf.reshape(x, [-1, 20]), w)


def variables(scope, use_resource):
    return {name: v1.get_variable(scope + name, initializer=value, use_resource=use_resource)
            for name, value in WEIGHTS.items()}


def save_v1(name, session, inputs, logits, strip_defaults=False):
    builder = v1.saved_model.Builder(path(name))
    signature = v1.saved_model.predict_signature_def(
        {"inputs": inputs}, {"classes": tf.argmax(logits, 1), "probabilities": tf.nn.softmax(logits)})
    builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature, "prediction": signature},
                                         strip_default_attrs=strip_defaults)
    builder.save()


def v1_resource():
    with tf.Graph().as_default(), v1.Session() as session:
        inputs = v1.placeholder(tf.float32, [None, 64], "images")
        logits = network(inputs, variables("tower/", True))
        session.run(v1.global_variables_initializer())
        save_v1("v1_resource", session, inputs, logits, strip_defaults=True)


def v1_reference():
    """Reference variables, sums instead of BiasAdd, a flatten that computes its shape, a conditional dropout."""
    with tf.Graph().as_default(), v1.Session() as session:
        v1.disable_control_flow_v2()
        inputs = v1.placeholder(tf.float32, [None, 8, 8, 1], "x")
        training = v1.placeholder_with_default(False, [], "training")
        w = variables("", False)
        x = features(inputs, w, tf.add)
        flat = tf.reshape(x, tf.stack([tf.shape(x)[0], -1]))
        dropout = lambda x: v1.cond(training, lambda: v1.nn.dropout(x, rate=0.25), lambda: tf.identity(x))
        logits = logits_of(flat, w, dropout, tf.add)
        session.run(v1.global_variables_initializer())
        save_v1("v1_reference", session, inputs, logits)


def v1_frozen():
    with tf.Graph().as_default(), v1.Session() as session:
        inputs = v1.placeholder(tf.float32, [None, 64], "images")
        logits = network(inputs, WEIGHTS)
        save_v1("v1_frozen", session, inputs, logits, strip_defaults=True)
    shutil.rmtree(os.path.join(HERE, "v1_frozen", "variables"), ignore_errors=True)


def checkpoint_v1():
    """A training run of TensorFlow 1: Adam slots, a queue in front, the graph in `.meta`, two shards."""
    directory = path("checkpoint_v1")
    os.makedirs(directory)
    prefix = os.path.join(directory, "model.ckpt-70")
    with tf.Graph().as_default(), v1.Session() as session:
        images, labels = v1.train.batch([tf.zeros([64]), tf.constant(1)], 4)
        keep = v1.placeholder_with_default(1.0, [], "keep")
        w = variables("", False)
        x = features(tf.reshape(images, [-1, 8, 8, 1]), w)
        logits = logits_of(tf.reshape(x, [-1, 20]), w, lambda x: v1.nn.dropout(x, keep_prob=keep))
        loss = v1.losses.sparse_softmax_cross_entropy(labels, logits)
        step = v1.train.get_or_create_global_step()
        v1.train.AdamOptimizer().minimize(loss, step)
        session.run(v1.global_variables_initializer())
        session.run(step.assign(70))
        v1.train.Saver().save(session, os.path.join(directory, "all"), write_state=False,
                              strip_default_attrs=True)
    meta_graph = v1.MetaGraphDef()
    with open(os.path.join(directory, "all.meta"), "rb") as f:
        meta_graph.ParseFromString(f.read())
    os.remove(os.path.join(directory, "all.meta"))
    meta_graph.meta_info_def.ClearField("stripped_op_list")  # three quarters of the file
    with open(prefix + ".meta", "wb") as f:
        f.write(meta_graph.SerializeToString(deterministic=True))
    reader = tf.train.load_checkpoint(os.path.join(directory, "all"))
    names = sorted(reader.get_variable_to_shape_map())
    parts = [os.path.join(directory, "part%d" % i) for i in range(2)]
    for i, part in enumerate(parts):
        mine = names[i::2]
        tf.raw_ops.SaveV2(prefix=part, tensor_names=mine, shape_and_slices=[""] * len(mine),
                          tensors=[reader.get_tensor(name) for name in mine])
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=prefix)
    for suffix in (".index", ".data-00000-of-00001"):
        os.remove(os.path.join(directory, "all") + suffix)
    with open(os.path.join(directory, "checkpoint"), "w") as f:
        f.write('model_checkpoint_path: "model.ckpt-70"\n')


class Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.w = {name: tf.Variable(value, name=name) for name, value in WEIGHTS.items()}

    @tf.function(input_signature=[tf.TensorSpec([None, 64], tf.float32, "pixels")])
    def __call__(self, pixels):
        return {"probabilities": tf.nn.softmax(self.logits(pixels))}

    @tf.function
    def logits(self, pixels):
        return network(pixels, self.w)


def v2_module():
    module = Module()
    tf.saved_model.save(module, path("v2_module"), signatures=module.__call__)


def keras_model():
    k = tf.keras.layers
    model = tf.keras.Sequential([
        k.Reshape((8, 8, 1), input_shape=(64,)),
        k.Conv2D(4, 3, padding="same", activation="relu"), k.MaxPool2D(),
        k.Conv2D(5, 3, padding="same", activation="relu"), k.MaxPool2D(),
        k.Flatten(), k.Dense(6, activation="relu"), k.Dropout(0.4), k.Dense(3, activation="softmax")])
    model.set_weights(list(WEIGHTS.values()))
    return model


def v2_keras():
    model = keras_model()
    model.export(path("v2_keras"))
    assert np.allclose(model(INPUTS), expected(), atol=1e-6)


def checkpoint_v2():
    """The objects of TensorFlow 2, Adam included."""
    directory = path("checkpoint_v2")
    model = keras_model()
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    tf.train.Checkpoint(model=model, optimizer=optimizer, step=tf.Variable(9, dtype=tf.int64)).write(
        os.path.join(directory, "ckpt-1"))


def keras3_model():
    """Of a second model of the process: its layers are not numbered like ours."""
    import keras  # Keras 3; tf.keras is Keras 2 here
    k = keras.layers

    def build():
        return keras.Sequential([
            keras.Input((64,)), k.Reshape((8, 8, 1)),
            k.Conv2D(4, 3, padding="same", activation="relu"), k.MaxPooling2D(),
            k.Conv2D(5, 3, padding="same", activation="relu"), k.MaxPooling2D(),
            k.Flatten(), k.Dense(6, activation="relu"), k.Dropout(0.4), k.Dense(3, activation="softmax")])

    build()
    model = build()
    model.set_weights(list(WEIGHTS.values()))
    assert np.allclose(model(INPUTS), expected(), atol=1e-6)
    return model


def v2_keras3():
    tf.saved_model.save(keras3_model(), path("v2_keras3"))


def checkpoint_keras3():
    """Two checkpoints of the same objects: with an optimizer, which then names the variables, and without."""
    import keras
    directory = path("checkpoint_keras3")
    model = keras3_model()
    tf.train.Checkpoint(model=model).write(os.path.join(directory, "plain"))
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    tf.train.Checkpoint(model=model, optimizer=optimizer).write(os.path.join(directory, "trained"))


def onnx_tf2onnx():
    import tf2onnx
    module = Module()
    model, _ = tf2onnx.convert.from_function(module.__call__, [tf.TensorSpec([None, 64], tf.float32, "pixels")],
                                             opset=13)
    for node in model.graph.node:
        node.doc_string = ""
    onnx.save(model, path("tf2onnx.onnx"))


def onnx_torch():
    """As torch.onnx.export writes it: channels first, Gemm with transB, a flatten with a computed batch."""
    w = WEIGHTS
    rows = w["dense/kernel"].reshape(2, 2, 5, 6).transpose(2, 0, 1, 3).reshape(20, 6)
    tensors = {"0.weight": w["conv2d/kernel"].transpose(3, 2, 0, 1), "0.bias": w["conv2d/bias"],
               "3.weight": w["conv2d_1/kernel"].transpose(3, 2, 0, 1), "3.bias": w["conv2d_1/bias"],
               "7.weight": rows.T, "7.bias": w["dense/bias"],
               "9.weight": w["dense_1/kernel"].T}
    initializers = [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in tensors.items()]
    initializers.append(helper.make_tensor("9.bias", TensorProto.FLOAT, [3], w["dense_1/bias"].tolist()))  # float_data
    node = helper.make_node
    pool = dict(kernel_shape=[2, 2], strides=[2, 2])
    nodes = [
        node("Conv", ["input", "0.weight", "0.bias"], ["a"], "/0/Conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"]), node("MaxPool", ["b"], ["c"], **pool),
        node("Conv", ["c", "3.weight", "3.bias"], ["d"], "/3/Conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["d"], ["e"]), node("MaxPool", ["e"], ["f"], **pool),
        node("Shape", ["f"], ["s"]), node("Constant", [], ["zero"], value_int=0),
        node("Gather", ["s", "zero"], ["n"], axis=0),
        node("Constant", [], ["front"], value=numpy_helper.from_array(np.array([0], np.int64))),
        node("Unsqueeze", ["n", "front"], ["n1"]),
        node("Constant", [], ["rest"], value=numpy_helper.from_array(np.array([-1], np.int64))),
        node("Concat", ["n1", "rest"], ["shape"], axis=0), node("Reshape", ["f", "shape"], ["g"]),
        node("Gemm", ["g", "7.weight", "7.bias"], ["h"], transB=1), node("Relu", ["h"], ["i"]),
        node("Dropout", ["i"], ["j"]),
        node("Gemm", ["j", "9.weight", "9.bias"], ["k"], transB=1), node("Softmax", ["k"], ["output"], axis=1)]
    graph = helper.make_graph(
        nodes, "torch", [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 3])], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7, producer_name="pytorch")
    onnx.checker.check_model(model)
    onnx.save(model, path("torch.onnx"))


def expected():
    return tf.nn.softmax(network(INPUTS, WEIGHTS)).numpy()


def check_onnx(name):
    import onnxruntime
    session = onnxruntime.InferenceSession(os.path.join(HERE, name))
    shape = (5, 1, 8, 8) if name == "torch.onnx" else (5, 64)
    outputs = session.run(None, {session.get_inputs()[0].name: INPUTS.reshape(shape)})
    assert np.allclose(outputs[0], expected(), atol=1e-6), outputs


def main():
    INPUTS.tofile(path("inputs.f32"))
    expected().tofile(path("probabilities.f32"))
    for make in (v1_resource, v1_reference, v1_frozen, checkpoint_v1, v2_module, v2_keras, checkpoint_v2, v2_keras3,
                 checkpoint_keras3, onnx_tf2onnx, onnx_torch):
        if len(sys.argv) == 1 or make.__name__ in sys.argv[1:]:
            make()
    for name in ("torch.onnx", "tf2onnx.onnx"):
        check_onnx(name)
    for root, _, files in os.walk(HERE):
        if "fingerprint.pb" in files and os.path.basename(root) != "v2_module":  # one is enough
            os.remove(os.path.join(root, "fingerprint.pb"))


if __name__ == "__main__":
    main()
