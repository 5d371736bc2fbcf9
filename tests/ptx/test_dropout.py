# SPDX-License-Identifier: Apache-2.0
import ctypes

import common
from common import np

SOURCE = "kernels/dropout/dropout_cuda.cu"
DROPOUT = 3  # RngPurpose::kDropout


class Args(ctypes.Structure):
    _fields_ = [("N", ctypes.c_int64), ("units", ctypes.c_int64), ("rate", ctypes.c_float), ("scale", ctypes.c_float),
                ("seed", ctypes.c_uint64), ("step", ctypes.c_uint64), ("layer", ctypes.c_uint32),
                ("first_example", ctypes.c_uint32), ("vector", ctypes.c_bool)]


def philox(counter, key):
    """Philox4x32-10 on arrays of words, after the paper."""
    c, k, low = [np.asarray(w, np.uint64) for w in counter], list(key), np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), p1 & low,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), p0 & low]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def expected(x, rate, seed, step, layer, first):
    N, units = x.shape
    quads = -(-units // 4)
    element = np.broadcast_to((layer << 22) + np.arange(quads, dtype=np.uint64), (N, quads))
    example = np.broadcast_to((first + np.arange(N, dtype=np.uint64))[:, None], (N, quads))
    step_words = [np.full((N, quads), w, np.uint64) for w in (step & 0xFFFFFFFF, step >> 32)]
    words = philox([element, example, *step_words], [seed & 0xFFFFFFFF, (seed >> 32) ^ (DROPOUT << 24)])
    bits = np.stack(words, -1).reshape(N, 4 * quads)[:, :units]
    uniform = (bits >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
    scale = np.float32(1) / (np.float32(1) - np.float32(rate))
    return np.where(uniform < np.float32(rate), np.float32(0), x * scale)


def run(sim, N, units, rate, misalign=0, scalars=False, in_place=False):
    seed, step, layer, first = 0x123456789ABCDEF, 2**33 + 5, 3, 17
    x = np.random.default_rng(units).standard_normal((N, units)).astype(np.float32)
    source = common.Array(x, misalign=misalign)
    out = source if in_place else common.output((N, units), misalign=misalign)
    vector = units % 4 == 0 and not misalign
    scale = np.float32(1) / (np.float32(1) - np.float32(rate))
    # With scalars in device memory, the step of the arguments must not matter.
    args = Args(N, units, rate, scale, seed, 0 if scalars else step, layer, first, vector)
    device_step = common.Array(np.array([step, 0], np.uint64), dtype=np.uint64) if scalars else None
    width = 32
    while width < 256 and width < -(-units // 4):
        width *= 2
    height = 256 // width
    stats = sim.launch(SOURCE, "dropout_kernel", (-(-units // (4 * width)), -(-N // height)), (width, height),
                       [source.address, out.address, args, device_step.address if scalars else None])
    common.check_same("y", out.numpy(), expected(x, rate, seed, step, layer, first))
    return stats


def test_drops_the_units_of_the_reference(sim):
    for N, units, rate in ((1, 1, 0.5), (5, 3, 0.25), (7, 17, 0.4), (3, 9, 0), (2, 101, 0.95), (3, 33, 0.4),
                           (4, 1024, 0.4), (2, 2052, 0.4)):
        for misalign in (0, 1):
            run(sim, N, units, rate, misalign)


def test_reads_the_step_from_the_device(sim):
    run(sim, 3, 64, 0.4, scalars=True)


def test_works_in_place(sim):
    run(sim, 3, 64, 0.4, in_place=True)


def test_moves_whole_sectors(sim):
    common.check_traffic(sim, "dropout_kernel", run(sim, 4, 1024, 0.4))


if __name__ == "__main__":
    common.main()
