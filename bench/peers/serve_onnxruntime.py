# SPDX-License-Identifier: Apache-2.0
"""The exported ONNX model, answered by ONNX Runtime behind FastAPI."""
import onnxruntime

import serve_peer


def load(model, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["classes", "probabilities"], {"inputs": images})


app = serve_peer.make_app(f"ONNX Runtime {onnxruntime.__version__}", load)

if __name__ == "__main__":
    serve_peer.serve("serve_onnxruntime:app")
