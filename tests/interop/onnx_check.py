#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Our ONNX export: the ONNX checker with shape inference, and ONNX Runtime."""

import os

import onnx
import onnxruntime

import common


def check_model(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 13)], model.opset_import
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    assert [i.name for i in inferred.graph.input] == ["inputs"]
    assert {o.name for o in inferred.graph.output} == {"classes", "probabilities"}
    for value in (*inferred.graph.input, *inferred.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param, f"{value.name}: the batch is not free"


def with_onnx_runtime(path, images, optimize):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL if optimize else
                                        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    assert session.run(["classes"], {"inputs": images[:1]})[0].shape == (1,)
    return session.run(["classes", "probabilities"], {"inputs": images})


def main():
    images = common.test_images()
    path = os.path.join(common.WORK_DIR, "model.onnx")
    check_model(path)
    ours = common.our_predictions(common.RUN)
    for optimize in (False, True):
        name = f"ONNX Runtime, {'all' if optimize else 'no'} optimizations"
        common.expect_same_predictions(name, with_onnx_runtime(path, images, optimize), ours)


if __name__ == "__main__":
    main()
