# SPDX-License-Identifier: Apache-2.0
import ctypes

import common
from common import np

SOURCE = "kernels/adam/adam_cuda.cu"
F = np.float32


class Args(ctypes.Structure):
    _fields_ = [("one_minus_beta1", ctypes.c_float), ("one_minus_beta2", ctypes.c_float), ("epsilon", ctypes.c_float),
                ("rate", ctypes.c_float)]


class Scalars(ctypes.Structure):
    _fields_ = [("step", ctypes.c_uint64), ("learning_rate", ctypes.c_float), ("beta1_power", ctypes.c_float),
                ("beta2_power", ctypes.c_float)]


def terms_of(capacity):
    class Terms(ctypes.Structure):
        _fields_ = [("data", ctypes.c_uint64 * capacity), ("level", ctypes.c_uint8 * capacity),
                    ("count", ctypes.c_int)]
    return Terms


def fma(a, b, c):
    """Float operands in double: one rounding of a sum whose product is exact, a second one to float. Differs from a
    true fma in the last bit of one result in 2^29."""
    return (a.astype(np.float64) * np.float64(b) + c.astype(np.float64)).astype(F)


def tree_sum(terms, sizes):
    total = sum(sizes)
    if sizes[0] == total:
        return terms[0]
    at, n = 0, 0
    while at < total // 2:
        at += sizes[n]
        n += 1
    return tree_sum(terms[:n], sizes[:n]) + tree_sum(terms[n:], sizes[n:])


def run(sim, count, sizes, misalign=0, term_misalign=None, scalars=False):
    rng = np.random.default_rng(count)
    values = [rng.standard_normal(count).astype(F) for _ in sizes]
    m, v = rng.standard_normal(count).astype(F), rng.random(count).astype(F)
    w = rng.standard_normal(count).astype(F)
    beta1, beta2, epsilon, lr, power1, power2 = map(F, (0.9, 0.999, 1e-8, 1e-3, 0.81, 0.998))
    rate = lr * np.sqrt(F(1) - power2) / (F(1) - power1)

    capacity, levels = (1, 0) if len(sizes) == 1 else (8, 3) if len(sizes) <= 8 and sum(sizes) <= 8 else (256, 8)
    term_misalign = misalign if term_misalign is None else term_misalign
    arrays = [common.Array(t, misalign=term_misalign) for t in values]
    terms = terms_of(capacity)(count=len(sizes))
    for i, (array, size) in enumerate(zip(arrays, sizes)):
        terms.data[i], terms.level[i] = int(array.address), size.bit_length() - 1
    dm, dv, dw = (common.Array(a, misalign=misalign) for a in (m, v, w))
    device = common.Array(np.frombuffer(bytes(Scalars(0, lr, power1, power2)), np.uint8), dtype=np.uint8)
    head = count if term_misalign % 4 != misalign % 4 else min(-misalign % 4, count)
    vectors = (count - head) // 4
    threads = max(vectors, count - 4 * vectors)
    stats = sim.launch(SOURCE, "adam_kernel<%d, %d>" % (capacity, levels), -(-threads // 256), 256,
                       [Args(F(1) - beta1, F(1) - beta2, epsilon, 0 if scalars else rate),
                        device.address if scalars else None, np.int64(count), np.int64(head), terms,
                        dm.address, dv.address, dw.address])

    g = tree_sum(values, list(sizes))
    new_m, new_v = fma(g - m, F(1) - beta1, m), fma(g * g - v, F(1) - beta2, v)
    common.check_close("m", dm.numpy(), new_m, c=1)
    common.check_close("v", dv.numpy(), new_v, c=1)
    common.check_close("w", dw.numpy(), w - new_m * rate / (np.sqrt(new_v) + epsilon), c=1)
    exact = [(got.numpy() == want).mean() for got, want in ((dm, new_m), (dv, new_v))]
    assert min(exact) > 0.999, "m, v: only %s of the elements have the CPU's bits" % exact
    return stats


def test_updates_like_the_cpu(sim):
    for count, sizes in ((1, (1,)), (17, (8,)), (33, (4, 4)), (101, (2, 1, 1, 2, 1, 1)), (31, (1,) * 8),
                         (257, (1, 1, 2, 4, 8)), (2011, (4, 4)), (40, (1,) * 256)):
        for misalign in (0, 1, 3):
            run(sim, count, sizes, misalign)


def test_pointers_may_be_aligned_differently(sim):
    for count in (1, 7, 300):
        run(sim, count, (4, 4), misalign=0, term_misalign=1)


def test_reads_the_rate_from_the_device(sim):
    run(sim, 50, (8,), scalars=True)


def test_moves_whole_sectors(sim):
    common.check_traffic(sim, "adam_kernel, 1 term", run(sim, 4096, (8,)))
    common.check_traffic(sim, "adam_kernel, 8 terms", run(sim, 4096, (1,) * 8))


if __name__ == "__main__":
    common.main()
