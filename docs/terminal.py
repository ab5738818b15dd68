"""README's picture of a terminal: runs the command it shows and draws what that prints as SVG.

python docs/terminal.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMAND = ["predict.py", "data/samples"]
ENVIRONMENT = os.environ | {"COLUMNS": "112"}
FONT, CHARACTER, LINE, MARGIN = 13, 7.83, 20, 16  # pixels


def main() -> None:
    """Write docs/terminal.svg."""
    done = subprocess.run(
        [sys.executable, *COMMAND], cwd=ROOT, capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    lines = [f"$ python {' '.join(COMMAND)}", *done.stdout.splitlines(), *done.stderr.splitlines()]
    width = max(map(len, lines)) * CHARACTER + 2 * MARGIN
    height = len(lines) * LINE + 2 * MARGIN
    rows = []
    for number, line in enumerate(lines):
        colour = "#8be9a8" if number == 0 else "#9aa4b2" if number in (1, len(lines) - 1) else "#e6e8ee"
        text = escape(line)
        for mark in ("* 0", "* 1", "+ 0", "+ 1"):
            place = text.find(mark)
            while place >= 0:  # the predicted cells stand out
                cell = text[place : place + 6]
                text = f'{text[:place]}<tspan fill="#ffd479" font-weight="bold">{cell}</tspan>{text[place + 6 :]}'
                place = text.find(mark, place + 60)
        rows.append(f'<text x="{MARGIN}" y="{MARGIN + (number + 0.75) * LINE:.0f}" fill="{colour}">{text}</text>')
    Path(__file__).with_name("terminal.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
        f'font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="{FONT}" '
        f'xml:space="preserve" role="img" aria-label="Six sample articles labelled in a terminal">'
        f'<rect width="100%" height="100%" rx="8" fill="#1e222a"/>{"".join(rows)}</svg>\n',
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
