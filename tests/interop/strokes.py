# SPDX-License-Identifier: Apache-2.0
"""Digits as strokes of a pen: traced from pictures, and drawn by hand. A stroke is a list of (x, y) points."""

import numpy as np

ZOOM = 4  # a picture is enlarged before it is thinned, so that a point of a stroke lies between its pixels

# Eight neighbours, clockwise from above.
RING = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]


def enlarge(picture):
    """Bilinear, ZOOM times; (H, W) floats."""
    def along_rows(a):
        at = (np.arange(a.shape[0] * ZOOM) + 0.5) / ZOOM - 0.5
        low = np.clip(np.floor(at).astype(int), 0, a.shape[0] - 1)
        high = np.minimum(low + 1, a.shape[0] - 1)
        share = np.clip(at - low, 0, 1)[:, None]
        return a[low] * (1 - share) + a[high] * share
    return along_rows(along_rows(picture).T).T


def thin(ink):
    """Zhang and Suen's thinning ("A fast parallel algorithm for thinning digital patterns", 1984) of booleans."""
    ink = np.pad(ink, 1)
    changed = True
    while changed:
        changed = False
        for first in (True, False):
            p = [np.roll(ink, (-dy, -dx), (0, 1)) for dy, dx in RING]
            neighbours = sum(n.astype(int) for n in p)
            steps = sum((~p[i] & p[(i + 1) % 8]).astype(int) for i in range(8))
            up, right, down, left = p[0], p[2], p[4], p[6]
            if first:
                keeps = (up & right & down) | (right & down & left)
            else:
                keeps = (up & right & left) | (up & down & left)
            gone = ink & (neighbours >= 2) & (neighbours <= 6) & (steps == 1) & ~keeps
            changed |= bool(gone.any())
            ink = ink & ~gone
    return ink[1:-1, 1:-1]


def graph_of(skeleton):
    """{pixel: its neighbours}; no diagonal where two right angles lead to the same place."""
    pixels = {(int(y), int(x)) for y, x in np.argwhere(skeleton)}

    def linked(y, x, dy, dx):
        if (y + dy, x + dx) not in pixels:
            return False
        return dy == 0 or dx == 0 or not ((y + dy, x) in pixels or (y, x + dx) in pixels)

    return {(y, x): {(y + dy, x + dx) for dy, dx in RING if linked(y, x, dy, dx)} for y, x in pixels}


def walk(graph, used, start):
    """A path from `start` over edges that were not used, straight on where it can choose."""
    path = [start]
    while True:
        at = path[-1]
        ways = [n for n in graph[at] if frozenset((at, n)) not in used]
        if not ways:
            return path
        back = np.array(path[max(0, len(path) - 2 * ZOOM)])
        heading = np.array(at) - back

        def straightness(n):
            step = np.array(n) - back
            return float(heading @ step) / (np.linalg.norm(step) + 1e-9)

        way = max(sorted(ways), key=straightness)
        used.add(frozenset((at, way)))
        path.append(way)


def trace(picture):
    """Strokes over the ink of a (28, 28) uint8 picture, in its pixels; those of a pen that goes along the middle of each
    line, from an end to an end, and around what has no end."""
    graph = graph_of(thin(enlarge(picture.astype(float)) > 110))
    starts = sorted(p for p in graph if len(graph[p]) == 1)  # ends, the upper ones first
    starts += sorted(p for p in graph if len(graph[p]) > 2) + sorted(graph)  # then forks; then loops
    used, paths = set(), []
    for start in starts:
        path = walk(graph, used, start)
        if len(path) > 1:
            paths.append(path)
    # What thinning leaves at the edge of a thick line is no stroke of the pen.
    least = min(3 * ZOOM, max(map(len, paths)))
    return [smooth(path) for path in paths if len(path) >= least]


def smooth(path):
    """A point for every two pixels of the picture, each the mean of its neighbourhood."""
    points = np.array(path, float)[:, ::-1] / ZOOM
    kernel = np.ones(5) / 5
    padded = np.concatenate([np.repeat(points[:1], 2, 0), points, np.repeat(points[-1:], 2, 0)])
    even = np.stack([np.convolve(padded[:, i], kernel, "valid") for i in (0, 1)], 1)
    chosen = [*range(0, len(even) - 1, 2 * ZOOM), len(even) - 1]
    return [tuple(map(float, even[i])) for i in chosen]


def arc(cx, cy, rx, ry, begin, end, points=16):
    """Of an ellipse, angles in degrees: 0 is to the right, 90 is down."""
    angles = np.radians(np.linspace(begin, end, points))
    return [(float(cx + rx * np.cos(a)), float(cy + ry * np.sin(a))) for a in angles]


def line(*corners, points=4):
    """Straight from corner to corner."""
    path = [corners[0]]
    for (x0, y0), (x1, y1) in zip(corners, corners[1:]):
        path += [(x0 + (x1 - x0) * i / points, y0 + (y1 - y0) * i / points) for i in range(1, points + 1)]
    return path


# As somebody might write them, in a square of 100 x 100.
BY_HAND = {
    0: [arc(50, 50, 26, 36, -90, 270, 24)],
    1: [line((52, 12), (50, 88))],
    2: [arc(50, 32, 24, 20, -170, 40) + line((68, 45), (26, 86), (78, 86))],
    3: [arc(48, 32, 22, 19, -160, 85) + arc(48, 69, 26, 19, -85, 160)],
    4: [line((34, 14), (26, 54), (76, 54)), line((64, 22), (60, 90))],
    5: [line((72, 14), (36, 14), (33, 46)) + arc(48, 64, 25, 22, -120, 140)],
    6: [line((62, 10), (40, 34), (30, 58)) + arc(50, 67, 20, 20, 180, 540, 20)],
    7: [line((24, 16), (76, 16), (44, 90))],
    8: [arc(50, 31, 18, 18, 60, -240, 18) + arc(50, 69, 22, 20, -120, 240, 20) + line((59, 47), (59, 46))],
    9: [arc(48, 34, 20, 20, 0, -360, 20) + line((68, 34), (66, 60), (58, 90))],
}
