"""README's picture of a run in MLflow: trains twice, opens the page of the second run and photographs it in Chromium.

python docs/mlflow_page.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser import Browser  # noqa: E402
from tests.mlflow_pages import pages, show_more, visit  # noqa: E402

RUNS: tuple[list[str], ...] = (["--regularization", "0.5"], [])  # so that the second has a champion to beat
WIDTH, HEIGHT = 1210, 1225  # pixels: down to the end of the description


def main() -> None:
    """Write docs/mlflow.png."""
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/mlflow.db"
        for options in RUNS:
            done = subprocess.run(
                [sys.executable, str(ROOT / "train.py"), "--output", f"{folder}/model", *options],
                env={**os.environ, "MLFLOW_TRACKING_URI": store},
                check=True,
                capture_output=True,
                text=True,
            )
        page = next(part for part in done.stdout.split() if "/#/experiments/" in part)
        with pages(store, Path(folder)) as address, Browser(WIDTH, HEIGHT) as browser:
            visit(browser, address, page[page.index("#") :], "Registered models")
            show_more(browser)
            browser.click("[aria-label='Toggle sidebar']")
            browser.wait("!document.body.innerText.includes('Model training')")
            browser.screenshot(ROOT / "docs" / "mlflow.png")


if __name__ == "__main__":
    main()
