# SPDX-License-Identifier: Apache-2.0
"""The kernels of ours that stand around cuDNN's."""
import ctypes

import common
from common import np

CONV = "kernels/conv2d/conv2d_cudnn_steps_cuda.cu"
POOL = "kernels/pool2d/pool2d_argmax_cuda.cu"
SOFTMAX = "kernels/softmax_xent/softmax_rows_cuda.cu"

BIAS_CHUNKS = 32  # kBiasChunks


class SliceTable(ctypes.Structure):
    _fields_ = [("count", ctypes.c_int), ("slots", ctypes.c_int), ("chunk_target", ctypes.c_int),
                ("begin", ctypes.c_int64 * 257)]


class PoolSizes(ctypes.Structure):
    _fields_ = [("count", ctypes.c_int64)] + [
        (name, ctypes.c_int) for name in ("H", "W", "C", "OH", "OW", "window", "stride", "pad_h", "pad_w")]


class SoftmaxParams(ctypes.Structure):
    _fields_ = [("N", ctypes.c_int64), ("C", ctypes.c_int), ("grad_scale", ctypes.c_float)]


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def blocks(count, size=256):
    return -(-count // size)


def transpose(sim, rows, columns):
    values = normal(rows, columns)
    source, out = common.Array(values), common.output((columns, rows))
    stats = sim.launch(CONV, "transpose_kernel", (blocks(rows, 32), blocks(columns, 32)), (32, 8),
                       [source.address, np.int64(rows), np.int64(columns), out.address])
    common.check_same("transposed", out.numpy(), values.T)
    return stats


def test_transposes(sim):
    for rows, columns in ((1, 1), (25, 32), (31, 33), (800, 7), (3, 70)):
        transpose(sim, rows, columns)
    common.check_traffic(sim, "transpose_kernel", transpose(sim, 96, 64))


def add_bias(sim, rows, K, relu, misalign=0):
    y, b = normal(rows, K), normal(K)
    y[0, 0] = np.nan
    expected = y + b
    if relu:
        expected = np.where(expected < 0, np.float32(0), expected)
    vector = K % 4 == 0 and not misalign
    array, bias = common.Array(y, misalign=misalign), common.Array(b)
    stats = sim.launch(CONV, "add_bias_vector_kernel" if vector else "add_bias_kernel",
                       blocks(rows * K, 1024 if vector else 256), 256,
                       [np.int64(rows * K), np.int32(K), bias.address, np.bool_(relu), array.address])
    common.check_same("y", array.numpy(), expected)
    return stats


def test_adds_bias(sim):
    for relu in (False, True):
        for rows, K in ((1, 1), (37, 5), (50, 64), (3, 36)):
            add_bias(sim, rows, K, relu, misalign=rows % 2)
            add_bias(sim, rows, K, relu)
    common.check_traffic(sim, "add_bias_vector_kernel", add_bias(sim, 64, 64, True))


def mask(sim, count, misalign=0):
    y, grad = np.maximum(normal(count), 0), normal(count + 1)[:count]
    if count > 4:
        y[4] = np.nan
    arrays = [common.Array(a, misalign=misalign) for a in (y, grad)]
    out = common.output((count,), misalign=misalign)
    stats = sim.launch(CONV, "mask_by_relu_kernel" if misalign else "mask_by_relu_vector_kernel",
                       blocks(count, 256 if misalign else 1024), 256,
                       [np.int64(count), *[a.address for a in arrays], out.address])
    common.check_same("masked", out.numpy(), np.where(y <= 0, np.float32(0), grad))
    return stats


def test_masks_by_relu(sim):
    for count in (1, 3, 4, 7, 1027):
        for misalign in (0, 1):
            mask(sim, count, misalign)
    common.check_traffic(sim, "mask_by_relu_vector_kernel", mask(sim, 4096))


def bias_gradient(sim, examples, rows, K):
    begin = np.concatenate([[0], np.cumsum(examples)])
    grad = normal(int(begin[-1]) * rows, K)
    table = SliceTable(len(examples), BIAS_CHUNKS, BIAS_CHUNKS, (ctypes.c_int64 * 257)(*[int(b) for b in begin]))
    source, partials = common.Array(grad), common.output((len(examples), BIAS_CHUNKS, K))
    sums = common.output((len(examples), K))
    stats = sim.launch(CONV, "bias_chunk_kernel", (len(examples) * BIAS_CHUNKS, blocks(K, 32)), (32, 8),
                       [table, np.int64(rows), np.int32(K), source.address, partials.address])
    sim.launch(CONV, "bias_slice_kernel", blocks(len(examples) * K), 256,
               [np.int32(len(examples)), np.int32(BIAS_CHUNKS), np.int32(K), partials.address, sums.address])
    for s, (first, last) in enumerate(zip(begin, begin[1:])):
        part = grad[first * rows:last * rows].astype(np.float64)
        common.check_close("slice %d" % s, sums.numpy()[s], part.sum(axis=0), np.abs(part).sum(axis=0) + 1e-30,
                           terms=max(1, len(part)))
    return stats


def test_sums_bias_gradients(sim):
    bias_gradient(sim, [1], 1, 1)
    bias_gradient(sim, [2, 0, 3, 40], 5, 7)
    bias_gradient(sim, [70, 33], 2, 40)
    common.check_traffic(sim, "bias_chunk_kernel", bias_gradient(sim, [32], 16, 64))


def argmax(sim, N, H, W, C, window=2, stride=2, pad=0):
    OH, OW = (H + 2 * pad - window) // stride + 1, (W + 2 * pad - window) // stride + 1
    x = np.random.default_rng(H * W).integers(-4, 5, (N, H, W, C)).astype(np.float32)  # ties
    x.reshape(-1)[3::11] = np.nan
    x.reshape(-1)[5::13] = -np.inf
    y, where = np.zeros((N, OH, OW, C), np.float32), np.zeros((N, OH, OW, C), np.uint8)
    for n, oh, ow, c in np.ndindex(*y.shape):
        best = None
        for r, s in np.ndindex(window, window):
            h, w = oh * stride - pad + r, ow * stride - pad + s
            if not (0 <= h < H and 0 <= w < W):
                continue
            value = x[n, h, w, c]
            if best is None or value > best or (np.isnan(value) and not np.isnan(best)):
                best, where[n, oh, ow, c] = value, r * window + s
        y[n, oh, ow, c] = best
    sizes = PoolSizes(y.size, H, W, C, OH, OW, window, stride, pad, pad)
    dx, dy, out = common.Array(x), common.Array(y), common.output(y.shape, np.uint8)
    sim.launch(POOL, "pool2d_argmax_kernel", blocks(y.size), 256, [dx.address, dy.address, out.address, sizes])
    common.check_same("argmax", out.numpy(), where)


def test_finds_maxima(sim):
    argmax(sim, 1, 2, 2, 1)
    argmax(sim, 2, 6, 8, 5)
    argmax(sim, 1, 7, 7, 33, window=3, stride=2)
    argmax(sim, 2, 5, 4, 3, window=3, stride=1, pad=1)


def spoil(sim, N, C):
    logits = normal(N, C)
    for row, value in ((0, np.nan), (1, np.inf), (3, -np.inf)):
        logits[row % N, (5 * row + 2) % C] = value
    to = normal(N, C)
    source, target = common.Array(logits), common.Array(to)
    sim.launch(SOFTMAX, "spoil_rows_kernel", blocks(N, 8), 256, [np.int64(N), np.int32(C), source.address,
                                                               target.address])
    finite = np.isfinite(logits).all(axis=1, keepdims=True)
    common.check_same("spoiled", target.numpy(), np.where(finite, to, np.float32(np.nan)))


def test_spoils_rows(sim):
    for N, C in ((1, 1), (5, 10), (9, 33), (20, 100)):
        spoil(sim, N, C)


def finish(sim, N, C, in_place, loss=True):
    logits = normal(N, C).astype(np.float64)
    log_p = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    labels = np.random.default_rng(N).integers(0, C, N).astype(np.int32)
    labels[N // 2] = C if N > 3 else 0  # no class
    scale = 0.125
    source, dl = common.Array(log_p), common.Array(labels, dtype=np.int32)
    out = {name: common.output((N, C)) for name in ("probabilities", "grad_logits")}
    if in_place:
        out[in_place] = source
    losses = common.output((N,))
    sim.launch(SOFTMAX, "finish_softmax_kernel", blocks(N, 8), 256,
               [SoftmaxParams(N, C, scale), source.address, dl.address if loss else np.int64(0),
                losses.address if loss else np.int64(0), out["probabilities"].address if in_place != "grad_logits" else
                np.int64(0), out["grad_logits"].address if in_place != "probabilities" else np.int64(0)])
    valid = labels < C
    p = np.exp(log_p.astype(np.float64))
    onehot = np.zeros((N, C))
    onehot[np.arange(N)[valid], labels[valid]] = 1 if loss else 0
    if loss:
        picked = log_p[np.arange(N), np.where(valid, labels, 0)]
        common.check_same("loss", losses.numpy(), np.where(valid, -picked, np.float32(np.nan)))
    if in_place != "grad_logits":
        common.check_close("probabilities", out["probabilities"].numpy(), p, p)
    if in_place != "probabilities":
        common.check_close("grad", out["grad_logits"].numpy(), (p - onehot) * scale, (p + onehot) * scale)


def test_finishes_softmax(sim):
    for N, C in ((1, 1), (5, 10), (9, 33)):
        for in_place in (None, "probabilities", "grad_logits"):
            finish(sim, N, C, in_place)
        finish(sim, N, C, "probabilities", loss=False)


if __name__ == "__main__":
    common.main()
