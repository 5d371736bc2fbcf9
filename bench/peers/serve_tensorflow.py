# SPDX-License-Identifier: Apache-2.0
"""The exported SavedModel, answered by TensorFlow's Python behind FastAPI."""
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import tensorflow as tf  # noqa: E402

import serve_peer  # noqa: E402


def load(model, threads):
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    loaded = tf.saved_model.load(model)
    function = loaded.signatures["serving_default"]

    def predict(images):
        outputs = function(inputs=tf.constant(images))
        return outputs["classes"].numpy(), outputs["probabilities"].numpy()

    predict.model = loaded  # whose variables the function refers to weakly
    return predict


app = serve_peer.make_app(f"TensorFlow {tf.__version__}", load)

if __name__ == "__main__":
    serve_peer.serve("serve_tensorflow:app")
