"""The report page: what it holds, and, in Chromium, how it behaves."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.labelled import LabelledArticle
from models.predictor import Predictor
from models.report import MOST_ARTICLES, ReportError, Totals, write_report
from tests.browser import Browser, chromium

ATTACK = "<script>alert(1)</script>"
LONE = "\ud800"


def labelled(predictor: Predictor, rows: Sequence[tuple[str, str, str]]) -> list[LabelledArticle]:
    """Articles of titles, texts and dates."""
    predictions = predictor.predict([text for _, text, _ in rows], [title for title, _, _ in rows])
    return [
        LabelledArticle(number, f"n-{number}", title, text, day, prediction)
        for number, ((title, text, day), prediction) in enumerate(zip(rows, predictions, strict=True), start=1)
    ]


def totals_of(articles: Sequence[LabelledArticle], rejected: int = 0) -> Totals:
    by_sector = Counter(sector for article in articles for sector in article.prediction.sectors)
    none = sum(not article.prediction.sectors for article in articles)
    return Totals(len(articles), rejected, none, by_sector)


@pytest.fixture(scope="module")
def articles(shipped: Predictor, unseen: list[str]) -> list[LabelledArticle]:
    """Invented articles, some of them odd."""
    bundled = [
        (title, text, f"{1 + place % 28} Mei 2024")
        for place, (title, _, text) in enumerate(article.partition("\n") for article in unseen[:90])
    ]
    odd = [
        (ATTACK, f"Harga gabah turun. {ATTACK} <img src=x onerror=alert(2)> kata petani.", "2024-05-12"),
        ("</script><!-- <script>", "Pupuk urea mahal. </script><script>alert(3)</script>", "12/05/2024"),
        ("", "<p>Mobil <b>listrik</b> laris</p>\nBaca juga: harga beras\nPabrik 😀 baterai 😀 baru di Bekasi.", ""),
        ("Panjang", "Petani menanam padi. " * 2000 + "Pupuk urea mahal!", "kemarin"),
        ("The quick brown fox", "jumps over lazy dogs while nobody watches anything interesting", "2024-05-30"),
        ("123", "456", ""),
        (f"Aneh {LONE} \u202e kata", f"mobil {LONE} \x00 \x1b[31m\u2028 listrik", "2024-05-13"),
    ]
    return labelled(shipped, [*bundled, *odd])


@pytest.fixture(scope="module")
def page(shipped: Predictor, articles: list[LabelledArticle], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, articles, shipped, totals_of(articles, rejected=3))
    return path


def index_of(page: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads(
        re.findall(r'<script type="application/json" id="index">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)[0]
    )
    return index


def bodies_of(page: Path) -> list[dict[str, Any]]:
    blocks = re.findall(
        r'<script type="text/plain" class="block" id="block-\d+">(.*?)</script>', page.read_text("utf-8")
    )
    return [body for block in blocks for body in json.loads(gzip.decompress(base64.b64decode(block)))]


def rows_of(page: Path) -> list[dict[str, Any]]:
    index = index_of(page)
    return [dict(zip(index["columns"], row, strict=True)) for row in index["rows"]]


# --- what the page holds


def test_the_index_holds_every_article_with_its_prediction(page: Path, articles: list[LabelledArticle]) -> None:
    index, rows = index_of(page), rows_of(page)
    names = [sector["name"] for sector in index["sectors"]]
    assert len(rows) == len(bodies_of(page)) == len(articles)
    for row, article in zip(rows, articles, strict=True):
        assert row["number"] == article.number
        assert row["id"] == article.id
        assert [names[place] for place in row["sectors"]] == list(article.prediction.sectors)
        assert dict(zip(names, row["probabilities"], strict=True)) == pytest.approx(
            article.prediction.probabilities, rel=1e-3
        )
    assert index["totals"] == {
        "labelled": len(articles),
        "rejected": 3,
        "none": sum(not article.prediction.sectors for article in articles),
        "sectors": [sum(name in article.prediction.sectors for article in articles) for name in names],
    }
    assert [sum(histogram) for histogram in index["histograms"]] == [len(articles)] * len(names)


def test_trends_count_every_dated_article_by_sector(page: Path, articles: list[LabelledArticle]) -> None:
    trend = index_of(page)["trend"]
    assert trend["unit"] == "day"
    assert trend["starts"][0] == "2024-05-01"
    assert trend["starts"][-1] == "2024-05-30"
    assert sum(trend["articles"]) + trend["undated"] == len(articles)
    assert trend["undated"] == 3
    on_twelfth = [a for a in articles if a.date in ("12 Mei 2024", "2024-05-12", "12/05/2024")]
    assert trend["articles"][11] == len(on_twelfth)
    agro = [sector["name"] for sector in index_of(page)["sectors"]].index("agro")
    assert trend["sectors"][agro][11] == sum("agro" in article.prediction.sectors for article in on_twelfth)


def test_no_article_can_end_an_element_or_begin_one(page: Path, articles: list[LabelledArticle]) -> None:
    html = page.read_text("utf-8")
    assert "alert(" not in html.replace("\\u003cscript>alert(1)\\u003c/script>", "")
    assert len(re.findall(r"<script\b", html)) == 2 + -(-len(articles) // 64)
    assert html.count("</script>") == len(re.findall(r"<script\b", html))
    assert rows_of(page)[90]["title"] == ATTACK


def test_the_policy_allows_the_style_and_the_script_of_the_page_alone(page: Path) -> None:
    html = page.read_text("utf-8")
    policy = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', html)[0]
    for kind in ("style", "script"):
        (content,) = re.findall(rf"<{kind}>(.*?)</{kind}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert set(re.findall(r"https?:[^\"' ]*", html)) == {"http://www.w3.org/2000/svg"}  # a name, never asked for
    assert not re.search(r'(?:src|href)="(?!data:)', html)
    assert html.index("Content-Security-Policy") < html.index("<style>")


def test_the_same_articles_make_the_same_bytes(
    page: Path, shipped: Predictor, articles: list[LabelledArticle], tmp_path: Path
) -> None:
    again = tmp_path / "again.html"
    again.write_text("an older report")
    write_report(again, articles, Predictor.load(), totals_of(articles, rejected=3))
    assert again.read_bytes() == page.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.html"]


def test_a_long_text_is_cut_and_the_page_says_so(page: Path, articles: list[LabelledArticle]) -> None:
    limits, body = index_of(page)["limits"], bodies_of(page)[93]
    assert len(body["text"]) == limits["text"] < len(articles[93].text) == body["length"]
    assert limits["cut"] == 1
    chemicals = [sector["name"] for sector in index_of(page)["sectors"]].index("chemicals")
    assert body["sectors"][chemicals][1][2] == "Pupuk urea mahal!"  # the sentence stands beyond the cut
    assert [word[3] for word in body["words"] if word[3:]]


def test_words_stand_where_the_page_looks_for_them(
    page: Path, shipped: Predictor, articles: list[LabelledArticle]
) -> None:
    for article, body in zip(articles[:20], bodies_of(page), strict=False):
        explanation = shipped.explain(article.text, article.title or None)
        for place, (its, sector) in enumerate(zip(explanation.sectors.values(), body["sectors"], strict=True)):
            assert sector[0] == pytest.approx(its.score, abs=1e-3)
            strongest = its.up(1)[0]
            found = [
                word for word in body["words"] if word[0][place] == round(100 * strongest.contribution) and any(word[1])
            ]
            texts = []
            for _, (title, text), *_ in found:
                part, whole = (title, body["title"]) if title else (text, body["text"])
                texts.append(whole[part[0] : part[0] + part[1]])
            assert strongest.text in texts


def test_an_article_without_a_title_is_named_by_its_first_line(page: Path) -> None:
    rows = rows_of(page)
    assert rows[92]["title"] == "Mobil listrik laris"
    assert rows[95]["title"] == "123"
    assert rows[95]["margin"] is None
    assert rows[92]["day"] == ""
    assert rows[93]["day"] == ""


def test_thresholds_of_the_run_are_the_page_s(
    articles: list[LabelledArticle], shipped: Predictor, tmp_path: Path
) -> None:
    for threshold in (0.0, 1.0, 0.8):
        other = Predictor(shipped.model, thresholds={"ev": threshold})
        relabelled = labelled(other, [(a.title, a.text, a.date) for a in articles[:20]])
        write_report(tmp_path / "r.html", relabelled, other, totals_of(relabelled))
        sectors = {sector["name"]: sector["threshold"] for sector in index_of(tmp_path / "r.html")["sectors"]}
        assert sectors["ev"] == threshold


def test_a_page_without_articles_still_tells_the_totals(shipped: Predictor, tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", [], shipped, Totals(0, 7, 0, {}))
    index = index_of(tmp_path / "r.html")
    assert index["totals"]["rejected"] == 7
    assert index["rows"] == []
    assert index["trend"] is None


def test_what_cannot_be_written_is_said_in_one_line(
    shipped: Predictor, articles: list[LabelledArticle], tmp_path: Path
) -> None:
    absent = tmp_path / "absent" / "r.html"
    with pytest.raises(ReportError, match="cannot write the report: no such file or directory") as raised:
        write_report(absent, articles[:1], shipped, totals_of(articles[:1]))
    assert str(absent) in str(raised.value)
    with pytest.raises(ReportError, match="found 20,001 articles, expected at most 20,000"):
        write_report(tmp_path / "r.html", articles[:1] * (MOST_ARTICLES + 1), shipped, Totals(0, 0, 0, {}))
    (tmp_path / "folder").mkdir()
    with pytest.raises(ReportError, match="cannot write the report"):
        write_report(tmp_path / "folder", articles[:1], shipped, totals_of(articles[:1]))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_page_that_could_not_be_finished_leaves_the_older_one(
    shipped: Predictor, articles: list[LabelledArticle], tmp_path: Path
) -> None:
    class Vanishing(list[LabelledArticle]):
        def __iter__(self) -> Iterator[LabelledArticle]:
            yield from articles[:70]
            raise OSError(5, "Input/output error")

    path = tmp_path / "r.html"
    path.write_text("older")
    with pytest.raises(ReportError, match="input/output error"):
        write_report(path, Vanishing(articles), shipped, totals_of(articles))
    assert path.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


# --- how it behaves

slow = pytest.mark.slow
needs_chromium = pytest.mark.skipif(chromium() is None, reason="missing tool: chromium")
SHOWN = "Array.from(document.querySelectorAll('#rows .open'), (e) => e.textContent)"
FOCUS = "document.activeElement.id || document.activeElement.className"


@pytest.fixture
def browser(page: Path) -> Iterator[Browser]:
    with Browser() as its:
        its.open(page)
        yield its
        assert its.complaints() == []
        assert [url for url in its.requests() if not url.startswith("data:")] == [page.resolve().as_uri()]


def search(browser: Browser, words: str) -> None:
    browser.evaluate("document.querySelector('#search').value = ''")
    browser.click("#search")
    browser.type(words)
    browser.press("Enter")
    browser.wait("document.querySelector('#progress').textContent === ''")


def shown(browser: Browser) -> list[str]:
    its: list[str] = browser.evaluate(SHOWN)
    return its


@slow
@needs_chromium
def test_the_most_uncertain_articles_come_first(browser: Browser, page: Path) -> None:
    rows = sorted(rows_of(page), key=lambda row: (row["margin"] is None, row["margin"], row["number"]))
    assert shown(browser) == [row["title"] for row in rows[:50]]
    browser.click("#next")
    assert shown(browser) == [row["title"] for row in rows[50:100]]
    assert browser.evaluate("document.querySelector('#next').disabled") is True


@slow
@needs_chromium
def test_filters_and_orders(browser: Browser, page: Path) -> None:
    index, rows = index_of(page), rows_of(page)
    agro = [sector["name"] for sector in index["sectors"]].index("agro")
    browser.click(f"#filters .chip:nth-child({agro + 2})")
    expected = [row for row in rows if agro in row["sectors"]]
    assert set(shown(browser)) <= {row["title"] for row in expected}
    assert browser.evaluate("document.querySelector('#status').textContent").startswith(f"{len(expected)} article")
    assert (
        browser.evaluate("document.querySelector('#filters [aria-pressed=true]').textContent") == f"agro{len(expected)}"
    )
    browser.click(f"#head th:nth-child({agro + 2}) button")
    by_probability = sorted(expected, key=lambda row: (-row["probabilities"][agro], row["number"]))
    assert shown(browser) == [row["title"] for row in by_probability[:50]]
    assert browser.evaluate("document.querySelector('#head [aria-sort]').getAttribute('aria-sort')") == "descending"
    browser.click(f"#head th:nth-child({agro + 2}) button")
    ascending = sorted(expected, key=lambda row: (row["probabilities"][agro], row["number"]))
    assert shown(browser) == [row["title"] for row in ascending[:50]]
    for name, wanted in {
        "none": [row for row in rows if not row["sectors"]],
        "several": [row for row in rows if len(row["sectors"]) > 1],
        "low coverage": [row for row in rows if row["coverage"] < 0.5],
        "uncertain": [row for row in rows if row["margin"] is not None and row["margin"] < 1],
    }.items():
        browser.evaluate("document.querySelector('#filters .chip').click()")
        chip = (
            f"Array.from(document.querySelectorAll('#filters .chip')).find((e) => e.textContent.startsWith('{name}'))"
        )
        browser.evaluate(f"{chip}.click()")
        found = browser.evaluate("document.querySelector('#status').textContent")
        assert found == f"{len(wanted)} article{'' if len(wanted) == 1 else 's'} of {len(rows)}"
        if name in ("low coverage", "uncertain"):
            browser.evaluate(f"{chip}.click()")  # these join the others; so they are let go again


@slow
@needs_chromium
def test_search_finds_words_of_titles_and_of_texts(browser: Browser, articles: list[LabelledArticle]) -> None:
    search(browser, "PABRIK baterai laris")
    assert shown(browser) == ["Mobil listrik laris"]
    search(browser, '"quick brown"')
    assert shown(browser) == ["The quick brown fox"]
    search(browser, '"brown quick"')
    assert shown(browser) == []
    assert browser.evaluate("document.querySelector('#empty').hidden") is False
    search(browser, "n-17")
    assert articles[16].title[:100] in [title[:100] for title in shown(browser)]
    browser.press("/")
    browser.press("Escape")
    assert len(shown(browser)) == 50
    assert browser.evaluate("document.querySelector('#search').value") == ""


@slow
@needs_chromium
def test_an_article_that_is_markup_is_shown_as_text(browser: Browser) -> None:
    search(browser, "gabah <img")
    assert shown(browser) == [ATTACK]
    browser.click("#rows .open")
    browser.wait("document.querySelector('#text')")
    assert browser.evaluate("document.querySelector('#title').textContent") == ATTACK
    assert f"Harga gabah turun. {ATTACK} <img src=x onerror=alert(2)> kata petani." in browser.evaluate(
        "document.querySelector('#text').textContent"
    )
    assert browser.evaluate("document.querySelectorAll('dialog script, dialog img').length") == 0
    skipped = browser.evaluate("Array.from(document.querySelectorAll('#text .skip'), (e) => e.textContent)")
    assert "<img src=x onerror=alert(2)>" in skipped
    assert browser.evaluate("Array.from(document.querySelectorAll('#text mark.up'), (e) => e.textContent)")
    assert not [event for event in browser.events if event["method"] == "Page.javascriptDialogOpening"]


@slow
@needs_chromium
def test_highlights_are_those_of_the_chosen_sector(browser: Browser, page: Path) -> None:
    search(browser, "laris bekasi pabrik")
    browser.click("#rows .open")
    browser.wait("document.querySelector('#text')")
    marked = "Array.from(document.querySelectorAll('#text mark.up'), (e) => e.textContent)"
    ev = [sector["name"] for sector in index_of(page)["sectors"]].index("ev")
    browser.click(f".switch label:nth-child({ev + 1})")
    assert {"Mobil", "listrik", "baterai"} <= set(browser.evaluate(marked))  # behind characters of two UTF-16 units too
    assert "beras" not in browser.evaluate(marked)
    agro = [sector["name"] for sector in index_of(page)["sectors"]].index("agro")
    browser.press("ArrowRight")  # the radio buttons are moved through by arrow keys, as anywhere
    assert browser.evaluate("Number(document.querySelector('.switch :checked').value)") == agro == ev + 1
    assert "baterai" not in browser.evaluate(marked)
    assert "Baca juga: harga beras" in browser.evaluate(
        "document.querySelector('#text .skip:nth-of-type(n)').parentElement.textContent"
    )
    browser.click(".legend label")
    assert browser.evaluate("getComputedStyle(document.querySelector('#text .skip')).display") == "none"


@slow
@needs_chromium
def test_everything_can_be_done_by_keyboard(browser: Browser) -> None:
    browser.press("/")
    assert browser.evaluate(FOCUS) == "search"
    browser.press("ArrowDown")
    browser.press("ArrowDown")
    first, second = shown(browser)[:2]
    assert browser.evaluate("document.activeElement.textContent") == second
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("ArrowUp")
    browser.press("Enter")
    browser.wait("document.querySelector('#text')")
    assert browser.evaluate("document.querySelector('#title').textContent") == first
    assert browser.evaluate(FOCUS) == "title"
    browser.press("ArrowRight")
    browser.wait(f"document.querySelector('#title').textContent === {json.dumps(second)}")
    for _ in range(20):  # the focus stays within the article
        browser.press("Tab")
        focused = browser.evaluate("(document.activeElement.closest('dialog') || document.activeElement).tagName")
        assert focused in ("BODY", "DIALOG")
    browser.press("Escape")
    assert browser.evaluate("document.querySelector('#article').open") is False
    browser.wait(f"document.activeElement.textContent === {json.dumps(second)}")
    browser.press("ArrowUp")
    browser.press("ArrowUp")
    assert browser.evaluate(FOCUS) == "search"


@slow
@needs_chromium
def test_every_control_has_a_name(browser: Browser) -> None:
    browser.click("#rows .open")
    browser.wait("document.querySelector('#text')")
    browser.call("Accessibility.enable")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "radio", "searchbox", "combobox", "checkbox", "dialog", "img"}
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in roles
    ]
    assert {"button", "radio", "checkbox", "dialog"} <= {role for role, _ in named}
    assert [role for role, name in named if not name.strip()] == []
    assert browser.evaluate("document.documentElement.lang") == "en"


@slow
@needs_chromium
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(page: Path, dark: bool) -> None:
    with Browser(360, 740, dark=dark, touch=True) as browser:
        browser.open(page)
        wide = "document.documentElement.scrollWidth > 360"
        assert not browser.evaluate(wide)
        search(browser, "gabah <img")
        browser.evaluate("document.querySelector('#rows .open').click()")
        browser.wait("document.querySelector('#text')")
        assert not browser.evaluate(wide)
        assert browser.evaluate("document.querySelector('#article').scrollWidth") <= 360
        boxes = "Array.from(document.querySelectorAll('.card, .switch label'))"
        assert browser.evaluate(f"{boxes}.filter((box) => box.scrollWidth > box.clientWidth + 1).length") == 0
        background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(20, 21, 23)" if dark else "rgb(250, 248, 244)")
        assert browser.complaints() == []


@slow
@needs_chromium
def test_print_holds_the_charts_or_the_article_that_is_open(browser: Browser) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=720, height=1000, deviceScaleFactor=1, mobile=False)
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    browser.call("Emulation.setEmulatedMedia", media="print", features=[dark])
    visible = "Array.from(document.querySelectorAll('{}')).filter((e) => e.getClientRects().length > 0).length"
    assert browser.evaluate(visible.format("rect.bar")) > 50
    assert browser.evaluate(visible.format("#rows tr")) == 50
    assert browser.evaluate(visible.format("#search, .pages")) == 0
    assert (
        browser.evaluate("getComputedStyle(document.querySelector('.s0 .dot')).backgroundColor") == "rgb(42, 102, 173)"
    )
    browser.evaluate("document.querySelector('.open').click()")
    browser.wait("document.querySelector('#text')")
    assert browser.evaluate(visible.format("main *")) == 0
    assert browser.evaluate(visible.format("#text mark")) > 0


@slow
@needs_chromium
def test_a_sample_tells_its_rule_and_the_totals_of_the_run(
    shipped: Predictor, articles: list[LabelledArticle], tmp_path: Path
) -> None:
    rule = "every row whose number's <i>digest</i> is among the smallest"
    totals = replace(totals_of(articles), labelled=1_234_567, rejected=8, none=1_000_000)
    write_report(tmp_path / "r.html", articles[:5], shipped, totals, rule)
    with Browser() as browser:
        browser.open(tmp_path / "r.html")
        assert browser.evaluate("document.querySelector('h1').textContent") == "1,234,567 articles labelled"
        facts = browser.evaluate("document.querySelector('#facts').textContent")
        assert f"This page shows 5 of them: {rule}." in facts
        assert "8 rows were rejected" in facts
        assert browser.complaints() == []


@slow
@needs_chromium
def test_pages_of_no_article_and_of_one(shipped: Predictor, articles: list[LabelledArticle], tmp_path: Path) -> None:
    for some in ([], articles[:1]):
        write_report(tmp_path / "r.html", some, shipped, totals_of(some))
        with Browser() as browser:
            browser.open(tmp_path / "r.html")
            heading = browser.evaluate("document.querySelector('h1').textContent")
            assert heading == ("1 article labelled" if some else "0 articles labelled")
            assert browser.evaluate("document.querySelector('#articles').hidden") is not bool(some)
            assert browser.complaints() == []
