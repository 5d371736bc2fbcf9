# SPDX-License-Identifier: Apache-2.0
import common
from common import np

SOURCE = "kernels/ceiling/ceiling_cuda.cu"
BLOCKS, ROUNDS, CHAINS, FRAGMENT = 2, 3, 16, 4


def test_arithmetic_is_all_there(sim):
    """What the compiler had folded would count for nothing: results and instructions."""
    kernels = (("fma_ceiling_kernel", [np.float32(1), np.float32(1)], CHAINS, "fp32_fma", 2 * 32),
               ("mma_ceiling_kernel<false>", [np.float32(1)], CHAINS * FRAGMENT * 8, "mma", 2 * 16 * 8 * 8),
               ("mma_ceiling_kernel<true>", [np.float32(1)], CHAINS * FRAGMENT * 16, "mma", 2 * 16 * 8 * 16))
    for kernel, factors, sum_of_round, kind, flops in kernels:
        out = common.output((BLOCKS * 256,))
        stats = sim.launch(SOURCE, kernel, BLOCKS, 256, [np.int32(ROUNDS), *factors, out.address])
        common.check_same(kernel, out.numpy(), np.full(BLOCKS * 256, ROUNDS * sum_of_round, np.float32))
        warps = BLOCKS * 8
        assert stats["classes"][kind]["warp"] == warps * ROUNDS * CHAINS, (kernel, stats["classes"])
        # Adding up the chains aside.
        assert stats["flops"] >= warps * ROUNDS * CHAINS * flops, (kernel, stats["flops"])


def test_copies(sim):
    count = BLOCKS * 256 * 4 * ROUNDS
    values = np.arange(count, dtype=np.float32)
    source, out = common.Array(values), common.output((count,))
    stats = sim.launch(SOURCE, "copy_ceiling_kernel", BLOCKS, 256, [np.int32(ROUNDS), source.address, out.address])
    common.check_same("copy", out.numpy(), values)
    common.check_traffic(sim, "copy_ceiling_kernel", stats)


if __name__ == "__main__":
    common.main()
