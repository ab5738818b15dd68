"""README's picture of a report: labels invented articles and photographs the page in Chromium.

python docs/report.py
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from data.corpus import read_corpus  # noqa: E402
from data.sectors import read_sectors  # noqa: E402
from models.labelled import LabelledArticle  # noqa: E402
from models.predictor import Predictor  # noqa: E402
from models.report import Totals, write_report  # noqa: E402
from tests.browser import Browser  # noqa: E402

ARTICLES = 400
FIRST, LAST = date(2025, 3, 3), date(2025, 6, 15)


def main() -> None:
    """Write docs/report.png."""
    corpus = read_corpus([ROOT / "data" / "articles"], [sector.id for sector in read_sectors()])
    picked = random.Random(5).sample(corpus.articles(), ARTICLES)
    dates = random.Random(7)
    predictor = Predictor.load()
    articles = []
    for number, (article, prediction) in enumerate(zip(picked, predictor.predict(picked), strict=True), start=1):
        title, _, text = article.partition("\n")
        day = FIRST + timedelta(days=int(dates.triangular(0, (LAST - FIRST).days)))
        articles.append(LabelledArticle(number, f"b-{number:04}", title, text, day.isoformat(), prediction))
    by_sector = Counter(sector for article in articles for sector in article.prediction.sectors)
    totals = Totals(ARTICLES, 0, sum(not article.prediction.sectors for article in articles), by_sector)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        write_report(page, articles, predictor, totals)
        with Browser(1280, 1000) as browser:
            browser.open(page)
            browser.evaluate("document.querySelectorAll('.open')[2].click()")
            browser.wait("document.querySelector('#text')")
            browser.screenshot(ROOT / "docs" / "report.png")


if __name__ == "__main__":
    main()
