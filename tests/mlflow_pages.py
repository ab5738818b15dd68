"""MLflow's own pages of a store of runs, opened in a browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.browser import Browser

PATIENCE = 180.0  # seconds


@contextmanager
def pages(store: str, folder: Path) -> Iterator[str]:
    """The address of `mlflow ui` for a store, as long as the context lasts.

    Parameters: folder, where it may leave files. Raises TimeoutError if it does not start.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store, "--port", str(port), "--workers", "1"],
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + PATIENCE
        while not _answers(f"{address}/health"):
            if process.poll() is not None or time.monotonic() > end:
                raise TimeoutError("mlflow ui does not answer")
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def visit(browser: Browser, address: str, page: str, text: str) -> None:
    """Open a page, such as "#/models", and wait until it shows a text.

    Without MLflow's assistant, which otherwise opens on a first visit and takes a quarter of the page.
    """
    if not browser.evaluate(f"location.href.startsWith('{address}')"):
        browser.call("Page.navigate", url=f"{address}/#/settings")
        browser.wait(f"location.href.startsWith('{address}') && document.querySelector('button')")
        browser.evaluate("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")
        browser.evaluate("localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false')")
    browser.call("Page.navigate", url="about:blank")  # or else a change of what stands behind # loads nothing
    browser.call("Page.navigate", url=f"{address}/{page}")
    browser.wait(f"document.body && document.body.innerText.includes({text!r})")


def show_more(browser: Browser) -> None:
    """Unfold the description of a run and wait until its pictures are there."""
    find = "[...document.querySelectorAll('button, a, span')].find(each => each.innerText === 'Show more')"
    browser.wait(find)
    browser.evaluate(f"{find}.click()")
    browser.wait("document.body.innerText.includes('Show less')")
    browser.wait("[...document.images].every(each => each.complete)")
