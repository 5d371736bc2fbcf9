# SPDX-License-Identifier: Apache-2.0
"""The host side of kernels/conv2d/conv2d_plan.h once more, for launches from Python: the structs that kernels take by
value, and the choice of tiles. check_conv2d_plan.py compares the plans."""
import ctypes as C

MOST_SHARED, WANTED_SHARED = 96 * 1024, 74 * 1024
MAX_SLICES = 256


def struct(name, ints):
    return type(name, (C.Structure,), {"_fields_": [(field, C.c_int) for field in ints.split()]})


Shape = struct("Shape", "H W C OH OW K R S stride pad_h pad_w")
Tile = struct("Tile", "images quads_h quads_w tiles_h tiles_w patch_h patch_w pixel_pitch row_pitch image_pitch "
                      "chunk_words chunks")
PoolShape = struct("PoolShape", "H W C PH PW window stride pad_h pad_w")


class SliceTable(C.Structure):
    _fields_ = [("count", C.c_int), ("slots", C.c_int), ("chunk_target", C.c_int),
                ("begin", C.c_int64 * (MAX_SLICES + 1))]


class Dense(C.Structure):
    _fields_ = [("values", C.c_uint64), ("output", C.c_uint64), ("H", C.c_int), ("W", C.c_int), ("C", C.c_int),
                ("vector", C.c_bool)]


class Unpooled(C.Structure):
    _fields_ = [("values", C.c_uint64), ("output", C.c_uint64), ("argmax", C.c_uint64), ("H", C.c_int), ("W", C.c_int),
                ("C", C.c_int), ("PH", C.c_int), ("PW", C.c_int), ("vector", C.c_bool)]


class Outputs(C.Structure):
    _fields_ = [("bias", C.c_uint64), ("relu", C.c_bool), ("y", C.c_uint64), ("argmax", C.c_uint64), ("PH", C.c_int),
                ("PW", C.c_int), ("vector", C.c_bool), ("wide_argmax", C.c_bool)]


class FilterView(C.Structure):
    _fields_ = [("w", C.c_uint64), ("taps", C.c_int), ("inputs", C.c_int), ("outputs", C.c_int),
                ("input_stride", C.c_int64), ("output_stride", C.c_int64), ("backwards", C.c_bool)]


class GradSumArgs(C.Structure):
    _fields_ = [("slices", SliceTable), ("first", C.c_int), ("count", C.c_int), ("partials", C.c_uint64),
                ("stride", C.c_int64), ("size_w", C.c_int64), ("size_b", C.c_int64), ("grad_w", C.c_uint64),
                ("grad_b", C.c_uint64)]


class OneChannelArgs(C.Structure):
    _fields_ = [("shape", Shape), ("tile", Tile), ("N", C.c_int64), ("x", C.c_uint64), ("w", C.c_uint64),
                ("out", Outputs)]


def patch_args(source):
    return type("PatchConvArgs", (C.Structure,), {"_fields_": [
        ("shape", Shape), ("tile", Tile), ("N", C.c_int64), ("source", type(source)), ("filters", C.c_uint64),
        ("out", Outputs)]})


def one_channel_grad_args(grad):
    return type("OneChannelGradArgs", (C.Structure,), {"_fields_": [
        ("shape", Shape), ("tile", Tile), ("slices", SliceTable), ("x", C.c_uint64), ("grad", type(grad)),
        ("partials", C.c_uint64), ("partial_stride", C.c_int64)]})


def filter_grad_args(grad):
    return type("FilterGradArgs", (C.Structure,), {"_fields_": [
        ("shape", Shape), ("tile", Tile), ("slices", SliceTable), ("taps_per_group", C.c_int), ("x", Dense),
        ("grad", type(grad)), ("partials", C.c_uint64), ("partial_stride", C.c_int64)]})


def div_up(a, b):
    return -(-a // b)


def round_up(a, b):
    return div_up(a, b) * b


class Rules:
    most_quads, most_images, quad_step, quad_words, block_words = 0, 1, 1, 0, 0
    neighbours_16_apart = rows_16_apart = rows_4_apart = False


def pitch_16_apart(least, factor, before):
    for pitch in range(least, least + 32, 4):
        if (factor * pitch - before) % 32 == 16:
            return pitch
    return least


def set_pitches(s, rules, t):
    t.patch_h = (2 * t.quads_h - 1) * s.stride + s.R
    t.patch_w = (2 * t.quads_w - 1) * s.stride + s.S
    t.row_pitch = t.patch_w * t.pixel_pitch
    step = 2 * s.stride * t.pixel_pitch
    if rules.neighbours_16_apart and t.quads_w % 2:
        t.row_pitch = pitch_16_apart(t.row_pitch, 2 * s.stride, (t.quads_w - 1) * step)
    if rules.rows_16_apart:
        t.row_pitch = pitch_16_apart(t.row_pitch, s.stride, 0)
    if rules.rows_4_apart and t.row_pitch % 8 == 0:
        t.row_pitch += 4
    t.image_pitch = t.patch_h * t.row_pitch
    if rules.neighbours_16_apart and t.quads_w % 2 and t.quads_h % 2:
        last = (t.quads_w - 1) * step + (t.quads_h - 1) * 2 * s.stride * t.row_pitch
        t.image_pitch = pitch_16_apart(t.image_pitch, 1, last)


def shared_bytes(rules, t):
    quads = round_up(t.images * t.quads_h * t.quads_w, rules.quad_step)
    return 4 * (t.images * t.image_pitch + quads * rules.quad_words + rules.block_words)


def tile_cost(s, rules, t):
    quads = round_up(t.images * t.quads_h * t.quads_w, rules.quad_step)
    pixels, taps = t.images * t.patch_h * t.patch_w, s.R * s.S
    crowding = 1.3 if shared_bytes(rules, t) > WANTED_SHARED else 1.0
    return crowding * t.tiles_h * t.tiles_w / t.images * (quads * (taps + 2) + 0.5 * pixels + 4 * taps)


def cheapest_tile(s, rules, t):
    QH, QW = div_up(s.OH, 2), div_up(s.OW, 2)
    t.images = 1
    best, best_cost = Tile.from_buffer_copy(t), 0

    def consider(images, tiles_h, tiles_w):
        nonlocal best, best_cost
        t.images, t.quads_h, t.quads_w = images, div_up(QH, tiles_h), div_up(QW, tiles_w)
        t.tiles_h, t.tiles_w = div_up(QH, t.quads_h), div_up(QW, t.quads_w)
        set_pitches(s, rules, t)
        if images * t.quads_h * t.quads_w > rules.most_quads or shared_bytes(rules, t) > MOST_SHARED:
            return
        cost = tile_cost(s, rules, t)
        if not best.quads_h or cost < best_cost:
            best, best_cost = Tile.from_buffer_copy(t), cost

    for tiles_h in range(1, QH + 1):
        if QH // tiles_h > rules.most_quads:
            continue
        for tiles_w in range(1, QW + 1):
            consider(1, tiles_h, tiles_w)
            if best.quads_h and best.quads_h * best.quads_w > 4 * div_up(QH, tiles_h) * div_up(QW, tiles_w):
                break
    for images in range(2, rules.most_images + 1):
        consider(images, 1, 1)
    return best


class PatchPlan:
    def __init__(self, s, math):
        tensor = math != "Float"
        words = div_up(s.C, 2 if math == "Bf16" else 1)
        self.block_k = 64 if s.K > 32 else 32
        t = Tile()
        t.chunks = div_up(words, 32)
        t.chunk_words = round_up(div_up(words, t.chunks), 16 if tensor else 4)
        t.pixel_pitch = t.chunk_words + (8 if tensor else 4)
        rules = Rules()
        rules.quad_step = 512 // self.block_k
        rules.most_quads, rules.most_images = 8 * rules.quad_step, 16
        rules.block_words = max(2 * t.chunk_words * self.block_k, 1536)
        rules.neighbours_16_apart = tensor
        self.tile = t = cheapest_tile(s, rules, t)
        self.fits = t.quads_h > 0
        if self.fits:
            self.threads = 32 * div_up(t.images * t.quads_h * t.quads_w, rules.quad_step)
            self.shared = shared_bytes(rules, t)
            self.k_blocks = div_up(s.K, self.block_k)
            self.packed_words = self.k_blocks * t.chunks * s.R * s.S * t.chunk_words * self.block_k


class OneChannelPlan:
    def __init__(self, s):
        t = Tile()
        t.chunk_words = t.chunks = t.pixel_pitch = 1
        rules = Rules()
        rules.most_quads, rules.quad_step = 256, 8
        self.tile = t = cheapest_tile(s, rules, t)
        t.row_pitch = round_up(t.row_pitch, 2)
        t.image_pitch = t.patch_h * t.row_pitch
        self.threads = min(256, 32 * div_up(t.quads_h * t.quads_w, 8))


def taps_of_group(taps):
    sizes = range(min(taps, 8), min(taps, 4) - 1, -1)
    return min(sizes, key=lambda size: (div_up(taps, size) * size, -size))


class FilterGradPlan:
    def __init__(self, s, math):
        self.taps_per_group = taps_of_group(s.R * s.S)
        self.groups = div_up(s.R * s.S, self.taps_per_group)
        t = Tile()
        t.chunks = 1
        t.chunk_words = 16 if math == "Bf16" else 32
        t.pixel_pitch = t.chunk_words + (4 if math == "Float" else 8)
        rules = Rules()
        rules.most_quads = 256
        rules.quad_step = {"Float": 1, "Tf32": 2, "Bf16": 4}[math]
        rules.quad_words = 4 * {"Float": 64, "Tf32": 68, "Bf16": 36}[math] + 2
        rules.block_words = 16
        rules.rows_16_apart, rules.rows_4_apart = math == "Tf32", math == "Bf16"
        self.tile = cheapest_tile(s, rules, t)
        self.fits = self.tile.quads_h > 0
        self.shared = shared_bytes(rules, self.tile) if self.fits else 0


def chunk_target(filter_size, most):
    return max(1, min(most, 2**20 // filter_size))


def chunk_count(examples, target):
    return div_up(examples, max(1, div_up(examples, target))) if examples else 0


def suits_one_channel(s):
    return s.C == 1 and s.stride == 1 and s.R == s.S and s.R in (3, 5)
