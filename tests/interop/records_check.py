#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TFRecord files in both directions: `lockstep records create` against the tutorial's script run on TensorFlow."""

import hashlib
import json
import os
import tempfile

import numpy as np
import tensorflow as tf

import common

VALIDATION = 5000  # from the front of the training images, as the tutorial's script splits


def ints(value):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def example(image, label):
    return tf.train.Example(features=tf.train.Features(feature={
        "height": ints(28), "width": ints(28), "depth": ints(1), "label": ints(int(label)),
        "image_raw": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()]))}))


def write_with_tensorflow(path, images, labels, compression=""):
    with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type=compression)) as writer:
        for image, label in zip(images, labels):
            # Map fields in the order of their keys, which is what protobuf calls deterministic.
            writer.write(example(image, label).SerializeToString(deterministic=True))


def check_dataset_reads_ours(path, images, labels):
    """tf.data reads every record; the features are those that the tutorial's trainer parses."""
    features = {"image_raw": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64),
                "height": tf.io.FixedLenFeature([], tf.int64), "width": tf.io.FixedLenFeature([], tf.int64),
                "depth": tf.io.FixedLenFeature([], tf.int64)}
    count = 0
    for batch in tf.data.TFRecordDataset(path).batch(1000):
        parsed = tf.io.parse_example(batch, features)
        pixels = tf.io.decode_raw(parsed["image_raw"], tf.uint8).numpy().reshape(-1, 28, 28)
        end = count + len(pixels)
        assert np.array_equal(pixels, images[count:end]) and np.array_equal(parsed["label"], labels[count:end]), path
        for name, value in (("height", 28), ("width", 28), ("depth", 1)):
            assert (parsed[name].numpy() == value).all(), name
        count = end
    assert count == len(images), f"{path}: {count} records, expected {len(images)}"


def check_we_read_theirs(directory, images, labels):
    for compression in ("", "GZIP", "ZLIB"):
        data = os.path.join(directory, compression or "plain")
        os.makedirs(data)
        write_with_tensorflow(f"{data}/train.tfrecords", images, labels, compression)
        row = json.loads(common.run("interop_tool", "records", data))
        assert (row["examples"], row["shape"]) == (len(images), [28, 28, 1]), row
        assert row["images_sha256"] == hashlib.sha256(images.tobytes()).hexdigest(), row
        assert row["labels_sha256"] == hashlib.sha256(labels.astype(np.int32).tobytes()).hexdigest(), row
        print(f"we read {row['examples']} records that TensorFlow wrote, compression {compression or 'none'}")


def main():
    train_images, train_labels = (common.read_idx("train-" + s) for s in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    splits = {"train": (train_images[VALIDATION:], train_labels[VALIDATION:]),
              "validation": (train_images[:VALIDATION], train_labels[:VALIDATION]),
              "test": (common.read_idx("t10k-images-idx3-ubyte"), common.test_labels())}
    with tempfile.TemporaryDirectory() as directory:
        common.run("lockstep", "records", "create", "--source", common.MNIST, "--directory", directory)
        for split, (images, labels) in splits.items():
            ours = f"{directory}/{split}.tfrecords"
            check_dataset_reads_ours(ours, images, labels)
            theirs = f"{directory}/tensorflow.{split}"
            write_with_tensorflow(theirs, images, labels)
            with open(ours, "rb") as a, open(theirs, "rb") as b:
                assert a.read() == b.read(), f"{split}: not byte for byte what TensorFlow writes"
            print(f"{split}.tfrecords: TensorFlow reads {len(images)} records, and writes the same bytes")
        check_we_read_theirs(f"{directory}/theirs", train_images[:6000], train_labels[:6000])


if __name__ == "__main__":
    main()
