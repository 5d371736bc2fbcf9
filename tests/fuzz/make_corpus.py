# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of corpus/, with TensorFlow (made with 2.21). Files named found-* are not from here: they are inputs
that once broke a reader. Usage: build/venv/interop/bin/python tests/fuzz/make_corpus.py"""

import gzip
import io
import json
import os
import re
import struct
import tempfile
import zlib
from functools import partial

import numpy as np
import onnx
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (classification_pb2, get_model_metadata_pb2, get_model_status_pb2,
                                     predict_pb2)

HERE = os.path.dirname(os.path.abspath(__file__))


def save(target, name, content):
    os.makedirs(os.path.join(HERE, "corpus", target), exist_ok=True)
    with open(os.path.join(HERE, "corpus", target, name), "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())


def idx():
    """First byte: 0 images, 1 labels; plus 2: the target compresses."""
    images = struct.pack(">IIII", 2051, 2, 3, 4) + bytes(range(24))
    colour = struct.pack(">IIIII", 2052, 1, 2, 2, 3) + bytes(range(12))
    labels = struct.pack(">II", 2049, 5) + bytes([7, 2, 1, 0, 4])
    save("idx", "images", b"\0" + images)
    save("idx", "images.gz", b"\0" + gzip.compress(images, mtime=0))
    save("idx", "images.zlib", b"\0" + zlib.compress(images))
    two_members = gzip.compress(images[:9], mtime=0) + gzip.compress(images[9:], mtime=0)
    save("idx", "images.two_members.gz", b"\0" + two_members)
    save("idx", "images.inner", b"\2" + images)
    save("idx", "colour.inner", b"\2" + colour)
    save("idx", "labels.gz", b"\1" + gzip.compress(labels, mtime=0))
    save("idx", "labels.inner", b"\3" + labels)


def example(side, label, **more):
    features = {"image_raw": tf.train.Feature(bytes_list=tf.train.BytesList(value=[bytes(side * side)])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))}
    for name, value in more.items():
        features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def records():
    """First byte: 0 for a file, otherwise the length of the payloads that follow."""
    with tempfile.TemporaryDirectory() as directory:
        for kind in ("", "GZIP", "ZLIB"):
            path = os.path.join(directory, "file")
            with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type=kind)) as writer:
                for label in range(3):
                    writer.write(example(2, label, height=2, width=2, depth=1))
            with open(path, "rb") as file:
                save("records", "file." + (kind.lower() or "plain"), b"\0" + file.read())
    for name, payload in (("square", example(3, 9)), ("sized", example(2, 1, height=1, width=4, depth=1)),
                          ("negative", example(1, -1))):
        save("records", name, bytes([len(payload)]) + 2 * payload)


def png():
    pixels = (np.arange(5 * 4 * 4) * 3 % 256).astype(np.uint8).reshape(5, 4, 4)
    for channels, name in ((1, "grey"), (2, "grey_alpha"), (3, "rgb"), (4, "rgba")):
        save("png", name, tf.io.encode_png(pixels[..., :channels]).numpy())
    save("png", "grey16", tf.io.encode_png(pixels[..., :1].astype(np.uint16) * 257).numpy())

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    # 2 bits a pixel, a palette with transparency, interlaced (8 x 1: passes 1, 2, 4, 6).
    palette = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 1, 2, 3, 0, 0, 1))
    palette += chunk(b"PLTE", bytes(range(12))) + chunk(b"tRNS", b"\0\x80\xff\xff")
    passes = b"\0\x40" + b"\0\x80" + b"\0\xc0" + b"\0\x1b"
    save("png", "palette_interlaced", palette + chunk(b"IDAT", zlib.compress(passes)) + chunk(b"IEND", b""))


def instances():
    save("instances", "list", "[0, 0.5, 1, 1e-3, 0.25, 1]\n[1,1,1,1,1,1]\n")
    save("instances", "nested", '{"inputs": [[0, 0.5, 1], [1, 0, 0.125]]}\r\n')
    save("instances", "channels", '{"inputs": [[[0], [0.5], [1]], [[1], [0], [0.125]]]}')
    save("instances", "bytes", '{"inputs": {"b64": "AAECAwQF"}}\n{"b64": "AAECAwQF"}')
    image = tf.io.encode_png(np.full((4, 4, 1), 200, np.uint8)).numpy()
    save("instances", "png", json.dumps({"b64": tf.io.encode_base64(image).numpy().decode()}))


def rest():
    """First character: which parser; 4: a whole request, with method and path, Content-Type and body on a line each."""
    flat = json.dumps([0, 0.5, 1, 1e-3] * 3)
    nested = json.dumps([[[0.25], [1], [0]]] * 4)
    pixels = '{"b64": "AAECAwQFBgcICQoL"}'
    image = tf.io.encode_png(np.pad(np.full((4, 4, 1), 200, np.uint8), ((2, 2), (2, 2), (0, 0)))).numpy()
    save("rest", "rows", f'0{{"instances": [{flat}, {{"inputs": {nested}}}, {pixels}]}}')
    save("rest", "columns", f'0{{"signature_name": "prediction", "inputs": {{"inputs": [{flat}]}}}}')
    save("rest", "column_of_bytes", f'0{{"inputs": {pixels}}}')
    picture = tf.io.encode_base64(image, pad=True).numpy().decode().replace("-", "+").replace("_", "/")
    save("rest", "picture", '0{"instances": [{"b64": "%s"}]}' % picture)
    save("rest", "examples", f'1{{"examples": [{{"inputs": {flat}}}]}}')
    save("rest", "pixels", b"2" + bytes(range(24)))
    save("rest", "png", b"3" + image)
    for name, line, kind, body in (
            ("predict", "POST /v1/models/m:predict", "", f'{{"instances": [{flat}]}}'),
            ("column", "POST /v1/models/m/versions/1:predict", "application/json", f'{{"inputs": [{flat}]}}'),
            ("label", "POST /v1/models/m/labels/v1:classify", "", f'{{"examples": [{{"inputs": {flat}}}]}}'),
            ("octets", "POST /v1/models/m:predict", "application/octet-stream", "0123456789ab"),
            ("cloud", "POST /v1/projects/p/models/m/versions/v1:predict", "", f'{{"instances": [{pixels}]}}'),
            ("regress", "POST /v1/models/m:regress", "", "{}"), ("list", "GET /v1/models", "", ""),
            ("status", "GET /v1/models/m", "", ""), ("metadata", "GET /v1/models/m/metadata", "", ""),
            ("ready", "GET /readyz", "", ""), ("metrics", "GET /monitoring/prometheus/metrics", "", ""),
            ("nothing", "PUT /v1/models/n", "text/html; charset=utf-8", "")):
        save("rest", "http_" + name, f"4{line}\n{kind}\n{body}")


def grpc_requests():
    """First character: which message, as text; from 4 on, as bytes."""
    spec = {"name": "m", "signature_name": "prediction"}
    numbers = np.array([[0, 0.5, 1, 1e-3] * 3] * 2, np.float32)
    image = tf.io.encode_png(np.pad(np.full((4, 4, 1), 200, np.uint8), ((2, 2), (2, 2), (0, 0)))).numpy()

    def predict(tensor):
        return predict_pb2.PredictRequest(model_spec={"name": "m"}, inputs={"inputs": tensor}, output_filter=["classes"])

    listed = tf.make_tensor_proto(numbers)
    listed.tensor_content = b""
    listed.float_val.extend(numbers.flatten())
    repeated = tf.make_tensor_proto(0.5, shape=[3, 4, 3])
    for name, tensor in (("content", tf.make_tensor_proto(numbers)), ("list", listed), ("repeated", repeated),
                         ("bytes", tf.make_tensor_proto(np.arange(24, dtype=np.uint8).reshape(2, 4, 3, 1))),
                         ("pictures", tf.make_tensor_proto([image, bytes(range(12))])),
                         ("double", tf.make_tensor_proto(numbers.astype(np.float64)))):
        save("grpc", name, "0" + text_of(predict(tensor)))
    save("grpc", "predict_bytes", b"4" + predict(listed).SerializeToString(deterministic=True))
    save("grpc", "label", "0" + text_of(predict_pb2.PredictRequest(model_spec={"name": "m", "version_label": "v1"})))

    classify = classification_pb2.ClassificationRequest(model_spec=spec)
    for value in ({"float_list": {"value": numbers[0]}}, {"bytes_list": {"value": [image]}}, {}):
        example = tf.train.Example(features={"feature": {"inputs": value}} if value else {})
        classify.input.example_list_with_context.examples.append(example)
    classify.input.example_list_with_context.context.CopyFrom(classify.input.example_list_with_context.examples[0])
    save("grpc", "context", "1" + text_of(classify))
    classify.input.example_list.examples.extend(list(classify.input.example_list_with_context.examples)[:2])
    save("grpc", "examples", "1" + text_of(classify))
    save("grpc", "classify_bytes", b"5" + classify.SerializeToString(deterministic=True))
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(model_spec={"name": "m"}, metadata_field=["signature_def"])
    save("grpc", "metadata", "2" + text_of(metadata))
    save("grpc", "metadata_bytes", b"6" + metadata.SerializeToString(deterministic=True))
    status = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "m", "version": {"value": 1}})
    save("grpc", "status", "3" + text_of(status))
    save("grpc", "status_bytes", b"7" + status.SerializeToString(deterministic=True))


def http():
    """First byte: the size of pieces; from 128 on, the handler answers later."""
    get, post = "GET /v1/models/m?a=%20b HTTP/1.1\r\nHost: h\r\n", "POST /v1/models/m:predict HTTP/1.1\r\nHost: h\r\n"
    chunked = "Transfer-Encoding: chunked\r\n"
    for name, text in {
            "get": get + "Accept: */*\r\n\r\n",
            "pipelined": 2 * (get + "\r\n") + "HEAD http://h/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            "post": post + "Content-Type: application/json\r\nContent-Length: 5\r\n\r\n[1,2]" + get + "\r\n",
            "chunked": post + chunked + "\r\n3;a=\"b\"\r\n[1,\r\n2\r\n2]\r\n0\r\nT: u\r\n\r\n" + get + "\r\n",
            "continue": post + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n[]",
            "http10": "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\r\nGET /2 HTTP/1.0\r\n\r\n",
            "preflight": "OPTIONS /p HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\nAccess-Control-Request-Method: POST\r\n\r\n",
            "both_lengths": post + "Content-Length: 4\r\n" + chunked + "\r\n0\r\n\r\n",
            "two_lengths": post + "Content-Length: 0\r\nContent-Length: 5\r\n\r\nGET /",
            "folded": get + "A: b\r\n c\r\n\r\n",
            "coded": post + "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
            "too_long": post + "Content-Length: 1000000000\r\n\r\n",
            "bare_line_feeds": "GET / HTTP/1.1\nHost: h\n\n",
            "http2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "url": "GET http://h?a/b HTTP/1.1\r\nHost: [::1]:80\r\n\r\n" + get + "\r\n",
            "other_host": "GET / HTTP/1.1\r\nHost: a.example:8501\r\n\r\n" + get + "\r\n",
            "malformed_host": "GET / HTTP/1.1\r\nHost: u@h/p\r\n\r\n",
            "tls": "\x16\x03\x01\x02\x00\x01\x00"}.items():
        save("http", name, b"\3" + text.encode("latin-1"))
    words = """GET HEAD POST OPTIONS HTTP/1.1 HTTP/1.0 Host: Content-Length: Transfer-Encoding: chunked Connection: close
        keep-alive Expect: 100-continue Content-Encoding: gzip identity Origin: Access-Control-Request-Method: http://a
        Upgrade: [::1]:80 a.example \\x0d\\x0a \\x0d\\x0a\\x0d\\x0a \\x0d\\x0a\\x20 0\\x0d\\x0a\\x0d\\x0a %2f %00 ffffffffffffffff"""
    with open(os.path.join(HERE, "corpus", "http.dict"), "w") as file:
        file.write("# SPDX-License-Identifier: Apache-2.0\n# Words of HTTP/1.1, for libFuzzer.\n")
        for word in words.split():
            file.write(f'"{word}"\n')


def tensor_bundle():
    """First byte even: an index, of 64 zeros of data; odd: data of byte / 2 strings."""
    tensors = {"conv2d/kernel": tf.zeros([2, 2, 1, 2]), "conv2d/bias": tf.zeros([2]),
               "global_step": tf.zeros([], tf.int64), "small": tf.zeros([2, 4], tf.uint8), "empty": tf.zeros([0, 3]),
               "step32": tf.zeros([2], tf.int32)}
    assert sum(t.numpy().nbytes for t in tensors.values()) == 64
    with tempfile.TemporaryDirectory() as directory:
        prefix = os.path.join(directory, "ckpt")
        tf.raw_ops.SaveV2(prefix=prefix, tensor_names=list(tensors), shape_and_slices=[""] * len(tensors),
                          tensors=list(tensors.values()))
        with open(prefix + ".index", "rb") as file:
            save("tensor_bundle", "index", b"\0" + file.read())
        prefix = os.path.join(directory, "strings")
        tf.raw_ops.SaveV2(prefix=prefix, tensor_names=["s"], shape_and_slices=[""], tensors=[[b"one", b"", b"three"]])
        with open(prefix + ".data-00000-of-00001", "rb") as file:
            save("tensor_bundle", "strings", bytes([2 * 3 + 1]) + file.read())


def yaml():
    """First byte: 0 a network, 1 a training run."""
    configs = os.path.join(HERE, "../../configs")
    words = set()
    for folder, first in (("models", b"0"), ("train", b"1")):  # '0' and '1' are even and odd too
        for name in sorted(os.listdir(os.path.join(configs, folder))):
            with open(os.path.join(configs, folder, name), "rb") as file:
                text = file.read()
            save("yaml", name, first + text)
            words |= set(text.decode().replace(":", " ").replace(",", " ").replace("{", " ").replace("}", " ").split())
    save("yaml", "anchors.yaml", "0image: &a {height: 4, width: 4}\nclasses: 2\nlayers: [{dense: {units: 2}}]\nx: *a\n")
    save("yaml", "blocks.yaml", "1# c\n'data_dir': \"a\\tb\\u00e4\"\nmodel: |\n  m\n  n\nseed: 0x10\nshuffle: no\n")
    save("yaml", "valid.yaml", "0image:\n  height: 9\n  width: 8\nclasses: 3\nlayers:\n"
         "- conv: {filters: 2, kernel: 3, stride: 2, padding: valid, activation: relu}\n"
         "- max_pool: {window: 2, stride: 1, padding: same}\n- dropout: {rate: .5}\n"
         "- dense: {units: 3}\n")
    with open(os.path.join(HERE, "corpus", "yaml.dict"), "w") as file:
        file.write("# SPDX-License-Identifier: Apache-2.0\n# Words of configs/, for libFuzzer.\n")
        for word in sorted(w for w in words if w.isidentifier()):
            file.write(f'"{word}"\n')
        for word in ("{", "}", "[", "]", ": ", ", ", "- ", "&a", "*a", "<<: ", "!!str", "|\\x0a", ">-", "---", "~"):
            file.write(f'"{word}"\n')


def graph_network(features, variables):
    """6 x 6 grey pixels to 3 classes."""
    w = {name: variables(name, shape) for name, shape in (("conv2d/kernel", (3, 3, 1, 2)), ("conv2d/bias", (2,)),
                                                          ("dense/kernel", (18, 3)), ("dense/bias", (3,)))}
    x = tf.reshape(features, [-1, 6, 6, 1])
    x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, w["conv2d/kernel"], 1, "SAME"), w["conv2d/bias"]))
    x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    return tf.matmul(tf.reshape(x, [tf.shape(x)[0], -1]), w["dense/kernel"]) + w["dense/bias"]


def outputs_of(logits):
    return {"classes": tf.argmax(logits, 1), "probabilities": tf.nn.softmax(logits)}


def save_graph(directory, use_resource, freeze):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.create_global_step()
        features = v1.placeholder(tf.float32, [None, 36])
        zeros = v1.zeros_initializer()
        outputs = outputs_of(graph_network(features, lambda name, shape: v1.get_variable(
            name, shape, initializer=zeros, use_resource=use_resource)))
        session.run(v1.global_variables_initializer())
        if freeze:
            graph = v1.graph_util.convert_variables_to_constants(session, session.graph_def,
                                                                 [value.op.name for value in outputs.values()])
    with tf.Graph().as_default() if freeze else session.graph.as_default():
        if freeze:
            tf.import_graph_def(graph, name="")
        session = v1.Session()
        if not freeze:
            session.run(v1.global_variables_initializer())
        tensor = session.graph.get_tensor_by_name
        signature = v1.saved_model.predict_signature_def({"inputs": tensor(features.name)},
                                                         {key: tensor(value.name) for key, value in outputs.items()})
        builder = v1.saved_model.Builder(directory)
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature},
                                             strip_default_attrs=True)
        builder.save()


class Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.conv2d, self.dense = tf.Module(), tf.Module()
        self.conv2d.kernel, self.conv2d.bias = tf.Variable(tf.zeros([3, 3, 1, 2])), tf.Variable(tf.zeros([2]))
        self.dense.kernel, self.dense.bias = tf.Variable(tf.zeros([18, 3])), tf.Variable(tf.zeros([3]))

    @tf.function(input_signature=[tf.TensorSpec([None, 36], tf.float32, name="inputs")])
    def serve(self, inputs):
        def variable(name, _):
            layer, part = name.split("/")
            return getattr(getattr(self, layer), part)
        return outputs_of(graph_network(inputs, variable))


def text_of(message):
    return re.sub(r"\n +", "\n", text_format.MessageToString(message, use_short_repeated_primitives=True))


def save_as_text(target, name, path, message):
    """Without what no reader of ours looks at."""
    with open(path, "rb") as file:
        message.ParseFromString(file.read())
    for graph in getattr(message, "meta_graphs", []):
        graph.meta_info_def.ClearField("stripped_op_list")
        graph.ClearField("object_graph_def")
        graph.graph_def.ClearField("debug_info")
        for node in [*graph.graph_def.node, *(n for f in graph.graph_def.library.function for n in f.node_def)]:
            node.ClearField("experimental_debug_info")
            for attr in ("_output_shapes", "config_proto", "executor_type"):
                node.attr.pop(attr, None)
    save(target, name, "0" + text_of(message))
    return message.SerializeToString(deterministic=True)


def saved_model():
    """First character even: text; odd: saved_model.pb."""
    with tempfile.TemporaryDirectory() as directory:
        for name, arguments in (("reference", (False, False)), ("resource", (True, False)), ("frozen", (True, True))):
            save_graph(os.path.join(directory, name), *arguments)
        module = Module()
        tf.saved_model.save(module, os.path.join(directory, "module"), signatures=module.serve)
        for name in ("reference", "resource", "frozen", "module"):
            content = save_as_text("saved_model", name, os.path.join(directory, name, "saved_model.pb"),
                                   saved_model_pb2.SavedModel())
        save("saved_model", "bytes", b"1" + content)


def onnx_model(nodes, kernel=(2, 1, 3, 3)):
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT

    def weights(name, shape):
        return helper.make_tensor(name, float32, shape, bytes(4 * int(np.prod(shape))), raw=True)

    initializers = [weights("k", kernel), weights("kb", (2,)), weights("d", (18, 3)), weights("db", (3,)),
                    helper.make_tensor("image", onnx.TensorProto.INT64, (4,), [-1, 1, 6, 6]),
                    helper.make_tensor("flat", onnx.TensorProto.INT64, (2,), [-1, 18])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("inputs", float32, ["N", 36])],
        [helper.make_tensor_value_info("classes", onnx.TensorProto.INT64, ["N"]),
         helper.make_tensor_value_info("probabilities", float32, ["N", 3])], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.checker.check_model(model, full_check=True)
    return model


def onnx_models():
    node = onnx.helper.make_node
    begin = [node("Reshape", ["inputs", "image"], ["x"])]
    head = [node("Softmax", ["logits"], ["probabilities"], axis=1),
            node("ArgMax", ["logits"], ["classes"], axis=1, keepdims=0)]
    gemm = [*begin, node("Conv", ["x", "k", "kb"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["r"]),
            node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Transpose", ["p"], ["t"], perm=[0, 2, 3, 1]), node("Reshape", ["t", "flat"], ["f"]),
            node("Gemm", ["f", "d", "db"], ["logits"]), *head]
    matmul = [*begin, node("Conv", ["x", "k", "kb"], ["c"], auto_pad="SAME_UPPER"),
              node("MaxPool", ["c"], ["p"], kernel_shape=[2, 2], strides=[2, 2]), node("Relu", ["p"], ["r"]),
              node("Flatten", ["r"], ["f"]), node("Dropout", ["f"], ["g"]), node("MatMul", ["g", "d"], ["m"]),
              node("Add", ["m", "db"], ["logits"]), *head]
    constant, tensor = partial(node, "Constant", []), onnx.helper.make_tensor
    dropout = [*begin, node("Conv", ["x", "k", "kb"], ["c"], pads=[1, 1, 1, 1]),
               node("MaxPool", ["c"], ["p"], kernel_shape=[2, 2], strides=[2, 2]), node("Flatten", ["p"], ["f"]),
               constant(["rate"], value=tensor("rate", onnx.TensorProto.FLOAT, (), [0.25])),
               constant(["training"], value=tensor("training", onnx.TensorProto.BOOL, (), [False])),
               node("Dropout", ["f", "rate", "training"], ["g"]), node("Gemm", ["g", "d", "db"], ["logits"]), head[0],
               node("ArgMax", ["logits"], ["largest"], axis=1, keepdims=0),
               node("Cast", ["largest"], ["classes"], to=onnx.TensorProto.INT64)]
    for name, nodes in (("gemm", gemm), ("dropout", dropout), ("matmul", matmul)):
        model = onnx_model(nodes)
        save("onnx", name, "0" + text_of(model))
    save("onnx", "bytes", b"1" + model.SerializeToString(deterministic=True))


def dictionaries():
    """Names that the readers look for."""
    with open(os.path.join(HERE, "corpus", "rest.dict"), "w") as file:
        file.write("# SPDX-License-Identifier: Apache-2.0\n# Words of requests, for libFuzzer.\n")
        for word in ("GET ", "POST ", "HEAD ", "/v1/models", "/v1/projects/p", "/m", "/versions/1", "/labels/v1",
                     "/metadata", ":predict", ":classify", ":regress", "/healthz", "/readyz",
                     "/monitoring/prometheus/metrics", "application/octet-stream", "image/png", "serving_default",
                     "prediction", "AAECAwQFBgcICQoL"):
            file.write(f'"{word}"\n')
        for word in ("instances", "inputs", "examples", "b64", "signature_name"):
            file.write(f'"\\"{word}\\":"\n')
    tensorflow = """Add AddV2 ArgMax BiasAdd Cast ConcatV2 Const Conv2D Dropout EnsureShape ExpandDims Gather GatherV2
        Identity IdentityN If LogSoftmax MatMul MaxPool Merge Mul NoOp Pack PartitionedCall Placeholder
        PlaceholderWithDefault Prod ReadVariableOp Relu Reshape RestoreV2 Shape Slice Softmax
        SparseSoftmaxCrossEntropyWithLogits Squeeze StatefulPartitionedCall StopGradient StridedSlice Switch Transpose
        VarHandleOp VariableV2 dtype shape value padding strides ksize data_format NHWC NCHW SAME VALID EXPLICIT
        transpose_a transpose_b dilations shared_name DT_FLOAT DT_INT32 DT_INT64 DT_BOOL DT_RESOURCE keep_dims axis"""
    onnx_words = """Add ArgMax Cast Concat Constant Conv Dropout Flatten Gather Gemm Identity LogSoftmax MatMul MaxPool
        Relu Reshape Shape Slice Softmax Squeeze Transpose Unsqueeze alpha beta transA transB auto_pad SAME_UPPER
        SAME_LOWER VALID NOTSET pads strides dilations group kernel_shape ceil_mode storage_order axis axes keepdims
        perm allowzero starts ends FLOAT INT64 raw_data float_data int64_data dims data_location EXTERNAL
        training_mode ratio BOOL INT32 int32_data to"""
    fields = """node name op op_type input output attr attribute key value tensor tensor_shape dim size: -1 i: 0 f: 0.0
        b: true s: list func library function signature node_def ret initializer"""
    requests = """model_spec version version_label signature_name inputs output_filter dtype DT_FLOAT DT_UINT8 DT_STRING
        float_val int_val string_val tensor_content example_list example_list_with_context examples context features
        feature float_list bytes_list int64_list metadata_field signature_def serving_default prediction classes
        probabilities unknown_rank"""
    for target, words in (("saved_model", tensorflow), ("onnx", onnx_words), ("grpc", requests)):
        with open(os.path.join(HERE, "corpus", target + ".dict"), "w") as file:
            file.write("# SPDX-License-Identifier: Apache-2.0\n# Words of the format, for libFuzzer.\n")
            for word in (words + " " + fields).split():
                file.write(f'"{word}"\n')


if __name__ == "__main__":
    for make in (idx, records, png, instances, grpc_requests, http, rest, tensor_bundle, yaml, saved_model, onnx_models,
                 dictionaries):
        make()
