#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TensorBoard shows a run's scalars, histograms, images and graph in Chromium. Screenshots of each stay in
$LOCKSTEP_INTEROP_DIR/screenshots."""

import contextlib
import os
import re
import selectors
import shutil
import subprocess
import sys
import time

from playwright.sync_api import expect, sync_playwright

import common

SCREENSHOTS = os.path.join(common.WORK_DIR, "screenshots")
SECONDS = 60  # for anything that is waited for


def url_of(process):
    """Reads what TensorBoard says until it names its address."""
    said, deadline = "", time.monotonic() + SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while time.monotonic() < deadline and process.poll() is None:
            if selector.select(timeout=1):
                said += os.read(process.stderr.fileno(), 4096).decode()
            found = re.search(r"http://[^ ]*:\d+/", said)
            if found:
                return found.group()
    raise AssertionError(f"TensorBoard does not serve:\n{said}")


@contextlib.contextmanager
def tensorboard(logdir):
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logdir, "--port", "0", "--host", "127.0.0.1",
               "--reload_interval", "0"]
    with open(os.path.join(SCREENSHOTS, "tensorboard.log"), "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.PIPE)
        try:
            yield url_of(process)
        finally:
            common.end(process, SECONDS)


def close(text, value):
    """Whether a number as a page shows it, with three digits or more, is this one."""
    return re.fullmatch(r"-?\d+(\.\d+)?(e[-+]?\d+)?", text) and abs(float(text) - value) <= 5e-3 * abs(value)


def check_time_series(page, rows):
    """The default tab: each card's table names the newest value."""
    for tag, value in (("OptimizeLoss", rows["train"]["loss"]), ("accuracy", rows["eval"]["accuracy"])):
        card = page.locator("scalar-card").filter(has=page.get_by_title(tag, exact=True))
        table = card.locator("tb-data-table")
        expect(table).to_contain_text("300")  # its step
        assert any(close(word, value) for word in table.inner_text().split()), (tag, value, table.inner_text())


def check_scalars(page, rows):
    for tag in ("OptimizeLoss", "accuracy"):
        card = page.locator("tf-scalar-card").filter(has_text=f"tag: {tag}")
        lines = card.locator("vz-line-chart2 path.line[d]")
        expect(lines.first).to_be_attached()
        points = max(len(re.findall("[ML]", d)) for d in lines.evaluate_all("all => all.map(e => e.getAttribute('d'))"))
        assert points == {"OptimizeLoss": 30, "accuracy": 3}[tag], (tag, points)


def check_images(page, rows):
    loaders = page.locator("tf-image-loader").filter(has_text=re.compile(r"tag: mistakes/\d_true_\d_predicted_\d"))
    expect(loaders.locator("img")).to_have_count(12)  # a page of them
    page.wait_for_function("""() => {
      const found = (root) => [...root.querySelectorAll('*')].flatMap(
          e => [...(e.localName == 'img' ? [e] : []), ...(e.shadowRoot ? found(e.shadowRoot) : [])]);
      const pictures = found(document);
      return pictures.every(p => p.naturalWidth == 28 && p.naturalHeight == 28);
    }""")


def check_graphs(page, rows):
    nodes = page.locator("tf-graph-scene g.node[data-name]")
    expect(page.locator("tf-graph-scene g.node[data-name=softmax_tensor]").first).to_be_visible()
    names = set(nodes.evaluate_all("all => all.map(e => e.getAttribute('data-name'))"))
    expected = {"Placeholder", "Reshape", "conv2d", "max_pooling2d", "conv2d_1", "max_pooling2d_1", "Reshape_1", "dense",
                "dropout", "dense_1", "softmax_tensor", "ArgMax"}
    assert expected <= names, names


def check_histograms(page, rows):
    """The first two groups are open: kernel and bias of both convolutions, three histograms each."""
    for tag in ("conv2d/kernel", "conv2d/bias", "conv2d_1/kernel", "conv2d_1/bias"):
        loader = page.locator("tf-histogram-loader").filter(has_text=f"tag: {tag}")
        expect(loader.locator("vz-histogram-timeseries g.histogram")).to_have_count(3)


def check_distributions(page, rows):
    for tag in ("conv2d/kernel", "conv2d/bias", "conv2d_1/kernel", "conv2d_1/bias"):
        loader = page.locator("tf-distribution-loader").filter(has_text=f"tag: {tag}")
        expect(loader.locator("vz-distribution-chart path[d]").first).to_be_attached()


CHECKS = {"timeseries": check_time_series, "scalars": check_scalars, "images": check_images, "graphs": check_graphs,
          "histograms": check_histograms, "distributions": check_distributions}


def check_tab(browser, url, tab, rows):
    """A page of its own: TensorBoard keeps the elements of tabs that were shown before."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(1000 * SECONDS)
    expect.set_options(timeout=1000 * SECONDS)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{url}?darkMode=false#{tab}")
    try:
        CHECKS[tab](page, rows)
        page.wait_for_timeout(1000)  # of animation, for the picture's sake
    finally:
        page.screenshot(path=os.path.join(SCREENSHOTS, f"{tab}.png"))
    assert not errors, f"{tab}: {errors}"
    page.close()
    print(f"TensorBoard's {tab}: as expected")


def main():
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not browser_path:
        common.skip("no Chromium here (Debian's package is called chromium)")
    os.makedirs(SCREENSHOTS, exist_ok=True)
    rows = {kind: rows[max(rows)] for kind, rows in ((kind, common.metrics(kind)) for kind in ("train", "eval"))}
    with tensorboard(common.RUN) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        for tab in CHECKS:
            check_tab(browser, url, tab, rows)
        browser.close()


if __name__ == "__main__":
    main()
