# SPDX-License-Identifier: Apache-2.0
"""`lockstep serve` for the checks that talk to it."""

import contextlib
import os
import re
import subprocess
import time
import urllib.error
import urllib.request

import common

SECONDS = 60  # for anything that is waited for


def wait_for(what, condition, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s for {what}")


def is_ready(url):
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=SECONDS) as answer:
            return answer.status == 200
    except urllib.error.URLError:
        return False


def log_path():
    return os.path.join(common.WORK_DIR, "serve.log")


def grpc_address():
    """Host and port of the server that serving() has started last."""
    with open(log_path()) as said:
        return re.search(r"gRPC at ([^ ]*): ", said.read())[1]


@contextlib.contextmanager
def serving(base_path, *flags):
    """The address of a server on a port of its own, ready. What it says is in $LOCKSTEP_INTEROP_DIR/serve.log."""
    log = log_path()
    command = [os.path.join(common.BIN_DIR, "lockstep"), "serve", "--port", "0", "--rest_api_port", "0", "--model_name",
               "mnist", "--model_base_path", base_path, *flags]
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    def url():
        with open(log) as said:
            text = said.read()
        assert process.poll() is None, f"exit code {process.returncode} of {' '.join(command)}\n{text}"
        found = re.search(r"REST API at (http://[^/]*)/", text)
        return found and found[1]

    try:
        address = wait_for("the server's address", url)
        wait_for("readiness", lambda: is_ready(address))
        yield address
    finally:
        assert common.end(process, SECONDS), f"the server ran on for {SECONDS} s after SIGTERM"
