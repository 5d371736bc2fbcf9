# SPDX-License-Identifier: Apache-2.0
"""Checks request and table of `lockstep` against what Python makes of the same images, with its standard library alone.

    predict_check.py MNIST_DIRECTORY REQUEST PREDICTIONS_JSON TABLE

Then draws the images: digit_<i>.png large and dark on light, png.json and pixels.json as instances in base64.
"""
import base64
import gzip
import json
import struct
import sys
import zlib

COUNT, SIDE, ZOOM, MARGIN = 10, 28, 10, (40, 90)


def float32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def test_images(directory):
    with gzip.open(f"{directory}/t10k-images-idx3-ubyte.gz") as f:
        data = f.read()[16:]
    return [data[i * SIDE * SIDE : (i + 1) * SIDE * SIDE] for i in range(COUNT)]


def check_request(images, path):
    """json.dumps of float32 values, as the tutorial's script writes them."""
    unit = float32(1 / 255)
    lines = [json.dumps({"inputs": [float32(pixel * unit) for pixel in image]}) + "\n" for image in images]
    assert open(path).read() == "".join(lines), f"{path} is not what Python writes"


def check_table(predictions_path, table_path):
    predictions = json.load(open(predictions_path))["predictions"]
    assert len(predictions) == COUNT
    lines = ["CLASSES  PROBABILITIES"]
    for p in predictions:
        assert all(x == float32(x) for x in p["probabilities"]), "a probability is no float32"
        assert abs(sum(p["probabilities"]) - 1) < 1e-6
        assert p["classes"] == p["probabilities"].index(max(p["probabilities"]))
        lines.append("%-7d  %s" % (p["classes"], p["probabilities"]))
    assert open(table_path).read().splitlines() == lines, f"{table_path} is not the table that Python prints"


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def rows_of(image):
    return [image[y * SIDE : (y + 1) * SIDE] for y in range(SIDE)]


def drawing(image):
    top, left = MARGIN
    width = left + SIDE * ZOOM
    rows = [b"\xff" * width] * top
    for row in rows_of(image):
        wide = b"".join(bytes([255 - ink]) * ZOOM for ink in row)
        rows += [b"\xff" * left + wide] * ZOOM
    return png(width, len(rows), rows)


def write_instances(path, contents):
    with open(path, "w") as f:
        for content in contents:
            f.write(json.dumps({"inputs": {"b64": base64.b64encode(content).decode()}}) + "\n")


def main():
    directory, request, predictions, table = sys.argv[1:]
    images = test_images(directory)
    check_request(images, request)
    check_table(predictions, table)
    for i, image in enumerate(images):
        with open(f"digit_{i}.png", "wb") as f:
            f.write(drawing(image))
    write_instances("png.json", [png(SIDE, SIDE, rows_of(image)) for image in images])
    write_instances("pixels.json", images)


main()
