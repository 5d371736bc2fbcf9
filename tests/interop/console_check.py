#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server's page in Chromium, used as somebody would: digits are drawn with the mouse, by keyboard and by finger, and
the class that the page shows is read. $LOCKSTEP_INTEROP_DIR/screenshots/console.png is what it looks like."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess

import numpy as np
from PIL import Image
from playwright.sync_api import expect, sync_playwright

import common
import server
import strokes

EACH = 5  # test images of each digit, the first ones of the set
AT_LEAST = 0.95  # of them
SCREENSHOTS = os.path.join(common.WORK_DIR, "screenshots")


class Page:
    """A page of a fresh browser, and what was wrong with it."""

    def __init__(self, browser, url, **context):
        self.faults, self.url = [], url
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * server.SECONDS)
        expect.set_options(timeout=1000 * server.SECONDS)
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.faults.append(said.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.look_at(request.url))
        self.page.goto(url)
        expect(self.page.locator("#sample-list button")).to_have_count(20)
        expect(self.page.locator("#model")).to_have_value("mnist")
        self.settle()

    def look_at(self, url):
        if not url.startswith(self.url + "/"):
            self.faults.append(f"it asked for {url}")

    def close(self):
        assert not self.faults, self.faults
        self.context.close()

    def text(self, selector):
        return self.page.locator(selector).inner_text()

    def settle(self):
        """Until the newest drawing has been answered."""
        self.page.evaluate("""async () => {
          while (document.getElementById('answer').ariaBusy == 'true') await new Promise(done => setTimeout(done, 5));
        }""")

    def digit(self):
        self.settle()
        return self.text("#digit")

    def clear(self):
        self.page.locator("#clear").click()
        assert self.digit() == "–"

    def draw(self, figure, size):
        """Strokes in a square of `size`, all over the pad, with the mouse."""
        box, mouse = self.page.locator("#pad").bounding_box(), self.page.mouse
        scale = min(box["width"], box["height"]) / size
        for stroke in figure:
            points = [(box["x"] + x * scale, box["y"] + y * scale) for x, y in stroke]
            mouse.move(*points[0])
            mouse.down()
            for point in points[1:]:
                mouse.move(*point)
            mouse.up()

    def read(self, figure, size):
        """The class that the page shows for a drawing, which is wiped off again."""
        self.draw(figure, size)
        seen = self.digit()
        self.page.keyboard.press("Escape")
        return seen


def check_traced_digits(page):
    images, labels = common.read_idx("t10k-images-idx3-ubyte"), common.test_labels()
    wrong, count = [], 0
    for digit in range(10):
        for index in np.flatnonzero(labels == digit)[:EACH]:
            seen = page.read(strokes.trace(images[index]), 28)
            count += 1
            if seen != str(digit):
                wrong.append(f"image {index}, a {digit}, was read as {seen}")
    print(f"{count - len(wrong)} of {count} traced test images are read right; {wrong}")
    assert count >= 50 and len(wrong) <= (1 - AT_LEAST) * count, wrong


def check_digits_by_hand(page):
    seen = {digit: page.read(figure, 100) for digit, figure in strokes.BY_HAND.items()}
    assert seen == {digit: str(digit) for digit in range(10)}, seen
    print("each of ten hand-made digits is read right")


def check_undo(page):
    """A one under a second stroke; then nothing."""
    page.draw(strokes.BY_HAND[1], 100)
    assert page.digit() == "1"
    page.draw([strokes.line((10, 50), (90, 50))], 100)
    page.settle()
    sure = page.text("#confidence")
    undo = page.page.locator("#undo")
    undo.click()
    assert page.digit() == "1" and page.text("#confidence") != sure
    undo.click()
    assert page.digit() == "–" and undo.is_disabled() and page.page.locator("#clear").is_disabled()
    assert page.text("#response") == ""


def check_keyboard(page):
    """A one of downward steps, taken back, drawn again and cleared."""
    keys = page.page.keyboard
    page.page.locator("#pad").focus()
    for _ in range(2):
        for key, times in (("ArrowUp", 10), ("Space", 1), ("ArrowDown", 20), ("Space", 1)):
            for _ in range(times):
                keys.press(key)
        assert page.digit() == "1"
        for _ in range(10):
            keys.press("ArrowUp")  # back to the middle
        keys.press("Control+z")
        assert page.digit() == "–"
    keys.press("Space")
    keys.press("ArrowDown")
    page.settle()
    keys.press("Escape")
    assert page.digit() == "–"


def check_samples(page):
    buttons = page.page.locator("#sample-list button")
    for button in buttons.all():
        button.click()
        label = re.fullmatch(r"A (\d) of the test set", button.get_attribute("title"))[1]
        assert page.digit() == label, f"{page.text('#digit')} for a {label}"
        assert button.get_attribute("aria-pressed") == "true"
    page.clear()
    print("all 20 sample pictures are read right")


def check_request(page):
    """The command that the page shows for a shell gives the answer that it shows, in both forms of a picture."""
    page.draw(strokes.BY_HAND[3], 100)
    for compact in (True, False):
        page.page.locator("#compact").set_checked(compact)
        page.settle()
        command = page.text("#request")
        assert ('"b64"' in command) == compact, command
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=server.SECONDS)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer == json.loads(page.text("#response")) and answer["predictions"][0]["classes"] == 3, answer
    page.page.locator("#compact").check()
    page.clear()


def check_versions(page, base, next_version):
    """A version can be chosen; a new one appears by itself, and is the default."""
    version, standard = page.page.locator("#version"), page.page.locator("#version option").first
    old = os.listdir(base)[0]
    expect(standard).to_have_text(f"default: {old}")
    page.draw(strokes.BY_HAND[5], 100)
    version.select_option(old)
    expect(page.page.locator("#request")).to_contain_text(f"/v1/models/mnist/versions/{old}:predict")
    assert page.digit() == "5"
    version.select_option("")
    expect(page.page.locator("#request")).to_contain_text("/v1/models/mnist:predict")
    new = str(int(old) + 1)
    os.rename(next_version, os.path.join(base, new))
    expect(standard).to_have_text(f"default: {new}")
    assert page.digit() == "5"
    page.clear()


def check_phone(browser, url):
    """Nothing sticks out of a small screen, a finger draws, and the answer is seen below without scrolling."""
    page = Page(browser, url, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True,
                device_scale_factor=3)
    widths = page.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1], widths
    box = page.page.locator("#pad").bounding_box()
    for selector in ("#pad", "#digit", "#confidence", "#seen"):
        shown = page.page.locator(selector).bounding_box()
        assert shown["x"] >= 0 and shown["x"] + shown["width"] <= 360, (selector, shown)
        assert shown["y"] >= 0 and shown["y"] + shown["height"] <= 740, (selector, shown)
    session = page.context.new_cdp_session(page.page)

    def touch(kind, *points):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})

    for stroke in strokes.BY_HAND[7]:
        points = [(box["x"] + x * box["width"] / 100, box["y"] + y * box["height"] / 100) for x, y in stroke]
        touch("touchStart", points[0])
        for point in points[1:]:
            touch("touchMove", point)
        touch("touchEnd")
    assert page.digit() == "7"
    assert page.page.evaluate("scrollY") == 0, "the page moved under the finger"
    page.page.screenshot(path=os.path.join(SCREENSHOTS, "console_phone.png"))
    page.close()


def take_picture(page):
    """Of the upper part with something drawn on it, in few colours: it is in the README."""
    page.draw(strokes.BY_HAND[2], 100)
    assert page.digit() == "2"
    page.page.mouse.move(0, 0)
    page.page.wait_for_timeout(300)  # of animation
    last = page.page.locator("#samples").bounding_box()
    picture = Image.open(io.BytesIO(page.page.screenshot(
        clip={"x": 0, "y": 0, "width": 960, "height": last["y"] + last["height"] + 16})))
    picture.convert("RGB").quantize(64).save(os.path.join(SCREENSHOTS, "console.png"), optimize=True)
    page.clear()


@contextlib.contextmanager
def browser():
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        common.skip("no Chromium here (Debian's package is called chromium)")
    with sync_playwright() as playwright:
        # No name is found: the page must do with what its server sends.
        flags = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


def main():
    os.makedirs(SCREENSHOTS, exist_ok=True)
    base, spare = (os.path.join(common.WORK_DIR, name) for name in ("console_versions", "console_next"))
    for copy in (base, spare):
        shutil.rmtree(copy, ignore_errors=True)
    exported = os.path.join(common.RUN, "export/Servo")
    shutil.copytree(exported, base)
    shutil.copytree(os.path.join(exported, os.listdir(exported)[0]), spare)
    with browser() as chromium, server.serving(base) as url:
        page = Page(chromium, url, viewport={"width": 960, "height": 860})
        take_picture(page)
        check_traced_digits(page)
        check_digits_by_hand(page)
        check_undo(page)
        check_keyboard(page)
        check_samples(page)
        check_request(page)
        check_phone(chromium, url)
        check_versions(page, base, spare)
        page.close()
    print("mouse, keyboard, finger, samples, undo, clear, curl and versions: as expected")


if __name__ == "__main__":
    main()
