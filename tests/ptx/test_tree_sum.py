# SPDX-License-Identifier: Apache-2.0
import common
from common import np

SOURCE = "kernels/tree_sum_cuda.cu"


def tree_sum(terms):
    """Along the binary tree, rounded as float at every node."""
    while len(terms) > 1:
        terms = [terms[i] + terms[i + 1] for i in range(0, len(terms), 2)]
    return terms[0]


def run(sim, slices, size, stride, misalign):
    kernel = "tree_sum_kernel" if misalign or stride % 4 else "tree_sum_vector_kernel"
    values = np.random.default_rng(size).standard_normal((slices, stride)).astype(np.float32)
    source, out = common.Array(values, misalign=misalign), common.output((size,), misalign=misalign)
    per_block = 256 if kernel == "tree_sum_kernel" else 1024
    stats = sim.launch(SOURCE, kernel, -(-size // per_block), 256,
                       [source.address, np.int64(stride), np.int32(slices), np.int64(size), out.address])
    common.check_same("sum", out.numpy(), tree_sum(list(values[:, :size])))
    return stats


def test_sums_along_the_tree(sim):
    for slices in (1, 2, 4, 8, 256):
        for size, stride, misalign in ((1, 3, 0), (7, 8, 0), (1029, 1040, 0), (300, 301, 1)):
            run(sim, slices, size, stride, misalign)


def test_moves_whole_sectors(sim):
    common.check_traffic(sim, "tree_sum_vector_kernel", run(sim, 8, 4096, 4096, 0))


if __name__ == "__main__":
    common.main()
