# SPDX-License-Identifier: Apache-2.0
import common
from common import np

SOURCE = "kernels/images/images_cuda.cu"


def run(sim, count, misalign):
    pixels = (np.arange(count) * 7 % 256).astype(np.uint8)
    source, out = common.Array(pixels, dtype=np.uint8, misalign=misalign), common.output((count,), misalign=misalign)
    per_block = 256 if misalign else 1024
    stats = sim.launch(SOURCE, "scale_images_kernel", -(-count // per_block), 256,
                       [source.address, out.address, np.int64(count), not misalign])
    common.check_same("x", out.numpy(), pixels.astype(np.float32) * np.float32(1 / np.float32(255)))
    return stats


def test_scales_every_byte(sim):
    for count in (1, 2, 3, 255, 1024, 1029):
        for misalign in (0, 1):
            run(sim, count, misalign)


def test_moves_whole_sectors(sim):
    common.check_traffic(sim, "scale_images_kernel", run(sim, 4 * 784, 0))


if __name__ == "__main__":
    common.main()
