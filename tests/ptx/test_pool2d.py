# SPDX-License-Identifier: Apache-2.0
import ctypes

import common
from common import np

SOURCE = "kernels/pool2d/pool2d_cuda.cu"


class Shape(ctypes.Structure):
    _fields_ = [("N", ctypes.c_int64)] + [
        (name, ctypes.c_int) for name in ("H", "W", "C", "OH", "OW", "window", "stride", "pad_h", "pad_w")]


def dim(size, window, stride, same):
    if not same:
        return (size - window + stride) // stride, 0
    out = -(-size // stride)
    return out, max(0, (out - 1) * stride + window - size) // 2


def oracle(x, grad_y, s):
    """y, argmax, grad_x; the gradient in float, in the order of the contract."""
    y = np.zeros((s.N, s.OH, s.OW, s.C), np.float32)
    argmax = np.zeros(y.shape, np.uint8)
    grad_x = np.zeros(x.shape, np.float32)
    for n, oh, ow, c in np.ndindex(*y.shape):
        h0, w0, best, where = oh * s.stride - s.pad_h, ow * s.stride - s.pad_w, None, 0
        for h in range(max(h0, 0), min(h0 + s.window, s.H)):
            for w in range(max(w0, 0), min(w0 + s.window, s.W)):
                value = x[n, h, w, c]
                if best is None or value > best or (np.isnan(value) and not np.isnan(best)):
                    best, where = value, (h - h0) * s.window + (w - w0)
        y[n, oh, ow, c], argmax[n, oh, ow, c] = best, where
        grad_x[n, h0 + where // s.window, w0 + where % s.window, c] += grad_y[n, oh, ow, c]
    return y, argmax, grad_x


def run(sim, N, H, W, C, window=2, stride=2, same=False, misalign=0, bad=False):
    (OH, pad_h), (OW, pad_w) = dim(H, window, stride, same), dim(W, window, stride, same)
    s = Shape(N, H, W, C, OH, OW, window, stride, pad_h, pad_w)
    rng = np.random.default_rng(N * H * W * C)
    x = rng.integers(-4, 5, (N, H, W, C)).astype(np.float32)  # ties
    if bad:
        x.reshape(-1)[1::5] = np.nan
        x.reshape(-1)[3::7] = -np.inf
    grad_y = rng.standard_normal((N, OH, OW, C)).astype(np.float32)
    y, argmax, grad_x = oracle(x, grad_y, s)

    width = 4 if C % 4 == 0 and not misalign else 1
    blocks = lambda pixels: (-(-(pixels * (C // width)) // 128), N)
    dx, dg = common.Array(x, misalign=misalign), common.Array(grad_y, misalign=misalign)
    dy, da = common.output(y.shape, misalign=misalign), common.output(y.shape, np.uint8, misalign=misalign)
    fwd = sim.launch(SOURCE, "pool2d_max_fwd_kernel<%d>" % width, blocks(OH * OW), 128,
                     [dx.address, dy.address, da.address, s])
    common.check_same("y", dy.numpy(), y)
    common.check_same("argmax", da.numpy(), argmax)
    tiled = window == stride and OH * stride == H and OW * stride == W
    kernel, pixels = ("pool2d_max_bwd_tiled_kernel", OH * OW) if tiled else ("pool2d_max_bwd_kernel", H * W)
    out = common.output(x.shape, misalign=misalign)
    bwd = sim.launch(SOURCE, "%s<%d>" % (kernel, width), blocks(pixels), 128,
                     [da.address, dg.address, out.address, s])
    common.check_same("grad_x", out.numpy(), grad_x)
    return fwd, bwd


def test_matches_the_oracle(sim):
    run(sim, 1, 1, 1, 1, 1, 1)
    run(sim, 2, 2, 3, 5, 5, 2, same=True)
    run(sim, 3, 4, 4, 7, 4, 4)
    run(sim, 2, 11, 13, 10, 3, 2)
    run(sim, 2, 10, 11, 3, 2, 3)
    run(sim, 1, 17, 18, 3, 16, 1)
    for same in (False, True):
        for misalign in (0, 1):
            run(sim, 2, 7, 5, 3, same=same, misalign=misalign)
            run(sim, 1, 6, 4, 64, same=same, misalign=misalign)
            run(sim, 1, 6, 4, 33, same=same, misalign=misalign)
            run(sim, 1, 6, 9, 20, 3, 1, same=same, misalign=misalign)


def test_nan_wins(sim):
    run(sim, 2, 6, 6, 8, bad=True)
    run(sim, 1, 5, 7, 3, 3, 2, same=True, bad=True)


def test_moves_whole_sectors(sim):
    fwd, bwd = run(sim, 1, 14, 14, 64)
    common.check_traffic(sim, "pool2d_max_fwd_kernel", fwd)
    common.check_traffic(sim, "pool2d_max_bwd_tiled_kernel", bwd)


if __name__ == "__main__":
    common.main()
