# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of corpus/, with TensorFlow (made with 2.21). Files named found-* are not from here: they are inputs
that once broke a reader. Usage: build/venv/interop/bin/python tests/fuzz/make_corpus.py"""

import gzip
import io
import json
import os
import struct
import tempfile
import zlib

import numpy as np
import tensorflow as tf

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
    save("idx", "images.two_members.gz", b"\0" + gzip.compress(images[:9], mtime=0) + gzip.compress(images[9:], mtime=0))
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


def tensor_bundle():
    """First byte even: an index, of 64 zeros of data; odd: data of byte / 2 strings."""
    tensors = {"conv2d/kernel": tf.zeros([2, 2, 1, 2]), "conv2d/bias": tf.zeros([2]), "global_step": tf.zeros([], tf.int64),
               "small": tf.zeros([2, 4], tf.uint8), "empty": tf.zeros([0, 3]), "step32": tf.zeros([2], tf.int32)}
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
    save("yaml", "valid.yaml", "0image:\n  height: 9\n  width: 8\nclasses: 3\nlayers:\n- conv: {filters: 2, kernel: 3, stride: 2,"
         " padding: valid, activation: relu}\n- max_pool: {window: 2, stride: 1, padding: same}\n- dropout: {rate: .5}\n"
         "- dense: {units: 3}\n")
    with open(os.path.join(HERE, "corpus", "yaml.dict"), "w") as file:
        file.write("# SPDX-License-Identifier: Apache-2.0\n# Words of configs/, for libFuzzer.\n")
        for word in sorted(w for w in words if w.isidentifier()):
            file.write(f'"{word}"\n')
        for word in ("{", "}", "[", "]", ": ", ", ", "- ", "&a", "*a", "<<: ", "!!str", "|\\x0a", ">-", "---", "~"):
            file.write(f'"{word}"\n')


if __name__ == "__main__":
    for make in (idx, records, png, instances, tensor_bundle, yaml):
        make()
