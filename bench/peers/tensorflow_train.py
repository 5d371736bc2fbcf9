# SPDX-License-Identifier: Apache-2.0
"""The reference network's training step in TensorFlow, on the CPU: oneDNN graph, Keras, and XLA."""
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import peer  # noqa: E402
import tensorflow as tf  # noqa: E402


def forward_loss(w, x, labels):
    for kernel, bias in ((w[0], w[1]), (w[2], w[3])):
        x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias))
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = tf.reshape(x, (x.shape[0], -1))
    x = tf.nn.relu(tf.nn.bias_add(tf.matmul(x, w[4]), w[5]))
    x = tf.nn.dropout(x, peer.DROPOUT)
    logits = tf.nn.bias_add(tf.matmul(x, w[6]), w[7])
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def raw_step(jit):
    """tf.nn operators; Adam as the fused kernel, or as plain arithmetic that XLA fuses."""
    w = [tf.Variable(v) for v in peer.initial_weights()]
    m = [tf.Variable(tf.zeros_like(v)) for v in w]
    s = [tf.Variable(tf.zeros_like(v)) for v in w]
    t = tf.Variable(0.0)

    @tf.function(jit_compile=jit)
    def step(x, labels):
        with tf.GradientTape() as tape:
            loss = forward_loss(w, x, labels)
        t.assign_add(1.0)
        b1, b2 = tf.pow(0.9, t), tf.pow(0.999, t)
        for wi, mi, si, g in zip(w, m, s, tape.gradient(loss, w)):
            tf.raw_ops.ResourceApplyAdam(
                var=wi.handle, m=mi.handle, v=si.handle, beta1_power=b1, beta2_power=b2, lr=peer.LEARNING_RATE,
                beta1=0.9, beta2=0.999, epsilon=1e-8, grad=g)
        return loss

    return step


def keras_step(jit):
    layers = tf.keras.layers
    model = tf.keras.Sequential([
        tf.keras.Input((28, 28, 1)),
        layers.Conv2D(32, 5, padding="same", activation="relu"), layers.MaxPool2D(2),
        layers.Conv2D(64, 5, padding="same", activation="relu"), layers.MaxPool2D(2),
        layers.Flatten(), layers.Dense(1024, activation="relu"), layers.Dropout(peer.DROPOUT), layers.Dense(10)])
    model.compile(optimizer=tf.keras.optimizers.Adam(peer.LEARNING_RATE, epsilon=1e-8),
                  loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=jit)
    return model.train_on_batch


def main():
    args = peer.ARGS
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    images, labels = peer.batches(args)
    x, y = [tf.constant(b) for b in images], [tf.constant(b) for b in labels]

    def on_batches(step):
        return lambda i: step(x[i % peer.BATCHES], y[i % peer.BATCHES])

    makers = {"raw ops": lambda: raw_step(False), "raw ops, XLA": lambda: raw_step(True),
              "Keras": lambda: keras_step(False), "Keras, XLA": lambda: keras_step(True)}
    peer.run("TensorFlow", tf.__version__, args, {k: on_batches(make()) for k, make in makers.items()})


if __name__ == "__main__":
    main()
