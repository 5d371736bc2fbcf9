#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Models of TensorFlow, by tf.function and by its 1.x API, that do something with what their last layer gives: reorder,
cut, cast, scale it. We refuse each and name a node; those that change nothing we take."""

import os
import shutil

import numpy as np
import tensorflow as tf

import common

v1 = tf.compat.v1
softmax = tf.nn.softmax
OUT = os.path.join(common.WORK_DIR, "rearranged")
random = np.random.RandomState(3)
WEIGHTS = {name: random.uniform(-1, 1, shape).astype(np.float32) for name, shape in
           {"k": (3, 3, 1, 2), "b": (2,), "w": (32, 4), "c": (4,)}.items()}


def network(inputs, w):
    x = tf.nn.conv2d(tf.reshape(inputs, [-1, 8, 8, 1]), w["k"], 1, "SAME")
    x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.bias_add(x, w["b"])), 2, 2, "VALID")
    return tf.nn.bias_add(tf.matmul(tf.reshape(x, [-1, 32]), w["w"]), w["c"])


def square(x):
    return tf.reshape(x, [-1, 2, 2])


# Outputs of the four logits. Of the first, nothing but the logits' order matters; the others compute something else.
TAKEN = {
    "plain": lambda x: {"p": softmax(x), "c": tf.argmax(x, 1)},
    "folded_and_unfolded": lambda x: {"p": softmax(tf.reshape(square(x), [-1, 4]))},
    "class_cast_to_int32": lambda x: {"p": softmax(x), "c": tf.cast(tf.argmax(x, 1), tf.int32)},
    "class_of_int32": lambda x: {"p": softmax(x), "c": tf.argmax(x, 1, output_type=tf.int32)},
}
REFUSED = {
    "reversed": lambda x: {"p": softmax(tf.reverse(x, [1]))},
    "gathered": lambda x: {"p": softmax(tf.gather(x, [3, 1, 0, 2], axis=1))},
    "rolled": lambda x: {"p": softmax(tf.roll(x, 1, 1))},
    "sliced": lambda x: {"p": softmax(x[:, :3])},
    "sliced_backwards": lambda x: {"p": softmax(x[:, ::-1])},
    "sliced_behind": lambda x: {"p": softmax(x)[:, 1:]},
    "one_class": lambda x: {"p": softmax(x)[:, 0]},
    "first_example": lambda x: {"p": softmax(x[:1])},
    "folded": lambda x: {"p": softmax(square(x))},
    "folded_behind": lambda x: {"p": square(softmax(x))},
    "folded_into_examples": lambda x: {"p": softmax(tf.reshape(x, [-1, 2]))},
    "permuted": lambda x: {"p": softmax(tf.reshape(tf.transpose(square(x), [0, 2, 1]), [-1, 4]))},
    "transposed": lambda x: {"p": tf.transpose(softmax(x))},
    "transposed_twice": lambda x: {"p": tf.transpose(softmax(tf.transpose(x)))},
    "expanded": lambda x: {"p": tf.expand_dims(softmax(x), 1)},
    "concatenated": lambda x: {"p": softmax(tf.concat([x, x], 1))},
    "unstacked": lambda x: {"p": tf.stack(tf.unstack(softmax(x), axis=1)[::-1], 1)},
    "cast_to_int": lambda x: {"p": tf.cast(softmax(x), tf.int32)},
    "logits_cast_to_int": lambda x: {"p": tf.cast(x, tf.int64)},
    "by_way_of_half": lambda x: {"p": tf.cast(softmax(tf.cast(x, tf.float16)), tf.float32)},
    "by_way_of_double": lambda x: {"p": softmax(tf.cast(x, tf.float64))},
    "scaled": lambda x: {"p": softmax(x * 2)},
    "negated": lambda x: {"p": softmax(-x)},
    "rounded": lambda x: {"p": tf.round(softmax(x))},
    "sorted": lambda x: {"p": tf.sort(softmax(x))},
    "softmax_twice": lambda x: {"p": softmax(softmax(x))},
    "biased_twice": lambda x: {"p": softmax(tf.nn.bias_add(x, [1., 2., 3., 4.]))},
    "one_hot": lambda x: {"p": tf.one_hot(tf.argmax(x, 1), 4)},
    "class_plus_one": lambda x: {"p": softmax(x), "c": tf.argmax(x, 1) + 1},
    "class_of_a_slice": lambda x: {"p": softmax(x), "c": tf.argmax(x[:, 1:], 1)},
    "class_cast_to_bool": lambda x: {"p": softmax(x), "c": tf.cast(tf.argmax(x, 1), tf.bool)},
    "class_expanded": lambda x: {"p": softmax(x), "c": tf.expand_dims(tf.argmax(x, 1), 1)},
    "class_of_the_examples": lambda x: {"p": softmax(x), "c": tf.argmax(x, 0)},
    "smallest": lambda x: {"p": softmax(x), "c": tf.argmin(x, 1)},
}


def save_function(directory, head):
    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.w = {name: tf.Variable(value, name=name) for name, value in WEIGHTS.items()}

        @tf.function(input_signature=[tf.TensorSpec([None, 64], tf.float32, "pixels")])
        def __call__(self, pixels):
            return head(network(pixels, self.w))

    model = Model()
    tf.saved_model.save(model, directory, signatures=model.__call__)


def save_session(directory, head):
    with tf.Graph().as_default(), v1.Session() as session:
        pixels = v1.placeholder(tf.float32, [None, 64])
        w = {name: v1.get_variable(name, initializer=value, use_resource=False) for name, value in WEIGHTS.items()}
        outputs = head(network(pixels, w))
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, directory, {"pixels": pixels}, outputs)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    for api, save in (("function", save_function), ("session", save_session)):
        for name, head in {**TAKEN, **REFUSED}.items():
            source = os.path.join(OUT, api, name)
            save(source, head)
            refused = name in REFUSED
            said = common.run("lockstep", "import", "--source", source, "--directory", source + "_imported",
                              expect_failure=refused)
            assert not refused or ("node `" in said and source in said), f"{api} {name}: {said}"
            assert os.path.exists(source + "_imported") != refused, f"{api} {name}"
        print(f"{api}: {len(TAKEN)} models taken, {len(REFUSED)} refused by the names of their nodes")


if __name__ == "__main__":
    main()
