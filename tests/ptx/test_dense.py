# SPDX-License-Identifier: Apache-2.0
import ctypes

import common
from common import np

SOURCE = "kernels/dense/dense_cuda.cu"
TF32_EPSILON, BF16_EPSILON = 2.0**-10, 2.0**-7  # of the operands; both are rounded
FEW = {5: 10, 8: 16}  # kPairs of the kernels for few outputs: the most outputs


class Operand(ctypes.Structure):
    _fields_ = [("data", ctypes.c_uint64), ("mask", ctypes.c_uint64), ("stride", ctypes.c_int64),
                ("outer", ctypes.c_int64)]


class ProductArgs(ctypes.Structure):
    _fields_ = [("a", Operand), ("b", Operand), ("bias", ctypes.c_uint64), ("c", ctypes.c_uint64),
                ("partial", ctypes.c_uint64), ("K", ctypes.c_int), ("chunk", ctypes.c_int), ("tiles_n", ctypes.c_int),
                ("relu", ctypes.c_bool)]


class FilterArgs(ctypes.Structure):
    _fields_ = [("x", Operand), ("grad", Operand), ("grad_w", ctypes.c_uint64), ("grad_b", ctypes.c_uint64),
                ("stride_w", ctypes.c_int64), ("stride_b", ctypes.c_int64), ("group", ctypes.c_int),
                ("tiles_n", ctypes.c_int)]


class SliceOffsets(ctypes.Structure):
    _fields_ = [("at", ctypes.c_int32 * 257)]


class SmallDense(ctypes.Structure):
    _fields_ = [("N", ctypes.c_int64), ("I", ctypes.c_int), ("O", ctypes.c_int), ("relu", ctypes.c_bool)]


class Tile:
    """Name in the source and what the launcher knows of it."""

    def __init__(self, name, m, n, depth, threads, sums, epsilon=2.0**-23):
        self.name, self.m, self.n, self.depth = name, m, n, depth
        self.threads, self.sums, self.epsilon = threads, sums, epsilon
        number = "Bf16" if "Bf16" in name else "Tf32" if "Tf32" in name else None
        self.k_pad = {None: (0 if depth == 16 else 4, 4), "Tf32": (4, 4), "Bf16": (8, 8)}[number]  # of A and of B
        self.outer_pad = {None: 0, "Tf32": 8, "Bf16": 4}[number]

    def shared(self, a_by_k, b_by_k, levels=0):
        a = self.m * (self.depth + self.k_pad[0]) if a_by_k else self.depth * (self.m + self.outer_pad)
        b = self.n * (self.depth + self.k_pad[1]) if b_by_k else self.depth * (self.n + self.outer_pad)
        return 4 * (2 * (a + b) + levels * self.sums * self.threads)


FP32_LARGE = Tile("Fp32Tile<8, 8, 4, 2, 16, 2>", 128, 128, 16, 256, 64)
FP32_SMALL = Tile("Fp32Tile<4, 4, 2, 2, 32, 4>", 32, 64, 32, 128, 16)
FP32_TREE = Tile("Fp32Tile<8, 4, 2, 2, 16, 4>", 64, 64, 16, 128, 32)


def mma(number, epsilon):
    name = "MmaTile<lockstep::cuda::%s, %%s>" % number
    return {"large": Tile(name % "4, 4, 2, 4, 32, 2", 128, 128, 32, 256, 64, epsilon),
            "large16": Tile(name % "4, 4, 2, 4, 16, 2", 128, 128, 16, 256, 64, epsilon),
            "small": Tile(name % "1, 4, 2, 2, 32, 4", 32, 64, 32, 128, 16, epsilon),
            "tree": Tile(name % "2, 4, 2, 2, 16, 4", 64, 64, 16, 128, 32, epsilon)}


TF32, BF16 = mma("Tf32", TF32_EPSILON), mma("Bf16", BF16_EPSILON)
PRODUCT_TILES = [FP32_LARGE, FP32_SMALL] + [kind[size] for kind in (TF32, BF16) for size in ("large", "small")]
FILTER_TILES = [(FP32_LARGE, False), (FP32_TREE, True)] + [
    (kind[size], tree) for kind in (TF32, BF16) for size, tree in (("large16", False), ("tree", True))]


def blocks(size, per_block):
    return -(-size // per_block)


def address(array):
    return int(array.address) if array is not None else 0


class Layer:
    """Inputs of a layer in device memory, and what should come out."""

    def __init__(self, N, I, O, relu, misalign=0, seed=1):
        self.N, self.I, self.O, self.relu = N, I, O, relu
        rng = np.random.default_rng(seed + N + I + O)
        draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
        x, w, b, grad = draw(N, I), draw(I, O), draw(O), draw(N, O)
        self.values = x, w, b, grad
        y = x.astype(np.float64) @ w + b
        self.y_scale = np.abs(x).astype(np.float64) @ np.abs(w) + np.abs(b)
        self.y = np.maximum(y, 0) if relu else y
        y32 = self.y.astype(np.float32)
        self.masked = np.where(y32 <= 0, 0, grad.astype(np.float64)) if relu else grad.astype(np.float64)
        self.dx, self.dw, self.db, self.dy, self.dg = (
            common.Array(a, misalign=misalign) for a in (x, w, b, y32, grad))

    def mask(self):
        return self.dy if self.relu else None


def product(sim, tile, layer, backward, vector=True, split=False, chunk=None, misalign=0):
    N, I, O = layer.N, layer.I, layer.O
    K = O if backward else I
    chunk = chunk or max(K, 1)
    chunks = max(1, blocks(K, chunk))
    shape = (N, I) if backward else (N, O)
    out = common.output(shape, misalign=misalign)
    partial = common.output((chunks,) + shape) if split else None
    args = ProductArgs(c=address(out), partial=address(partial), K=K, chunk=chunk, tiles_n=blocks(shape[1], tile.n))
    if backward:
        args.a, args.b = Operand(address(layer.dg), address(layer.mask()), O, N), Operand(address(layer.dw), 0, O, I)
    else:
        args.a, args.b = Operand(address(layer.dx), 0, I, N), Operand(address(layer.dw), 0, O, O)
        args.bias, args.relu = address(layer.db), layer.relu
    # Major::kK is 0, kOuter 1.
    kernel = "dense_product_kernel<lockstep::cuda::%s, (lockstep::cuda::Major)%d, %s, %s>" % (
        tile.name, not backward, str(backward).lower(), str(vector).lower())
    grid = (blocks(N, tile.m) * args.tiles_n, chunks if split else 1)
    stats = sim.launch(SOURCE, kernel, grid, tile.threads, [args], shared=tile.shared(True, backward))
    if split:
        sim.launch(SOURCE, "dense_chunk_sum_kernel", blocks(N * shape[1], 256), 256, [args, np.int32(chunks)])
    x, w, b, grad = layer.values
    if backward:
        want, scale = layer.masked @ w.T.astype(np.float64), np.abs(layer.masked) @ np.abs(w.T)
    else:
        want, scale = layer.y, layer.y_scale
    common.check_close("grad_x" if backward else "y", out.numpy(), want, scale, terms=K, epsilon=tile.epsilon)
    return stats, out.numpy()


def filter_gradient(sim, tile, tree, layer, offsets, group, vector=True, misalign=0):
    N, I, O = layer.N, layer.I, layer.O
    groups = (len(offsets) - 1) // group
    w, b = common.output((groups, I, O), misalign=misalign), common.output((groups, O), misalign=misalign)
    args = FilterArgs(x=Operand(address(layer.dx), 0, I, I), grad=Operand(address(layer.dg), address(layer.mask()), O, O),
                      grad_w=address(w), grad_b=address(b), stride_w=I * O, stride_b=O, group=group,
                      tiles_n=blocks(O, tile.n))
    table = SliceOffsets()
    table.at[:len(offsets)] = offsets
    kernel = "dense_filter_kernel<lockstep::cuda::%s, %s, %s>" % (
        tile.name, str(tree).lower(), str(vector).lower())
    levels = group.bit_length() - 1
    stats = sim.launch(SOURCE, kernel, (max(1, blocks(I, tile.m)) * args.tiles_n, groups), tile.threads, [args, table],
                       shared=tile.shared(False, False, levels))
    x, g = layer.values[0].astype(np.float64), layer.masked
    for i in range(groups):
        part = slice(offsets[i * group], offsets[(i + 1) * group])
        common.check_close("grad_w", w.numpy()[i], x[part].T @ g[part], np.abs(x[part].T) @ np.abs(g[part]),
                           terms=N, epsilon=tile.epsilon)
        common.check_close("grad_b", b.numpy()[i], g[part].sum(axis=0), np.abs(g[part]).sum(axis=0), terms=N)
    return stats, w.numpy(), b.numpy()


SHAPES = ((8, 64, 32), (9, 68, 36), (33, 12, 132), (130, 36, 20), (2, 196, 68))


def test_products_match_the_oracle(sim):
    for N, I, O in SHAPES:
        layer = Layer(N, I, O, relu=True)
        for tile in PRODUCT_TILES:
            product(sim, tile, layer, backward=False)
            product(sim, tile, layer, backward=True)


def test_products_of_any_size_and_alignment(sim):
    for N, I, O, relu in ((1, 1, 17, False), (3, 1, 17, True), (7, 13, 19, True), (9, 65, 33, True), (3, 9, 261, True),
                          (67, 5, 23, False), (3, 0, 24, True)):
        for misalign in (0, 1):
            layer = Layer(N, I, O, relu, misalign)
            product(sim, FP32_SMALL, layer, backward=False, vector=False, misalign=misalign)
            if I:
                product(sim, FP32_SMALL, layer, backward=True, vector=False, misalign=misalign)


def test_chunks_give_the_same_bits_split_or_not(sim):
    layer = Layer(10, 200, 68, relu=True)
    for tile in PRODUCT_TILES:
        for backward, chunk in ((False, 64), (True, 32)):
            _, together = product(sim, tile, layer, backward, chunk=chunk)
            _, apart = product(sim, tile, layer, backward, chunk=chunk, split=True)
            common.check_same("result", apart, together)


def test_every_tile_of_a_kind_gives_the_same_bits(sim):
    layer = Layer(10, 200, 68, relu=True)
    for tiles in ((FP32_LARGE, FP32_SMALL), (TF32["large"], TF32["small"]), (BF16["large"], BF16["small"])):
        for backward in (False, True):
            first, second = (product(sim, tile, layer, backward)[1] for tile in tiles)
            common.check_same("result", second, first)


def test_an_example_does_not_depend_on_its_neighbours(sim):
    for tile in PRODUCT_TILES:
        alone = Layer(1, 72, 40, relu=True)
        many = Layer(6, 72, 40, relu=True)
        many.dw, many.db, many.y = alone.dw, alone.db, None
        x = np.repeat(alone.values[0], 6, axis=0)
        many.dx = common.Array(x)
        many.y, many.y_scale = np.repeat(alone.y, 6, axis=0), np.repeat(alone.y_scale, 6, axis=0)
        _, one = product(sim, tile, alone, False)
        _, six = product(sim, tile, many, False)
        common.check_same("y", six, np.repeat(one, 6, axis=0))


def test_filter_gradients_match_the_oracle(sim):
    for N, I, O in SHAPES:
        layer = Layer(N, I, O, relu=True)
        third = N // 3
        for tile, tree in FILTER_TILES:
            if tree:
                filter_gradient(sim, tile, tree, layer, [0, third, third, N, N], 2)
                filter_gradient(sim, tile, tree, layer, [N * s // 8 for s in range(9)], 8)
            else:
                filter_gradient(sim, tile, tree, layer, [0, third, third, N], 1)


def test_filter_gradients_of_any_size_and_alignment(sim):
    for N, I, O, relu in ((1, 1, 17, False), (7, 13, 19, True), (9, 65, 33, True), (3, 9, 261, True), (3, 0, 24, True)):
        for misalign in (0, 1):
            layer = Layer(N, I, O, relu, misalign)
            filter_gradient(sim, FP32_TREE, True, layer, [N * s // 4 for s in range(5)], 4, vector=False,
                            misalign=misalign)


def test_slices_added_in_a_block_give_the_bits_of_the_tree(sim):
    layer = Layer(50, 68, 72, relu=True)
    offsets = [50 * s // 8 for s in range(9)]
    for (large, _), (small, _) in zip(FILTER_TILES[::2], FILTER_TILES[1::2]):
        _, w, b = filter_gradient(sim, large, False, layer, offsets, 1)
        _, w_sum, b_sum = filter_gradient(sim, small, True, layer, offsets, 8)
        for slices, total in ((w, w_sum), (b, b_sum)):
            while len(slices) > 1:
                slices = slices[0::2] + slices[1::2]
            common.check_same("sum", total[0], slices[0])


def few_outputs(sim, N, I, O, relu=False, misalign=0):
    layer = Layer(N, I, O, relu, misalign)
    x, w, b, grad = layer.values
    pairs = 5 if O <= 10 else 8
    stride = 2 * (pairs | 1)
    params = SmallDense(N, I, O, relu)
    results = []
    for examples in (1, 4):
        y = common.output((N, O), misalign=misalign)
        fwd = sim.launch(SOURCE, "dense_small_fwd_kernel<%d, %d>" % (pairs, examples), blocks(N, 8 * examples), 256,
                         [params, layer.dx.address, layer.dw.address, layer.db.address, y.address],
                         shared=512 * stride * 4)
        common.check_close("y", y.numpy(), layer.y, layer.y_scale, terms=I)
        results.append(y.numpy())
    common.check_same("y with four examples a warp", results[1], results[0])

    grad_x = common.output((N, I), misalign=misalign)
    data = sim.launch(SOURCE, "dense_small_bwd_data_kernel<%d>" % pairs, (blocks(I, 512), blocks(N, 32)), 256,
                      [params, layer.dw.address, layer.dy.address, layer.dg.address, grad_x.address],
                      shared=(512 + 32) * stride * 4)
    common.check_close("grad_x", grad_x.numpy(), layer.masked @ w.T, np.abs(layer.masked) @ np.abs(w.T), terms=O)

    offsets = [0, N // 3, N // 3, N]
    table = SliceOffsets()
    table.at[:4] = offsets
    gw, gb = common.output((3, I, O), misalign=misalign), common.output((3, O), misalign=misalign)
    filt = sim.launch(SOURCE, "dense_small_bwd_filter_kernel<%d, " % pairs, (blocks(I + 1, 128), 3), 512,
                      [params, table, layer.dx.address, layer.dy.address, layer.dg.address, gw.address,
                       np.int64(I * O), gb.address, np.int64(O)],
                      shared=4 * max(32 * stride, 4 * 128 * (2 * pairs + 1)))
    for s in range(3):
        part = slice(offsets[s], offsets[s + 1])
        xs, gs = x[part].astype(np.float64), layer.masked[part]
        common.check_close("grad_w", gw.numpy()[s], xs.T @ gs, np.abs(xs.T) @ np.abs(gs), terms=N)
        common.check_close("grad_b", gb.numpy()[s], gs.sum(axis=0), np.abs(gs).sum(axis=0), terms=N)
    return fwd, data, filt


def test_few_outputs_match_the_oracle(sim):
    for N, I, O, relu in ((1, 1, 1, False), (5, 31, 1, True), (1, 37, 10, True), (7, 13, 11, True), (67, 5, 3, False),
                          (10, 1024, 10, False), (3, 130, 16, True), (40, 600, 7, True)):
        for misalign in (0, 1):
            few_outputs(sim, N, I, O, relu, misalign)


def test_large_tiles_move_whole_sectors_without_bank_conflicts(sim):
    layer = Layer(128, 128, 128, relu=True)
    offsets = [0, 64, 128]
    for tile in PRODUCT_TILES:
        for backward in (False, True):
            stats, _ = product(sim, tile, layer, backward)
            common.check_traffic(sim, "%s %s" % ("grad_x" if backward else "y", tile.name), stats)
    for tile, tree in FILTER_TILES:
        stats, _, _ = filter_gradient(sim, tile, tree, layer, offsets, 2 if tree else 1)
        common.check_traffic(sim, "grad_w %s" % tile.name, stats)


def test_few_outputs_move_whole_sectors(sim):
    fwd, data, filt = few_outputs(sim, 96, 1024, 10)
    common.check_traffic(sim, "dense_small_fwd_kernel", fwd)
    common.check_traffic(sim, "dense_small_bwd_data_kernel", data)
    common.check_traffic(sim, "dense_small_bwd_filter_kernel", filt)


if __name__ == "__main__":
    common.main()
