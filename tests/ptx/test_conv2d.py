# SPDX-License-Identifier: Apache-2.0
"""The convolution kernels on the smaller shapes of tests/support/kernel_case.cc, each with every arithmetic and source
that it can run with, against sums in double."""
import common
import conv2d_plan as plan
from common import np

SOURCE = "kernels/conv2d/conv2d_cuda.cu"
MATHS = ("Float", "Tf32", "Bf16")
# Products of operands rounded to 11 (8) bits: twice the half unit of each, relative to the sum of absolute products.
EPSILON = {"Float": 2.0**-23, "Tf32": 2.0**-11, "Bf16": 2.0**-8}


class Case:
    def __init__(self, name, N, H, W, C, K, R, S, stride=1, same=True, relu=False, pool=(2, 2, True), slices=None):
        self.name, self.N, self.relu = name, N, relu
        self.slices = slices or [0, N // 2, N // 2, N, N]  # offsets; one slice is empty
        OH, pad_h = window(H, R, stride, same)
        OW, pad_w = window(W, S, stride, same)
        self.shape = plan.Shape(H, W, C, OH, OW, K, R, S, stride, pad_h, pad_w)
        self.pool = pool
        PH, pool_pad_h = window(OH, pool[0], pool[1], pool[2])
        PW, pool_pad_w = window(OW, pool[0], pool[1], pool[2])
        self.pool_shape = plan.PoolShape(OH, OW, K, PH, PW, pool[0], pool[1], pool_pad_h, pool_pad_w)
        rng = np.random.default_rng(len(name) + 7 * H + K)
        draw = lambda *shape: rng.uniform(-1, 1, shape).astype(np.float32)
        self.x, self.w, self.b = draw(N, H, W, C), draw(R, S, C, K), draw(K)
        self.g, self.gp = draw(N, OH, OW, K), draw(N, PH, PW, K)
        self.y, self.y_scale = forward(self.shape, self.x, self.w, self.b, relu)
        self.pooled, self.argmax = max_pool(self.pool_shape, self.y)

    def quads(self):
        return self.pool[:2] == (2, 2)

    def full_gradient(self):
        """Of the convolution's sums: behind the pool and the ReLU."""
        p = self.pool_shape
        masked = np.where(self.pooled <= 0, 0, self.gp) if self.relu else self.gp
        full = np.zeros((self.N, p.H, p.W, p.C), np.float32)
        for ph in range(p.PH):
            for pw in range(p.PW):
                for pos in range(p.window * p.window):
                    h, w = ph * p.stride + pos // p.window - p.pad_h, pw * p.stride + pos % p.window - p.pad_w
                    if 0 <= h < p.H and 0 <= w < p.W:
                        full[:, h, w] += np.where(self.argmax[:, ph, pw] == pos, masked[:, ph, pw], 0)
        return full


def window(size, width, stride, same):
    if not same:
        return (size - width + stride) // stride, 0
    out = -(-size // stride)
    return out, max(0, (out - 1) * stride + width - size) // 2


def padded(s, x):
    bottom, right = (s.OH - 1) * s.stride + s.R, (s.OW - 1) * s.stride + s.S
    after = [max(0, bottom - s.pad_h - s.H), max(0, right - s.pad_w - s.W)]
    return np.pad(x.astype(np.float64), ((0, 0), (s.pad_h, after[0]), (s.pad_w, after[1]), (0, 0)))


def taps(s):
    """(r, tap, the input's rows and columns under it)."""
    for r in range(s.R):
        for tap in range(s.S):
            yield r, tap, (slice(None), slice(r, r + (s.OH - 1) * s.stride + 1, s.stride),
                           slice(tap, tap + (s.OW - 1) * s.stride + 1, s.stride))


def forward(s, x, w, b, relu):
    y, scale = np.zeros((len(x), s.OH, s.OW, s.K)) + b, np.zeros((len(x), s.OH, s.OW, s.K)) + np.abs(b)
    image = padded(s, x)
    for r, tap, at in taps(s):
        y += image[at] @ w[r, tap].astype(np.float64)
        scale += np.abs(image[at]) @ np.abs(w[r, tap]).astype(np.float64)
    return (np.maximum(y, 0) if relu else y).astype(np.float32), scale


def backward_data(s, w, g):
    grad = np.zeros_like(padded(s, np.zeros((len(g), s.H, s.W, s.C))))
    for r, tap, at in taps(s):
        grad[at] += g.astype(np.float64) @ w[r, tap].astype(np.float64).T
    return grad[:, s.pad_h:s.pad_h + s.H, s.pad_w:s.pad_w + s.W]


def backward_filter(s, x, g):
    image, grad = padded(s, x), np.zeros((s.R, s.S, s.C, s.K))
    for r, tap, at in taps(s):
        grad[r, tap] = np.einsum("nhwc,nhwk->ck", image[at], g.astype(np.float64))
    return grad


def max_pool(p, y):
    best = np.full((len(y), p.PH, p.PW, p.C), -np.inf, np.float32)
    argmax = np.zeros(best.shape, np.uint8)
    for ph in range(p.PH):
        for pw in range(p.PW):
            for pos in range(p.window * p.window):
                h, w = ph * p.stride + pos // p.window - p.pad_h, pw * p.stride + pos % p.window - p.pad_w
                if 0 <= h < p.H and 0 <= w < p.W:
                    wins = y[:, h, w] > best[:, ph, pw]
                    argmax[:, ph, pw][wins] = pos
                    best[:, ph, pw] = np.maximum(best[:, ph, pw], y[:, h, w])
    return best, argmax


def cases():
    return [
        Case("one", 1, 1, 1, 1, 1, 1, 1),
        Case("filter_larger_than_image", 2, 3, 4, 2, 3, 5, 7),
        Case("odd_relu", 3, 7, 5, 3, 10, 3, 3, relu=True),
        Case("prime_valid", 2, 11, 13, 7, 17, 5, 3, same=False, pool=(3, 2, True)),
        Case("valid_to_one_pixel", 5, 4, 3, 3, 5, 4, 3, same=False),
        Case("even_filter_same", 2, 6, 5, 3, 4, 4, 2, relu=True),
        Case("vector_multiple", 2, 8, 8, 16, 32, 3, 3, relu=True),
        Case("vector_multiple_and_one", 1, 9, 9, 17, 33, 3, 3, pool=(2, 1, False)),
        Case("stride_two_same", 2, 9, 8, 3, 10, 3, 3, stride=2),
        Case("stride_two_valid", 2, 10, 9, 3, 10, 3, 3, stride=2, same=False, relu=True),
        Case("stride_two_channels", 2, 9, 7, 9, 12, 3, 3, stride=2, relu=True),
        Case("stride_over_filter", 2, 10, 11, 3, 5, 2, 2, stride=3),
        Case("one_by_one", 2, 5, 6, 10, 64, 1, 1, relu=True),
        Case("one_channel_many_filters", 1, 6, 7, 1, 70, 5, 5, relu=True),
        Case("one_channel_small_filter", 2, 7, 6, 1, 33, 3, 3, relu=True),
        Case("one_filter_many_channels", 2, 6, 6, 64, 1, 3, 3),
        Case("wide", 1, 3, 37, 2, 31, 3, 3, relu=True, pool=(3, 2, True)),
        Case("tall", 1, 37, 1, 5, 8, 5, 1, pool=(2, 3, True)),
        Case("overlapping_pool", 1, 12, 12, 4, 16, 5, 5, relu=True, pool=(3, 2, False)),
        Case("many_channels", 3, 6, 6, 40, 72, 3, 3, relu=True),
        Case("ragged_valid", 3, 9, 11, 12, 16, 3, 3, same=False, relu=True, pool=(2, 2, False)),
    ]


def mnist_first(N):
    return Case("mnist_first", N, 28, 28, 1, 32, 5, 5, relu=True, pool=(2, 2, False), slices=[0, N])


def mnist_second(N):
    return Case("mnist_second", N, 14, 14, 32, 64, 5, 5, relu=True, pool=(2, 2, False), slices=[0, N])


# ---- Launches, as conv2d_launch.cuh makes them.

def aligned(misalign):
    return misalign == 0


def dense(values, output, H, W, C, misalign):
    return plan.Dense(values.address, output.address if output else 0, H, W, C, C % 4 == 0 and aligned(misalign))


def outputs(s, y, misalign, bias=None, relu=False, argmax=None, pool=None):
    vector = s.K % 4 == 0 and aligned(misalign)
    return plan.Outputs(bias.address if bias else 0, relu, y.address, argmax.address if argmax else 0,
                        pool.PH if pool else 0, pool.PW if pool else 0, vector,
                        argmax is not None and vector and s.K % 16 == 0)


def launch_patch(sim, math, source, s, N, w, out, pooled, backwards):
    """Packs the filters and convolves; returns the statistics of the latter."""
    p = plan.PatchPlan(s, math)
    inputs, outs = s.C, s.K
    strides = (1, s.C) if backwards else (s.K, 1)
    view = plan.FilterView(w.address, s.R * s.S, inputs, outs, *strides, backwards)
    packed = common.output((p.packed_words,), np.uint32)
    sim.launch(SOURCE, "conv2d_pack_kernel<lockstep::cuda::%sMath>" % math, plan.div_up(p.packed_words, 256), 256,
               [view, np.int32(p.tile.chunk_words), np.int32(p.tile.chunks), np.int32(p.block_k),
                np.int64(p.packed_words), packed.address])
    args = plan.patch_args(source)(s, p.tile, N, source, packed.address, out)
    name = "conv2d_patch_kernel<lockstep::cuda::%sMath, lockstep::cuda::%s, %d, %s>" % (
        math, "UnpooledSource" if isinstance(source, plan.Unpooled) else "DenseSource", p.block_k,
        "true" if pooled else "false")
    t = p.tile
    return sim.launch(SOURCE, name, (plan.div_up(N, t.images) * t.tiles_h * t.tiles_w, p.k_blocks), p.threads, [args],
                      shared=p.shared)


def launch_one_channel(sim, s, N, x, w, out, pooled):
    p = plan.OneChannelPlan(s)
    args = plan.OneChannelArgs(s, p.tile, N, x.address, w.address, out)
    name = "conv2d_one_channel_kernel<%d, %d, %s>" % (s.R, s.S, "true" if pooled else "false")
    return sim.launch(SOURCE, name, (N * p.tile.tiles_h * p.tile.tiles_w, plan.div_up(s.K, 32)), p.threads, [args],
                      shared=4 * (s.R * s.S * 32 + p.tile.image_pitch))


def kernels_for(s):
    """The forward kernels that can compute the shape; all are tried, not only the one that is chosen."""
    kernels = [("direct", "Float")]
    if plan.suits_one_channel(s):
        kernels.append(("one_channel", "Float"))
    return kernels + [("patch", math) for math in MATHS if plan.PatchPlan(s, math).fits]


def check(what, math, got, expected, scale, terms):
    common.check_close(what, got, expected, scale, terms=terms, epsilon=EPSILON[math])


def run_forward(sim, case, kernel, math, misalign, pooled):
    s, N, p = case.shape, case.N, case.pool_shape
    x, w, b = (common.Array(a, misalign=misalign) for a in (case.x, case.w, case.b))
    shape = (N, p.PH, p.PW, s.K) if pooled else (N, s.OH, s.OW, s.K)
    y = common.output(shape, misalign=misalign)
    argmax = common.output(shape, np.uint8, misalign) if pooled else None
    out = outputs(s, y, misalign, b, case.relu, argmax, p)
    if kernel == "direct":
        stats = sim.launch(SOURCE, "conv2d_direct_fwd_kernel", plan.div_up(y.size, 256), 256,
                           [s, np.int64(N), x.address, w.address, out])
    elif kernel == "one_channel":
        stats = launch_one_channel(sim, s, N, x, w, out, pooled)
    else:
        source = dense(x, None, s.H, s.W, s.C, misalign)
        stats = launch_patch(sim, math, source, s, N, w, out, pooled, backwards=False)
    what = "%s %s %s misalign %d" % (case.name, kernel, math, misalign)
    terms = s.R * s.S * s.C
    if not pooled:
        check(what, math, y.numpy(), case.y, case.y_scale, terms)
        return stats
    # A rounding difference may move a maximum: the value is compared, and that the position holds it.
    scale = case.y_scale.max(axis=(1, 2), keepdims=True)
    check(what, math, y.numpy(), case.pooled, np.broadcast_to(scale, y.shape), terms)
    positions = argmax.numpy()
    if math == "Float":
        assert (positions != case.argmax).mean() < 0.01, what + ": arg-max positions differ"
    assert positions.max() < 4
    held = held_values(p, case.y, positions)
    check(what + " at arg-max", math, held, case.pooled, np.broadcast_to(scale, y.shape), terms)
    return stats


def held_values(p, y, positions):
    padded_y = np.pad(y, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=-np.inf)
    n, ph, pw, k = np.indices(positions.shape)
    return padded_y[n, 2 * ph + positions // 2, 2 * pw + positions % 2, k]


def gradient_source(case, pooled, misalign):
    """(what the kernels read, arrays to keep alive, the full gradient)."""
    s, p = case.shape, case.pool_shape
    if not pooled:
        values = common.Array(case.g, misalign=misalign)
        output = common.Array(case.y, misalign=misalign) if case.relu else None
        full = np.where(case.y <= 0, 0, case.g) if case.relu else case.g
        return dense(values, output, s.OH, s.OW, s.K, misalign), (values, output), full
    values, argmax = common.Array(case.gp, misalign=misalign), common.Array(case.argmax, dtype=np.uint8, misalign=misalign)
    output = common.Array(case.pooled, misalign=misalign) if case.relu else None
    source = plan.Unpooled(values.address, output.address if output else 0, argmax.address, s.OH, s.OW, s.K, p.PH, p.PW,
                           s.K % 4 == 0 and aligned(misalign))
    return source, (values, output, argmax), case.full_gradient()


def source_name(source):
    return "UnpooledSource" if isinstance(source, plan.Unpooled) else "DenseSource"


def run_backward_data(sim, case, math, misalign, pooled):
    s, N = case.shape, case.N
    source, keep, full = gradient_source(case, pooled, misalign)
    w, grad_x = common.Array(case.w, misalign=misalign), common.output((N, s.H, s.W, s.C), misalign=misalign)
    back = plan.Shape(s.OH, s.OW, s.K, s.H, s.W, s.C, s.R, s.S, 1, s.R - 1 - s.pad_h, s.S - 1 - s.pad_w)
    stats = None
    if math == "direct":
        stats = sim.launch(SOURCE, "conv2d_direct_bwd_data_kernel<lockstep::cuda::%s>" % source_name(source),
                           plan.div_up(grad_x.size, 256), 256, [s, np.int64(N), w.address, source, grad_x.address])
    elif s.stride == 1 and plan.PatchPlan(back, math).fits:
        out = outputs(back, grad_x, misalign)
        stats = launch_patch(sim, math, source, back, N, w, out, False, backwards=True)
    if stats is None:
        return None
    expected, scale = backward_data(s, case.w, full), backward_data(s, np.abs(case.w), np.abs(full))
    check("%s grad_x %s misalign %d" % (case.name, math, misalign), "Float" if math == "direct" else math,
          grad_x.numpy(), expected, scale, s.R * s.S * s.K)
    return stats


def run_backward_filter(sim, case, kernel, misalign, pooled, target=None):
    s = case.shape
    source, keep, full = gradient_source(case, pooled, misalign)
    x = common.Array(case.x, misalign=misalign)
    size_w = s.R * s.S * s.C * s.K
    target = target or plan.chunk_target(size_w, 64 if plan.suits_one_channel(s) else 16)
    offsets = case.slices
    slots = max([1] + [plan.chunk_count(b - a, target) for a, b in zip(offsets, offsets[1:])])
    count = len(offsets) - 1
    table = plan.SliceTable(count, slots, target, (plan.C.c_int64 * (plan.MAX_SLICES + 1))(*offsets))
    stride = plan.round_up(size_w + s.K, 4)
    partials = common.output((count * slots * stride,))
    if kernel == "direct":
        stats = sim.launch(SOURCE, "conv2d_direct_bwd_filter_kernel<lockstep::cuda::%s>" % source_name(source),
                           (plan.div_up(size_w + s.K, 256), count * slots), 256,
                           [s, table, x.address, source, partials.address, np.int64(stride)])
    elif kernel == "one_channel":
        p = plan.OneChannelPlan(s)
        args = plan.one_channel_grad_args(source)(s, p.tile, table, x.address, source, partials.address, stride)
        name = "conv2d_one_channel_grad_kernel<%d, %d, lockstep::cuda::%s>" % (s.R, s.S, source_name(source))
        stats = sim.launch(SOURCE, name, (count * slots, plan.div_up(s.K, 32)), p.threads, [args],
                           shared=4 * (p.tile.image_pitch + p.threads * (s.R * s.S + 1)))
    else:
        p = plan.FilterGradPlan(s, kernel)
        args = plan.filter_grad_args(source)(s, p.tile, table, p.taps_per_group,
                                             dense(x, None, s.H, s.W, s.C, misalign), source, partials.address, stride)
        name = "conv2d_filter_grad_kernel<lockstep::cuda::%sMath, lockstep::cuda::%s>" % (kernel, source_name(source))
        stats = sim.launch(SOURCE, name, (count * slots, p.groups * plan.div_up(s.C, 32), plan.div_up(s.K, 64)),
                           32 * p.taps_per_group, [args], shared=p.shared)
    grad_w, grad_b = common.output((s.R, s.S, s.C, s.K), misalign=misalign), common.output((s.K,), misalign=misalign)
    sum_args = plan.GradSumArgs(table, 0, count, partials.address, stride, size_w, s.K, grad_w.address, grad_b.address)
    sim.launch(SOURCE, "conv2d_grad_sum_kernel", plan.div_up(size_w + s.K, 256), 256, [sum_args])
    what = "%s %%s %s misalign %d pooled %d" % (case.name, kernel, misalign, pooled)
    math = kernel if kernel in EPSILON else "Float"
    terms = case.N * s.OH * s.OW
    check(what % "grad_w", math, grad_w.numpy(), backward_filter(s, case.x, full),
          backward_filter(s, np.abs(case.x), np.abs(full)), terms)
    check(what % "grad_b", math, grad_b.numpy(), full.astype(np.float64).sum(axis=(0, 1, 2)),
          np.abs(full).astype(np.float64).sum(axis=(0, 1, 2)), terms)
    return stats


# ---- Tests.

def test_forward_is_the_sum_over_taps(sim):
    for case in cases():
        for kernel, math in kernels_for(case.shape):
            for misalign in (0, 1):
                run_forward(sim, case, kernel, math, misalign, pooled=False)


def test_fused_pool_is_the_maximum_of_the_quads(sim):
    for case in cases():
        if not case.quads():
            continue
        for kernel, math in kernels_for(case.shape):
            for misalign in (0, 1):
                if kernel != "direct":
                    run_forward(sim, case, kernel, math, misalign, pooled=True)


def test_gradient_of_the_input(sim):
    for case in cases():
        for math in ("direct", *MATHS):
            for misalign in (0, 1):
                run_backward_data(sim, case, math, misalign, pooled=False)
                if case.quads():
                    run_backward_data(sim, case, math, misalign, pooled=True)


def test_gradient_of_the_filter(sim):
    for case in cases():
        kernels = ["direct"] + ["one_channel"] * plan.suits_one_channel(case.shape)
        kernels += [math for math in MATHS if plan.FilterGradPlan(case.shape, math).fits]
        for kernel in kernels:
            for misalign in (0, 1):
                run_backward_filter(sim, case, kernel, misalign, pooled=False)
                if case.quads():
                    run_backward_filter(sim, case, kernel, misalign, pooled=True)


def test_several_examples_make_a_chunk(sim):
    case = Case("chunks", 7, 5, 6, 9, 12, 3, 3, relu=True)
    first = Case("first", 7, 6, 6, 1, 12, 3, 3, relu=True)
    for target in (1, 2, 3):
        for math in MATHS:
            run_backward_filter(sim, case, math, 0, False, target)
        run_backward_filter(sim, first, "one_channel", 0, True, target)


def test_gradient_in_front_of_any_pool(sim):
    for case in cases():
        s, p = case.shape, case.pool_shape
        values, argmax = common.Array(case.gp), common.Array(case.argmax, dtype=np.uint8)
        output, full = common.Array(case.pooled), common.output((case.N, s.OH, s.OW, s.K))
        sim.launch(SOURCE, "conv2d_unpool_kernel", plan.div_up(full.size, 256), 256,
                   [p, np.int64(case.N), values.address, output.address if case.relu else np.uint64(0), argmax.address,
                    full.address])
        common.check_same(case.name, full.numpy(), case.full_gradient())


def test_infinite_inputs_stay_where_they_are(sim):
    """Quads that are partly outside the image must not multiply a pixel by a gradient that does not exist."""
    case = Case("infinite", 2, 9, 8, 9, 12, 3, 3, same=False)  # 7 x 6 outputs
    first = Case("infinite_first", 2, 9, 8, 1, 12, 3, 3, same=False)
    for c in (case, first):
        c.x[1, 8, 3] = np.inf
        c.x[0, 0, 0] = np.inf
    for kernel in ("direct", *MATHS):
        run_backward_filter(sim, case, kernel, 0, False)
    run_backward_filter(sim, first, "one_channel", 0, False)


def test_hot_kernels_move_whole_sectors_without_conflicts(sim):
    first, second = mnist_first(1), mnist_second(1)
    for pooled in (False, True):
        stats = run_forward(sim, first, "one_channel", "Float", 0, pooled)
        common.check_traffic(sim, "one_channel" + (" pooled" if pooled else ""), stats)
    common.check_traffic(sim, "one_channel_grad", run_backward_filter(sim, first, "one_channel", 0, True))
    for math in MATHS:
        common.check_traffic(sim, "patch fwd " + math, run_forward(sim, second, "patch", math, 0, True))
        common.check_traffic(sim, "patch bwd_data " + math, run_backward_data(sim, second, math, 0, True))
        common.check_traffic(sim, "filter_grad " + math, run_backward_filter(sim, second, math, 0, True))


if __name__ == "__main__":
    common.main()
