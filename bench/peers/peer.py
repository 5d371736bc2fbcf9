# SPDX-License-Identifier: Apache-2.0
"""What the peer scripts share: arguments, MNIST batches, the measuring loop, one JSON line per round.

A peer offers variants: name -> step(i), which runs one training step (forward, backward, Adam; dropout on) on batch
i % BATCHES and returns something whose float() waits until the step is finished. Each variant is timed briefly, the
fastest is kept: the peer is measured at its best. With --interactive a round runs whenever a line arrives on stdin,
so that the caller can alternate between programs (the speed of shared machines drifts); end of input ends the script.
"""
import argparse
import gzip
import json
import math
import os
import statistics
import sys
import time

BATCHES = 20
LEARNING_RATE = 1e-3
DROPOUT = 0.4


def parse_args():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--train_batch_size", type=int, default=100, help="images per step")
    p.add_argument("--threads", type=int, default=2, help="compute threads")
    p.add_argument("--steps", type=int, default=40, help="steps per round")
    p.add_argument("--rounds", type=int, default=3, help="rounds, unless --interactive")
    p.add_argument("--variant", default="", help="measure only this variant")
    p.add_argument("--source", default=os.path.join(here, "../../data/mnist"), help="folder of the MNIST .gz files")
    p.add_argument("--interactive", action="store_true", help="one round per line on stdin")
    return p.parse_args()


# Thread counts reach OpenBLAS and OpenMP through the environment, before the first import that loads them.
ARGS = parse_args()
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = str(ARGS.threads)

import numpy as np  # noqa: E402


def batches(args):
    """(images (BATCHES, N, 28, 28, 1) float32 in [0, 1], labels (BATCHES, N) int32)."""
    count = BATCHES * args.train_batch_size
    with gzip.open(os.path.join(args.source, "train-images-idx3-ubyte.gz")) as f:
        images = np.frombuffer(f.read(16 + count * 784)[16:], np.uint8)
    with gzip.open(os.path.join(args.source, "train-labels-idx1-ubyte.gz")) as f:
        labels = np.frombuffer(f.read(8 + count)[8:], np.uint8)
    images = images.reshape(BATCHES, -1, 28, 28, 1).astype(np.float32) / 255
    return images, labels.reshape(BATCHES, -1).astype(np.int32)


def glorot(rng, shape):
    """Glorot-uniform, as the reference network starts."""
    receptive = math.prod(shape[:-2])
    limit = math.sqrt(6 / (receptive * (shape[-2] + shape[-1])))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def initial_weights():
    """Kernels HWIO / input-major and zero biases of the reference network."""
    rng = np.random.default_rng(1)
    weights = []
    for shape in ((5, 5, 1, 32), (5, 5, 32, 64), (3136, 1024), (1024, 10)):
        weights += [glorot(rng, shape), np.zeros(shape[-1], np.float32)]
    return weights


def time_round(step, steps):
    """Median seconds per step, all step times, CPU seconds per step (all threads), last loss."""
    times = []
    cpu = time.process_time()
    for i in range(steps):
        begin = time.perf_counter()
        loss = float(step(i))
        times.append(time.perf_counter() - begin)
    cpu = (time.process_time() - cpu) / steps
    if not math.isfinite(loss):
        sys.exit("the peer's loss is not finite: it did not train")
    return times, cpu, loss


def emit(row):
    print(json.dumps(row), flush=True)


def run(name, version, args, variants):
    if args.variant:
        variants = {args.variant: variants[args.variant]}
    tried = {}
    for variant, step in variants.items():
        time_round(step, 3)  # compiles, allocates
        tried[variant] = min(time_round(step, 12)[0])
    best = min(tried, key=tried.get)  # by the fastest step: the one least disturbed by other programs
    n = args.train_batch_size
    emit({"peer": name, "version": version, "threads": args.threads, "train_batch_size": n, "variant": best,
          "tried_images_per_s": {v: round(n / t, 1) for v, t in tried.items()}})
    for _ in sys.stdin if args.interactive else range(args.rounds):
        times, cpu, loss = time_round(variants[best], args.steps)
        emit({"peer": name, "variant": best, "images_per_s": n / statistics.median(times),
              "best_images_per_s": n / min(times), "cpu_ms_per_step": cpu * 1e3, "loss": loss})
