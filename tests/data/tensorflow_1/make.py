# SPDX-License-Identifier: Apache-2.0
"""Writes the files of this folder with TensorFlow 1.15.5 itself (Python 3.7, NumPy 1.18, protobuf 3.20): the tutorial's
program at the size of a thumbnail, trained and exported by an Estimator.

  run/      model_dir of the Estimator: its last checkpoint, Adam's slots included, and `checkpoint`
  export/   what export_saved_model() made
  inputs.f32, probabilities.f32   five images, and what TensorFlow 1.15 answers for them from export/

The checkpoint writer of no release tried (1.1.0, 1.2.1, 1.4.1, 1.15.5) compresses the index, though the table writer below
it does by default; COMPRESS_INDEX has that table writer, of the same TensorFlow, write both indexes once more.
To keep the files small, TensorFlow's lists of operators are cleared and `.meta` went once through import_meta_graph() and
export_meta_graph() to lose attributes that have their defaults and shapes that are known without being told.
"""
import glob
import os
import shutil
import subprocess
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = 60
# Copies an index through TensorFlow's table reader and writer; the options are the writer's defaults, snappy said aloud.
COMPRESS_INDEX = r"""
#include "tensorflow/core/lib/io/iterator.h"
#include "tensorflow/core/lib/io/table.h"
#include "tensorflow/core/lib/io/table_builder.h"
#include "tensorflow/core/lib/io/table_options.h"
#include "tensorflow/core/platform/env.h"

namespace tf = tensorflow;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  tf::uint64 size = 0;
  std::unique_ptr<tf::RandomAccessFile> in;
  std::unique_ptr<tf::WritableFile> out;
  TF_CHECK_OK(tf::Env::Default()->GetFileSize(argv[1], &size));
  TF_CHECK_OK(tf::Env::Default()->NewRandomAccessFile(argv[1], &in));
  TF_CHECK_OK(tf::Env::Default()->NewWritableFile(argv[2], &out));
  tf::table::Table* table = nullptr;
  TF_CHECK_OK(tf::table::Table::Open(tf::table::Options(), in.get(), size, &table));
  const std::unique_ptr<tf::table::Table> owned(table);
  tf::table::Options options;
  options.compression = tf::table::kSnappyCompression;
  tf::table::TableBuilder builder(options, out.get());
  const std::unique_ptr<tf::table::Iterator> it(table->NewIterator());
  for (it->SeekToFirst(); it->Valid(); it->Next()) builder.Add(it->key(), it->value());
  TF_CHECK_OK(it->status());
  TF_CHECK_OK(builder.Finish());
  TF_CHECK_OK(out->Close());
}
"""
random = np.random.RandomState(11)
# Which third of the image is the brightest: something to learn, so that the answers differ.
LABELS = random.randint(0, 3, 12).astype(np.int32)
IMAGES = random.uniform(0, 0.4, (12, 8, 8)).astype(np.float32)
for image, label in zip(IMAGES, LABELS):
    image[:, 3 * label:3 * label + 2] += 0.6
IMAGES = IMAGES.reshape(12, 64)


def model_fn(features, labels, mode):
    training = mode == tf.estimator.ModeKeys.TRAIN
    x = tf.reshape(features["inputs"], [-1, 8, 8, 1])
    for filters in (4, 5):
        x = tf.layers.conv2d(x, filters, 3, padding="same", activation=tf.nn.relu)
        x = tf.layers.max_pooling2d(x, 2, 2)
    x = tf.layers.dense(tf.reshape(x, [-1, 2 * 2 * 5]), 6, activation=tf.nn.relu)
    x = tf.layers.dropout(x, 0.25, training=training)
    logits = tf.layers.dense(x, 3)
    predictions = {"classes": tf.argmax(logits, 1), "probabilities": tf.nn.softmax(logits, name="softmax_tensor")}
    if mode == tf.estimator.ModeKeys.PREDICT:
        return tf.estimator.EstimatorSpec(mode, predictions, export_outputs={
            "prediction": tf.estimator.export.PredictOutput(predictions)})
    loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
    train_op = tf.train.AdamOptimizer(0.01).minimize(loss, tf.train.get_or_create_global_step())
    return tf.estimator.EstimatorSpec(mode, predictions, loss, train_op)


def input_fn():
    data = tf.data.Dataset.from_tensor_slices(({"inputs": IMAGES}, LABELS))
    return data.repeat().batch(12)


def serving_input_fn():
    images = tf.placeholder(tf.float32, [None, 64])
    return tf.estimator.export.ServingInputReceiver({"inputs": images}, {"inputs": images})


def clear_operators(meta_graph):
    meta_graph.meta_info_def.ClearField("stripped_op_list")


def rewrite(path, message, clear):
    with open(path, "rb") as file:
        message.ParseFromString(file.read())
    clear(message)
    with open(path, "wb") as file:
        file.write(message.SerializeToString(deterministic=True))


def compress(index, program):
    plain = tf.train.load_checkpoint(index[:-len(".index")])
    names = sorted(plain.get_variable_to_shape_map())
    before = {name: plain.get_tensor(name) for name in names}
    subprocess.check_call([program, index, index + ".new"])
    os.rename(index + ".new", index)
    after = tf.train.load_checkpoint(index[:-len(".index")])
    assert sorted(after.get_variable_to_shape_map()) == names
    assert all(np.array_equal(after.get_tensor(name), before[name]) for name in names)


def main():
    work = tempfile.mkdtemp()
    program = os.path.join(work, "compress_index")
    with open(program + ".cc", "w") as file:
        file.write(COMPRESS_INDEX)
    subprocess.check_call(["g++", "-std=c++14", "-w", program + ".cc", "-o", program] +
                          tf.sysconfig.get_compile_flags() + tf.sysconfig.get_link_flags() +
                          ["-Wl,-rpath," + tf.sysconfig.get_lib()])
    for name in ("run", "export"):
        shutil.rmtree(os.path.join(HERE, name), ignore_errors=True)
    estimator = tf.estimator.Estimator(model_fn, os.path.join(work, "run"),
                                       tf.estimator.RunConfig(tf_random_seed=5, save_summary_steps=None))
    estimator.train(input_fn, steps=STEPS)
    export = estimator.export_saved_model(os.path.join(work, "export"), serving_input_fn).decode()
    shutil.move(export, os.path.join(HERE, "export"))
    os.makedirs(os.path.join(HERE, "run"))
    for path in glob.glob(os.path.join(work, "run", "model.ckpt-%d.*" % STEPS)):
        shutil.move(path, os.path.join(HERE, "run"))
    with open(os.path.join(HERE, "run/checkpoint"), "w") as file:
        file.write('model_checkpoint_path: "model.ckpt-%d"\n' % STEPS)

    meta = os.path.join(HERE, "run/model.ckpt-%d.meta" % STEPS)
    with tf.Graph().as_default():
        tf.train.import_meta_graph(meta)
        tf.train.export_meta_graph(meta, graph_def=tf.get_default_graph().as_graph_def(), strip_default_attrs=True)
    rewrite(meta, tf.MetaGraphDef(), clear_operators)
    from tensorflow.core.protobuf import saved_model_pb2
    rewrite(os.path.join(HERE, "export/saved_model.pb"), saved_model_pb2.SavedModel(),
            lambda saved: clear_operators(saved.meta_graphs[0]))
    compress(os.path.join(HERE, "run/model.ckpt-%d.index" % STEPS), program)
    compress(os.path.join(HERE, "export/variables/variables.index"), program)

    with tf.Graph().as_default(), tf.Session() as session:
        signature = tf.saved_model.load(session, ["serve"], os.path.join(HERE, "export")).signature_def["prediction"]
        probabilities = session.run(signature.outputs["probabilities"].name,
                                    {signature.inputs["inputs"].name: IMAGES[:5]})
    IMAGES[:5].tofile(os.path.join(HERE, "inputs.f32"))
    probabilities.tofile(os.path.join(HERE, "probabilities.f32"))
    assert len(set(probabilities.argmax(1))) > 1, probabilities
    print(probabilities)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
