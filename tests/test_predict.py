"""The imported predictor: what it takes, what it gives, and that no article's labels depend on another's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import models.predictor
from data.corpus import Corpus
from data.lexicon import Entry
from data.sectors import Sector
from features.strings import string_array
from models.card import model_card
from models.classifier import Configuration
from models.store import MODEL, TERMS, WORDS, StoreError, write_model
from predict import Prediction, Predictor
from train import Trained, train

ROOT = Path(__file__).resolve().parent.parent
EV = "Wuling Resmikan SPKLU\nWuling membuka stasiun pengisian kendaraan listrik umum dan menjual mobil listrik baru."
ENGLISH = (
    "The central bank kept its policy rate unchanged on Thursday, saying that inflation had eased faster than it had "
    "expected but that the labour market was still tight. Economists who were polled before the meeting had split."
)


# What it gives


def test_a_prediction_is_whole(shipped: Predictor) -> None:
    found = shipped.predict_one(EV)
    assert found.primary == "ev"
    assert set(found.sectors) == {"automotive", "ev"}
    assert tuple(found.probabilities) == shipped.sectors == ("automotive", "ev", "agro", "chemicals")
    assert all(type(p) is float and 0 <= p <= 1 for p in found.probabilities.values())
    assert type(found.coverage) is float
    assert found.coverage > 0.8
    with pytest.raises(FrozenInstanceError):
        found.primary = None  # type: ignore[misc]


def test_sectors_are_those_at_their_threshold_and_primary_the_most_probable(
    predictor: Predictor, unseen: list[str], articles: list[str]
) -> None:
    found = predictor.predict(unseen + articles)
    for prediction in found:
        said = tuple(s for s, p in prediction.probabilities.items() if p >= predictor.thresholds[s])
        assert prediction.sectors == said
        expected = max(said, key=prediction.probabilities.__getitem__) if said else None
        assert prediction.primary == expected
    assert {len(prediction.sectors) for prediction in found} >= {0, 1, 2}


def test_without_a_folder_it_is_the_shipped_model(shipped: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert Predictor.load().model.training == shipped.model.training
    assert Predictor.load(ROOT / "models" / "sektor").predict_one(EV) == shipped.predict_one(EV)
    assert Predictor.load(str(ROOT / "models" / "sektor")).predict_one(EV) == shipped.predict_one(EV)


def test_a_folder_without_a_model_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^[^\n]*no-such/model.json: no such file[^\n]*$"):
        Predictor.load(tmp_path / "no-such")


@pytest.mark.parametrize("text", ["", " \n\t\u00a0", "12 345 6,7%", "...", "\u200b"])
def test_a_blank_text_gets_no_sectors(shipped: Predictor, text: str) -> None:
    always = Predictor(shipped.model, dict.fromkeys(shipped.sectors, 0.0))
    for predictor in (shipped, always):
        assert predictor.predict_one(text) == Prediction((), None, dict.fromkeys(shipped.sectors, 0.0), 0.0)


def test_coverage_shows_another_language(shipped: Predictor, unseen: list[str]) -> None:
    assert shipped.predict_one(ENGLISH).coverage < 0.5
    assert not shipped.predict_one(ENGLISH).sectors
    assert min(prediction.coverage for prediction in shipped.predict(unseen)) > 0.6


# What it takes


@pytest.mark.parametrize("texts", ["mobil listrik", b"mobil listrik"])
def test_one_bare_string_is_refused(predictor: Predictor, texts: str | bytes) -> None:
    with pytest.raises(TypeError, match="predict_one"):
        predictor.predict(texts)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="predict_one"):
        predictor.predict(["isi"], titles=texts)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [None, 5, float("nan"), b"mobil", ["mobil"]])
def test_what_is_no_string_is_refused_with_its_place(predictor: Predictor, value: object) -> None:
    kind = type(value).__name__
    with pytest.raises(ValueError, match=f"^text 2 is a {kind}, expected a str$"):
        predictor.predict(["a", "b", value])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=f"^text 0 is a {kind}, expected a str$"):
        predictor.predict_one(value)  # type: ignore[arg-type]
    if value is not None:
        with pytest.raises(ValueError, match=f"^title 1 is a {kind}, expected a str$"):
            predictor.predict(["a", "b"], titles=["a", value])  # type: ignore[list-item]


@pytest.mark.parametrize("titles", [[], ["one"], ["one", "two", "three"]])
def test_other_than_one_title_a_text_is_refused(predictor: Predictor, titles: list[str]) -> None:
    with pytest.raises(ValueError, match=f"^found {len(titles)} titles for 2 texts"):
        predictor.predict(["a", "b"], titles)


@pytest.mark.parametrize("held", [iter, tuple, np.array, lambda texts: (text for text in texts)])
def test_any_iterable_of_strings_does(
    predictor: Predictor, unseen: list[str], held: Callable[[list[str]], Iterable[str]]
) -> None:
    assert predictor.predict(held(unseen[:8])) == predictor.predict(unseen[:8])
    titles = [f"Judul {number}" for number in range(8)]
    assert predictor.predict(unseen[:8], held(titles)) == predictor.predict(unseen[:8], titles)


def test_no_texts_give_no_predictions(predictor: Predictor) -> None:
    assert predictor.predict([]) == predictor.predict(iter([]), titles=[]) == []


def test_its_input_stays_as_it_is(predictor: Predictor, unseen: list[str]) -> None:
    texts, titles = unseen[:5], ["Judul", None, "", "Judul", None]
    before = (list(texts), list(titles))
    predictor.predict(texts, titles)
    assert (texts, titles) == before


def test_a_title_given_apart_is_a_first_line(predictor: Predictor, corpus: Corpus) -> None:
    whole = [f"{title}\n{text}" for title, text in zip(corpus.titles, corpus.texts, strict=True)]
    assert predictor.predict(corpus.texts, corpus.titles) == predictor.predict(whole)
    assert predictor.predict_one(corpus.texts[0], corpus.titles[0]) == predictor.predict_one(whole[0])
    assert predictor.predict(corpus.texts[:3], [None] * 3) == predictor.predict(corpus.texts[:3])


lines = st.lists(
    st.sampled_from(
        [
            "Baca juga: Mobil listrik laris",
            "mobil",
            "Harga pupuk naik",
            "ADVERTISEMENT",
            "Artikel Terkait",
            "<b>",
            "&amp;",
            "",
        ]
    ),
    max_size=6,
).map("\n".join)
texts = st.one_of(lines, st.text(max_size=60))


@given(title=texts.filter(bool), text=texts)
@settings(deadline=None, max_examples=100)
def test_a_title_given_apart_is_a_first_line_whatever_it_is(predictor: Predictor, title: str, text: str) -> None:
    assert predictor.predict_one(text, title) == predictor.predict_one(f"{title}\n{text}")


# Thresholds


def test_given_thresholds_replace_those_of_the_model(bundle: Path, unseen: list[str]) -> None:
    plain, eager = Predictor.load(bundle), Predictor.load(bundle, {"ev": 0.0})
    assert eager.thresholds == plain.thresholds | {"ev": 0.0}
    for before, after in zip(plain.predict(unseen), eager.predict(unseen), strict=True):
        assert "ev" in after.sectors
        assert set(after.sectors) == {*before.sectors, "ev"}
        assert after.probabilities == before.probabilities
    never = Predictor.load(bundle, dict.fromkeys(plain.sectors, 1.0))
    assert {prediction.primary for prediction in never.predict(unseen)} == {None}


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"mining": 0.5}, "threshold for 'mining': no such sector, expected one of automotive, ev, agro, chemicals"),
        ({"ev": 1.5}, "threshold for 'ev': found 1.5, expected a probability from 0 to 1"),
        ({"ev": -0.1}, "threshold for 'ev': found -0.1"),
        ({"ev": float("nan")}, "threshold for 'ev': found nan"),
    ],
)
def test_impossible_thresholds_are_refused(predictor: Predictor, thresholds: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Predictor(predictor.model, thresholds)


# No article's labels depend on another's, to the last bit


@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_order_and_batches_change_no_bit(predictor: Predictor, unseen: list[str], data: st.DataObject) -> None:
    pool = [*unseen[:20], "", "mobil listrik", ENGLISH]
    expected = [predictor.predict_one(text) for text in pool]
    order = data.draw(st.permutations(range(len(pool))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(pool) - 1), max_size=6)))
    found: list[Prediction] = []
    for start, stop in zip([0, *cuts], [*cuts, len(pool)], strict=True):
        found += predictor.predict([pool[place] for place in order[start:stop]])
    assert found == [expected[place] for place in order]


def test_batches_of_the_predictor_change_no_bit(
    predictor: Predictor, unseen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = predictor.predict(unseen)
    monkeypatch.setattr(models.predictor, "BATCH_ARTICLES", 7)
    assert predictor.predict(unseen) == expected
    monkeypatch.setattr(models.predictor, "BATCH_BYTES", 5000)
    assert predictor.predict(unseen) == expected
    monkeypatch.setattr(models.predictor, "BATCH_BYTES", 1)
    assert predictor.predict(unseen, workers=2) == expected


@given(st.lists(st.integers(0, 12), max_size=12), st.integers(1, 5))
def test_batches_of_the_predictor(sizes: list[int], most: int) -> None:
    """In order and without gaps, each as large as it may be: by articles, or by characters unless it is one article."""
    texts = ["x" * size for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models.predictor, "BATCH_BYTES", 10)
        batches = list(models.predictor._batches(texts, most))
    assert [place for start, stop in batches for place in range(start, stop)] == list(range(len(texts)))
    for start, stop in batches:
        assert 1 <= stop - start <= most
        assert sum(sizes[start:stop]) <= 10 or stop - start == 1
        if stop < len(texts):
            assert stop - start == most or sum(sizes[start : stop + 1]) > 10


def test_what_was_labelled_before_changes_no_bit(bundle: Path, unseen: list[str]) -> None:
    fresh = Predictor.load(bundle)
    alone = [Predictor.load(bundle).predict_one(text) for text in unseen[:10]]
    assert fresh.predict(unseen[:10]) == alone
    fresh.predict(unseen)
    assert fresh.predict(unseen[:10]) == alone


def test_threads_share_a_predictor(bundle: Path, unseen: list[str]) -> None:
    expected = Predictor.load(bundle).predict(unseen)
    shared = Predictor.load(bundle)
    with ThreadPoolExecutor(8) as threads:
        runs = list(threads.map(lambda _: shared.predict(unseen), range(16)))
    assert all(run == expected for run in runs)


def test_arrays_in_arrays_out(predictor: Predictor, unseen: list[str]) -> None:
    labels = predictor.label(string_array([*unseen[:4], None]), string_array([None, "Judul", None, None, None]))
    found = predictor.predict([*unseen[:4], ""], [None, "Judul", None, None, None])
    assert labels.predicted.shape == labels.probabilities.shape == (5, len(predictor.sectors))
    assert labels.probabilities.tolist() == [list(prediction.probabilities.values()) for prediction in found]
    assert labels.coverage.tolist() == [prediction.coverage for prediction in found]
    assert labels.primary.tolist()[4] == -1


# Training again


@pytest.mark.slow
def test_training_again_gives_the_same_model(
    corpus: Corpus,
    sectors: tuple[Sector, ...],
    lexicon: tuple[Entry, ...],
    trained: Trained,
    bundle: Path,
    tmp_path: Path,
    unseen: list[str],
) -> None:
    again = train(corpus, sectors, Configuration(), lexicon=lexicon)
    write_model(again.model, tmp_path / "again", model_card(again.model))
    for name in (MODEL, TERMS, WORDS, "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (bundle / name).read_bytes(), name
    assert Predictor.load(tmp_path / "again").predict(unseen) == Predictor.load(bundle).predict(unseen)
    assert again.evaluation == trained.evaluation


# The process it runs in

CHILD = """
import importlib.util, sys, time
heavy = ("mlflow", "sklearn", "scipy", "pandas", "joblib", "matplotlib")
missing = [name for name in heavy if importlib.util.find_spec(name) is None]
assert not missing, f"not installed, so this shows nothing: {missing}"
from predict import Predictor
prediction = Predictor.load(sys.argv[1]).predict_one("Harga pupuk naik\\nPetani padi mengeluhkan harga pupuk.", None)
assert prediction.probabilities
print(*[name for name in heavy if name in sys.modules])
"""


def test_labelling_an_article_imports_nothing_heavy(bundle: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", CHILD, str(bundle)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (found.stdout.strip(), found.stderr) == ("", "")
    assert found.returncode == 0


def calls(function: Callable[[], object]) -> int:
    """How many calls of Python and C functions a function makes."""
    counted = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return counted


def test_no_python_work_for_each_article(predictor: Predictor) -> None:
    """From raw articles to arrays of scores: as many calls for ten thousand as for ten."""
    page = "\n".join(
        [
            "<h1>Harga Gabah Petani Naik</h1>",
            "JAKARTA - Mobil listrik (Foto: Antara) https://example.com/a \u201cnaik\u201d &amp; 75-an, 2.024 unit.",
            "Baca juga: Jadwal KRL Hari Ini",
            "Xlorvium dan mempertanggungjawabkan-nya tak dikenal. Baca juga: Kebakaran di Pasar. Lagi.",
            "Editor: Budi",
            "Berita Terkini",
            "Harga Cabai",
        ]
    )
    few, many = string_array([page] * 10), string_array([page] * 10_000)
    for _ in range(3):  # what is compiled or learned once
        predictor.label(few)
    expected = calls(lambda: predictor.label(few))
    assert calls(lambda: predictor.label(many)) == pytest.approx(expected, rel=0.01)
