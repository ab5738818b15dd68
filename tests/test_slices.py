"""Slices hold the articles they name, are scored as sets of their own, and bear any outlet's name."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation import evaluate
from models.slices import (
    FEWEST,
    FEWEST_FOR_INTERVALS,
    HEADLINE,
    LONG,
    MOST_STYLES,
    SHORT,
    Members,
    measure_slices,
    members,
)
from models.uncertainty import intervals

SECTORS = ("automotive", "ev", "agro")
NAN = float("nan")


def chosen(titles: list[str], texts: list[str], styles: list[str], levels: list[list[float]]) -> dict[str, list[int]]:
    """The places of the members of each kind, by its name."""
    kinds = members(titles, texts, styles, np.array(levels))
    return {kind.name: np.flatnonzero(kind.chosen).tolist() for kind in kinds}


def drawn(n: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    levels = random.choice([0, 0, 0, 1, 2, NAN], (n, 3))
    levels[random.random(n) < 0.3] = 0
    probabilities = np.round(random.random((n, 3)) * 0.6 + (levels >= 1) * 0.3, 2)
    return levels, probabilities >= 0.5, probabilities


def kind(of: npt.NDArray[np.bool_]) -> Members:
    return Members("some", "some", of)


@pytest.mark.parametrize(
    ("title", "text", "expected"),
    [
        (0, 1, "short"),
        (0, SHORT, "short"),
        (1, SHORT, "medium"),
        (1, LONG - 2, "medium"),
        (1, LONG - 1, "long"),
        (0, LONG * 100, "long"),
    ],
)
def test_the_length_is_that_of_title_and_text(title: int, text: int, expected: str) -> None:
    found = chosen(["a " * title], ["kata " * text], [""], [[0, 0, 0]])
    assert [name for name in ("short", "medium", "long") if found[name]] == [expected]


@pytest.mark.parametrize(
    ("title", "text", "bare"),
    [
        ("Harga gabah naik", "Harga  gabah\nnaik ", True),
        ("Harga Gabah Naik", "harga gabah naik", True),
        ("Harga gabah naik", "Harga gabah naik. Petani senang.", False),
        ("Harga gabah naik", "Petani", False),
        ("", "Harga gabah naik\n", True),
        (" ", "Harga gabah naik", True),
        ("", "Harga gabah naik\nPetani senang", False),
        ("", "kata " * HEADLINE, True),
        ("", "kata " * (HEADLINE + 1), False),
    ],
)
def test_title_only_is_what_has_no_body(title: str, text: str, bare: bool) -> None:
    assert chosen([title], [text], [""], [[0, 0, 0]])["title_only"] == [0] * bare


def test_how_many_sectors_an_article_is_about() -> None:
    levels = [[0, 0, 0], [0, 2, 0], [1, 2, 0], [0, 2, NAN], [NAN, 0, 0], [1, NAN, 2], [2, 2, 2]]
    found = chosen([""] * 7, ["x"] * 7, [""] * 7, levels)
    assert found["no_sector"] == [0]
    assert found["one_sector"] == [1]
    assert found["several_sectors"] == [2, 5, 6]


def test_styles_are_slices_where_there_are_several() -> None:
    levels = [[0.0, 0, 0]] * 4
    found = chosen([""] * 4, ["x"] * 4, ["wire", "detik", "", "wire"], levels)
    assert (found["style_wire"], found["style_detik"]) == ([0, 3], [1])
    for styles in ([""] * 4, ["wire"] * 4):
        assert not [name for name in chosen([""] * 4, ["x"] * 4, styles, levels) if name.startswith("style")]


def test_rare_styles_share_a_slice() -> None:
    styles = ["a", *(f"outlet {number:02}" for number in range(MOST_STYLES + 4)), "a"]
    found = chosen([""] * len(styles), ["x"] * len(styles), styles, [[0.0, 0, 0]] * len(styles))
    of_styles = {name: places for name, places in found.items() if name.startswith("style")}
    assert len(of_styles) == MOST_STYLES + 1
    assert of_styles["style_a"] == [0, len(styles) - 1]
    assert len(of_styles["style_others"]) == 5
    assert sorted(place for places in of_styles.values() for place in places) == list(range(len(styles)))


@given(st.lists(st.text(max_size=60), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_name_of_an_outlet_will_do(styles: list[str]) -> None:
    """Names of metrics are plain and each there once, titles are one line; each article with a style is in one."""
    kinds = members([""] * len(styles), ["x"] * len(styles), styles, np.zeros((len(styles), 3)))
    names = [kind.name for kind in kinds]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_]{1,60}", name) for name in names)
    assert all(kind.title.isprintable() for kind in kinds)
    of_styles = [kind.chosen for kind in kinds if kind.name.startswith("style")]
    if of_styles:
        assert np.sum(of_styles, axis=0).tolist() == [bool(style) for style in styles]


def test_a_slice_is_scored_as_a_set_of_its_own() -> None:
    levels, predicted, probabilities = drawn(400, 0)
    rows = np.arange(400) % 3 == 0
    (found,) = measure_slices(levels, predicted, probabilities, SECTORS, [kind(rows)], 200, 3)
    expected = evaluate(levels[rows], predicted[rows], probabilities[rows], SECTORS)
    names = ("full", "ap", "micro_full", "fp_none")
    assert found.articles == 134
    assert found.positives == {sector: figures.positives for sector, figures in expected.sectors.items()}
    assert found.figures == {name: pytest.approx(getattr(expected, name)) for name in names}
    ranges = intervals(levels[rows], predicted[rows], probabilities[rows], SECTORS, 200, 3)
    assert found.intervals == {name: ranges[name] for name in names}


def test_sectors_that_a_slice_lacks_do_not_count() -> None:
    levels, predicted, probabilities = drawn(300, 1)
    levels[:, 1] = np.where(np.isnan(levels[:, 1]), NAN, 0)
    (found,) = measure_slices(levels, predicted, probabilities, SECTORS, [kind(np.ones(300, bool))], 100)
    expected = evaluate(levels, predicted, probabilities, SECTORS)
    assert list(found.positives) == ["automotive", "agro"]
    assert found.figures["full"] == pytest.approx(
        (expected.sectors["automotive"].full + expected.sectors["agro"].full) / 2
    )
    assert found.figures["full"] > expected.full  # where ev, said of nothing it is true of, counts as 0
    assert found.figures["micro_full"] == expected.micro_full
    for name, (low, high) in found.intervals.items():
        assert low <= found.figures[name] <= high, name


@pytest.mark.parametrize(
    ("n", "figures", "ranges"),
    [(0, 0, 0), (FEWEST - 1, 0, 0), (FEWEST, 4, 0), (FEWEST_FOR_INTERVALS - 1, 4, 0), (FEWEST_FOR_INTERVALS, 4, 4)],
)
def test_few_articles_have_no_intervals_and_fewer_no_figures(n: int, figures: int, ranges: int) -> None:
    levels, predicted, probabilities = drawn(200, 2)
    (found,) = measure_slices(levels, predicted, probabilities, SECTORS, [kind(np.arange(200) < n)], 50)
    assert (found.articles, len(found.figures), len(found.intervals)) == (n, figures, ranges)


def test_without_positives_or_articles_about_nothing_their_figures_are_left_out() -> None:
    levels, predicted, probabilities = drawn(300, 3)
    none, about = (levels == 0).all(axis=1), (levels >= 1).any(axis=1)
    nothing, something = measure_slices(levels, predicted, probabilities, SECTORS, [kind(none), kind(about)], 50)
    assert (list(nothing.figures), nothing.positives) == (["fp_none"], {})
    assert list(something.figures) == ["full", "ap", "micro_full"]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_the_order_of_articles_does_not_matter(seed: int) -> None:
    levels, predicted, probabilities = drawn(150, seed)
    rows = np.random.default_rng(seed).random(150) < 0.8
    order = np.random.default_rng(seed + 1).permutation(150)
    (here,) = measure_slices(levels, predicted, probabilities, SECTORS, [kind(rows)], 20)
    (there,) = measure_slices(levels[order], predicted[order], probabilities[order], SECTORS, [kind(rows[order])], 20)
    assert here == there
