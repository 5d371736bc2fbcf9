# SPDX-License-Identifier: Apache-2.0
import ctypes

import common
from common import np

SOURCE = "kernels/softmax_xent/softmax_xent_cuda.cu"


class Args(ctypes.Structure):
    _fields_ = [("N", ctypes.c_int64), ("C", ctypes.c_int), ("grad_scale", ctypes.c_float)] + [
        (name, ctypes.c_uint64) for name in ("logits", "labels", "loss", "probabilities", "grad_logits")]


def oracle(logits, labels, scale):
    x = logits.astype(np.float64)
    x[~np.isfinite(x).all(axis=1)] = np.nan
    top = x.max(axis=1, keepdims=True)
    e = np.exp(x - top)
    probabilities = e / e.sum(axis=1, keepdims=True)
    onehot = np.eye(x.shape[1])[labels]
    loss = np.log(e.sum(axis=1)) + top[:, 0] - x[np.arange(len(x)), labels]
    return loss, probabilities, (probabilities - onehot) * scale


def run(sim, N, C, spread=3.0, misalign=0, in_place=None, bad=(), loss=True):
    rng = np.random.default_rng(N * 1000 + C)
    logits = (spread * rng.standard_normal((N, C))).astype(np.float32)
    for i, value in enumerate(bad):
        logits[(2 * i + 1) % N, (5 * i + 3) % C] = value
    labels = rng.integers(0, C, N).astype(np.int32)
    scale = 1 / 32
    x, y = common.Array(logits, misalign=misalign), common.Array(labels, dtype=np.int32)
    out = {name: common.output((N, C), misalign=misalign) for name in ("probabilities", "grad_logits")}
    if in_place:
        out[in_place] = x
    losses = common.output((N,))
    address = {name: int(a.address) for name, a in out.items()}
    args = Args(N, C, scale, int(x.address), int(y.address) if loss else 0, int(losses.address) if loss else 0,
                address["probabilities"], address["grad_logits"] if loss else 0)
    kernel, rows = ("softmax_few_classes_kernel", 16) if C <= 16 else ("softmax_kernel", 8)
    stats = sim.launch(SOURCE, kernel, -(-N // rows), 256, [args])
    want_loss, want_p, want_grad = oracle(logits, labels, scale)
    with np.errstate(invalid="ignore"):
        distance = 2 + np.nan_to_num(logits.max(axis=1, keepdims=True) - logits, nan=1, posinf=1)
    common.check_close("probabilities", out["probabilities"].numpy() if in_place != "grad_logits" else want_p, want_p,
                       want_p * distance, terms=C)
    if loss:
        top = 1 + distance.max(axis=1) + np.log(C)
        common.check_close("loss", losses.numpy(), want_loss, top, terms=C)
        if in_place != "probabilities":
            onehot = np.eye(C)[labels]
            common.check_close("grad", out["grad_logits"].numpy(), want_grad, (want_p * distance + onehot) * scale,
                               terms=C)
    return stats


CASES = ((3, 1), (5, 2), (7, 13), (30, 10), (6, 16), (6, 17), (9, 100), (1, 10), (33, 16), (3, 1000))


def test_matches_the_oracle(sim):
    for N, C in CASES:
        for spread in (1.0, 200.0):
            run(sim, N, C, spread, misalign=int(spread > 1))


def test_softmax_alone_has_no_labels(sim):
    for N, C in CASES:
        run(sim, N, C, loss=False)


def test_a_nonfinite_logit_makes_its_row_nan(sim):
    for N, C in ((7, 10), (7, 40)):
        run(sim, N, C, bad=(np.nan, np.inf, -np.inf))


def test_outputs_may_be_the_logits(sim):
    for N, C in ((20, 10), (9, 100)):
        for name in ("probabilities", "grad_logits"):
            run(sim, N, C, in_place=name)


def test_moves_whole_sectors(sim):
    common.check_traffic(sim, "softmax_few_classes_kernel", run(sim, 128, 10))


if __name__ == "__main__":
    common.main()
