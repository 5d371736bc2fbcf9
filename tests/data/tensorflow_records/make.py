# SPDX-License-Identifier: Apache-2.0
"""Writes the record files beside this script with TensorFlow (made with 2.21)."""
import tensorflow as tf


def ints(values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def example(i):
    image = bytes((10 * i + j) % 256 for j in range(6))
    return tf.train.Example(features=tf.train.Features(feature={
        "height": ints([2]), "width": ints([3]), "depth": ints([1]), "label": ints([i]),
        "name": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"digit"])),
        "weights": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5, 1.5])),
        "image_raw": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))}))


for kind, name in (("", "plain"), ("GZIP", "gzip"), ("ZLIB", "zlib")):
    with tf.io.TFRecordWriter(name + ".tfrecords", tf.io.TFRecordOptions(compression_type=kind)) as writer:
        for i in range(5):
            writer.write(example(i).SerializeToString())
