#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The clients of TensorFlow Serving's documentation against `lockstep serve`: the stubs of tensorflow-serving-api, requests and
curl, none of them changed."""

import json
import os
import subprocess

import grpc
import numpy as np
import requests
import tensorflow as tf
from tensorflow_serving.apis import (classification_pb2, get_model_metadata_pb2, get_model_status_pb2, model_service_pb2_grpc,
                                     predict_pb2, prediction_service_pb2_grpc)

import common
import server

SECONDS = 30.0
DIGITS = [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]  # of the first test images


def over_rest(url, images):
    """(classes, probabilities): the tutorial's request, and the same with curl."""
    data = json.dumps({"signature_name": "serving_default", "instances": images.tolist()})
    headers = {"content-type": "application/json"}
    answer = requests.post(f"{url}/v1/models/mnist:predict", data=data, headers=headers, timeout=SECONDS)
    assert answer.status_code == 200, answer.text
    predictions = json.loads(answer.text)["predictions"]
    status = requests.get(f"{url}/v1/models/mnist", timeout=SECONDS).json()["model_version_status"][0]
    assert status["state"] == "AVAILABLE", status
    versioned = requests.post(f"{url}/v1/models/mnist/versions/{status['version']}:predict", data=data, headers=headers,
                              timeout=SECONDS)
    assert json.loads(versioned.text)["predictions"] == predictions, versioned.text
    curled = subprocess.run(["curl", "-sS", "-d", "@-", "-X", "POST", f"{url}/v1/models/mnist:predict"], input=data,
                            capture_output=True, text=True, timeout=SECONDS, check=True)
    assert json.loads(curled.stdout)["predictions"] == predictions, curled.stdout
    return ([row["classes"] for row in predictions],
            np.array([row["probabilities"] for row in predictions], np.float32))


def predict_request(images, shape):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "mnist"
    request.model_spec.signature_name = "serving_default"
    request.inputs["inputs"].CopyFrom(tf.make_tensor_proto(images, shape=shape))
    return request


def check_predict(stub, images, classes, probabilities):
    for shape in ([10, 784], [10, 28, 28], [10, 28, 28, 1]):
        result = stub.Predict(predict_request(images, shape), SECONDS)
        assert sorted(result.outputs) == ["classes", "probabilities"], result
        assert result.model_spec.name == "mnist" and result.model_spec.version.value > 0, result.model_spec
        np.testing.assert_array_equal(tf.make_ndarray(result.outputs["classes"]), np.array(classes, np.int64))
        np.testing.assert_array_equal(tf.make_ndarray(result.outputs["probabilities"]), probabilities)
    one = stub.Predict(predict_request(images[0], [1, images[0].size]), SECONDS)
    assert list(one.outputs["classes"].int64_val) == DIGITS[:1], one
    filtered = predict_request(images, [10, 784])
    filtered.output_filter.append("classes")
    assert list(stub.Predict(filtered, SECONDS).outputs) == ["classes"]
    gray = tf.make_tensor_proto(common.read_idx("t10k-images-idx3-ubyte")[:10])
    assert gray.dtype == tf.uint8.as_datatype_enum
    request = predict_request(images, [10, 784])
    request.inputs["inputs"].CopyFrom(gray)
    np.testing.assert_array_equal(tf.make_ndarray(stub.Predict(request, SECONDS).outputs["probabilities"]), probabilities)
    later = stub.Predict.future(predict_request(images, [10, 784]), SECONDS)
    assert list(later.result().outputs["classes"].int64_val) == classes


def check_classify(stub, images, probabilities):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "mnist"
    for image in images:
        feature = {"inputs": tf.train.Feature(float_list=tf.train.FloatList(value=image))}
        request.input.example_list.examples.append(tf.train.Example(features=tf.train.Features(feature=feature)))
    result = stub.Classify(request, SECONDS).result
    scores = np.array([[one.score for one in row.classes] for row in result.classifications], np.float32)
    labels = [[one.label for one in row.classes] for row in result.classifications]
    assert labels == [[str(digit) for digit in range(10)]] * 10, labels
    np.testing.assert_array_equal(scores, probabilities)


def check_metadata(stub):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "mnist"
    request.metadata_field.append("signature_def")
    response = stub.GetModelMetadata(request, SECONDS)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    default = signatures.signature_def["serving_default"]
    assert default.method_name == tf.saved_model.PREDICT_METHOD_NAME, default
    assert default.inputs["inputs"].dtype == tf.float32.as_datatype_enum, default
    assert [dim.size for dim in default.inputs["inputs"].tensor_shape.dim] == [-1, 784], default
    assert [dim.size for dim in default.outputs["probabilities"].tensor_shape.dim] == [-1, 10], default


def check_status(channel):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "mnist"
    response = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, SECONDS)
    states = [version.state for version in response.model_version_status]
    assert states == [get_model_status_pb2.ModelVersionStatus.AVAILABLE], response


def check_errors(stub, images):
    def failure(spoil):
        request = predict_request(images, [10, 784])
        spoil(request)
        try:
            stub.Predict(request, SECONDS)
        except grpc.RpcError as error:
            return error.code(), error.details()
        raise AssertionError("no error")

    code, text = failure(lambda request: setattr(request.model_spec, "name", "other"))
    assert code == grpc.StatusCode.NOT_FOUND and "Servable not found for request: Latest(other)" in text, text
    code, text = failure(lambda request: setattr(request.model_spec, "signature_name", "predict_images"))
    assert code == grpc.StatusCode.FAILED_PRECONDITION and "predict_images" in text, text
    code, text = failure(lambda request: request.inputs["inputs"].CopyFrom(tf.make_tensor_proto(images[0])))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "got shape [784], expected [n,784]" in text, text
    code, text = failure(lambda request: request.inputs["inputs"].CopyFrom(tf.make_tensor_proto(images.astype("float64"))))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "DT_DOUBLE" in text, text


def main():
    images = common.test_images()[:10]
    with server.serving(os.path.join(common.RUN, "export/Servo")) as url:
        classes, probabilities = over_rest(url, images)
        assert classes == DIGITS, classes
        with grpc.insecure_channel(server.grpc_address()) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            check_predict(stub, images, classes, probabilities)
            check_classify(stub, images, probabilities)
            check_metadata(stub)
            check_status(channel)
            check_errors(stub, images)
    print("TensorFlow Serving's own clients read the digits", *classes, "over REST and gRPC, with equal probabilities")


if __name__ == "__main__":
    main()
