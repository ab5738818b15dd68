"""The benchmarks measure what they say: generated articles are what they claim, memory and time are counted."""

from __future__ import annotations

import importlib.util
import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmarks import compare, growth, latency, measure
from benchmarks.generate import NEW_FORMS, NEW_NAMES, Article, articles, invented_name, read_articles
from benchmarks.generate import main as generate
from benchmarks.peers import PEERS, Peer, Recipe, Sektor
from data.corpus import Corpus, read_corpus
from data.duplicates import repeats
from data.sectors import read_sectors
from features.clean import clean
from features.fold import fold
from features.strings import string_array
from features.tokens import Tokens, split
from models.evaluation import evaluate
from models.store import read_model
from models.uncertainty import Predictions
from predict import SHIPPED_MODEL, main

SAMPLE = 600
SECTORS = [sector.id for sector in read_sectors()]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return read_articles()


@pytest.fixture(scope="module")
def memo() -> set[str]:
    return set(read_model(SHIPPED_MODEL).words)


@pytest.fixture(scope="module")
def sample(corpus: Corpus, memo: set[str]) -> list[Article]:
    return list(articles(SAMPLE, corpus=corpus, memo=memo))


@pytest.fixture(scope="module")
def tokens(sample: list[Article]) -> Tokens:
    return split(clean(string_array([article.raw for article in sample])))


def test_articles_depend_on_the_seed_alone(sample: list[Article], corpus: Corpus, memo: set[str]) -> None:
    assert (
        list(islice(articles(10**9, corpus=corpus, memo=memo), 20)) == sample[:20]
    )  # a stream, the same from its start
    assert list(articles(20, seed=1, corpus=corpus, memo=memo)) != sample[:20]


def test_every_article_brings_new_distinct_words(tokens: Tokens, corpus: Corpus) -> None:
    seen = set(split(clean(string_array(corpus.articles()))).distinct)
    new = []
    for start, stop in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True):
        words = {tokens.distinct[number] for number in tokens.numbers[start:stop]}
        new.append(sum(word.isalpha() for word in words - seen))
        seen |= words
    assert min(new) >= NEW_NAMES
    assert NEW_NAMES + NEW_FORMS - 0.5 <= np.mean(new[SAMPLE // 2 :]) <= NEW_NAMES + NEW_FORMS + 0.5


def test_no_two_numbers_make_the_same_name() -> None:
    numbers = [
        *range(100_000),
        *range(3_300_000, 3_450_000),
        *range(10**12, 10**12 + 1000),
    ]  # names grow
    assert len({invented_name(number).lower() for number in numbers}) == len(numbers)


@pytest.mark.parametrize("unseen", [0.1, 1 / 6, 0.3])
def test_share_of_unseen_tokens_is_the_one_asked_for(unseen: float, corpus: Corpus, memo: set[str]) -> None:
    raw = [article.raw for article in articles(200, unseen=unseen, corpus=corpus, memo=memo)]
    words = split(clean(string_array(raw)))
    outside = np.array([any(part not in memo for part in fold(word)) for word in words.distinct])
    assert outside[words.numbers].mean() == pytest.approx(unseen, abs=0.015)


def test_share_that_cannot_be_had_is_refused(corpus: Corpus, memo: set[str]) -> None:
    with pytest.raises(ValueError, match=r"unseen share 0\.010: expected from 0\.\d+"):
        articles(1, unseen=0.01, corpus=corpus, memo=memo)


def test_lengths_are_those_of_real_articles(tokens: Tokens) -> None:
    lengths = np.diff(tokens.offsets)
    assert np.median(lengths) == pytest.approx(270, abs=20)
    assert np.log(lengths).std() == pytest.approx(0.45, abs=0.1)


def test_no_article_repeats_another(sample: list[Article]) -> None:
    assert (repeats([article.raw for article in sample]) == np.arange(SAMPLE)).mean() >= 0.95


def test_generated_files_are_a_labelled_corpus(sample: list[Article], tmp_path: Path) -> None:
    path = tmp_path / "articles.jsonl"
    assert generate([str(SAMPLE), "--output", str(path)]) == 0
    corpus = read_corpus([path], SECTORS)
    assert corpus.articles() == [article.raw for article in sample]
    assert (corpus.levels >= 1).any(axis=0).all()
    assert (corpus.levels == 0).all(axis=1).any()
    assert measure.read_articles(path) == corpus.articles()


def test_garbage_words_are_distinct() -> None:
    assert len(set(latency.garbage(1000))) == 1000


def test_time_and_output_of_a_process() -> None:
    finished = measure.run(measure.python("-c", "import time; time.sleep(0.2); print('done')"))
    assert finished.output == "done\n"
    assert finished.seconds >= 0.2
    assert finished.peak is None


def test_a_process_that_takes_too_long_is_ended() -> None:
    with pytest.raises(measure.OverBudget, match=r"over 0\.2 s"):
        measure.run(measure.python("-c", "import time; time.sleep(60)"), budget=0.2)


def test_a_process_that_fails_is_told_by_its_last_line() -> None:
    with pytest.raises(measure.Failed, match="ValueError: no"):
        measure.run(measure.python("-c", "raise ValueError('no')"))


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no /proc/*/smaps_rollup on this system")
def test_memory_is_that_of_the_whole_family() -> None:
    hold = "import time; held = b'x' * 50_000_000; time.sleep(0.4)"
    both = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {hold!r}]); {hold}; child.wait()"
    peak = measure.run(measure.python("-c", both), watch=True).peak
    assert peak is not None
    assert 100_000_000 < peak < 150_000_000


def test_tables_tell_what_is_missing_and_compute_ratios() -> None:
    table = [
        compare.Row("recipe", "the recipe", cold=[100.0, 120.0, 90.0], warm=[1000.0], start=[1.0], peak=200_000_000),
        compare.Row("fasttext", "fastText", problem=compare.NOT_INSTALLED),
        compare.Row("sektor", "Sektor", cold=[1000.0], warm=[20000.0], start=[0.2]),
        compare.Row("sektor", "Sektor, one core", many=True, cold=[500.0], warm=[20000.0]),
        compare.Row("sektor", "Sektor, 2 cores", workers=2, many=True, cold=[900.0], warm=[36000.0]),
    ]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in compare.speed_table(table).splitlines()[2:]]
    assert lines[0] == ["the recipe", "100 (90-120)", "1,000 (1,000-1,000)", "1.0", "1.0", "10.0", "20.0", "1.0", "200"]
    assert lines[1][:2] == ["fastText", "not installed: make bench installs it"]
    assert lines[2][3:7] == ["10.0", "20.0", "1.0", "1.0"]
    assert "| 1.8 |" in " ".join(compare.cores_table(table).split())
    assert compare.quality_table(table).count(" - |") == 3 * 2 * len(compare.FIGURES)


def test_sektor_is_compared_with_each_peer_at_its_better_threshold(corpus: Corpus) -> None:
    labelled = corpus.select(range(0, len(corpus), 7))
    right = labelled.levels >= 1
    worse = right ^ (np.random.default_rng(0).random(right.shape) < 0.05)
    table = compare.rows(1)
    for name, predicted in (("sektor", [right, right]), ("tfidf", [~right, worse]), ("recipe", [right, worse])):
        row = compare.find(table, name)
        for thresholds, said in zip(("default", "out_of_fold"), predicted, strict=True):
            row.predictions[thresholds] = Predictions(said, said.astype(float))
            row.quality[thresholds] = evaluate(labelled.levels, said, said.astype(float), labelled.sectors).metrics()
    lines = compare.differences_table(table, labelled).splitlines()[2:]
    found = {line.split(":")[0][2:]: [cell.strip() for cell in line.split("|")[2:-1]] for line in lines}
    assert found["usual recipe"] == ["default", *["+0.000 (+0.000 to +0.000)"] * 2]
    assert found["scikit-learn"][0] == "out-of-fold"
    full = 1 - compare.find(table, "tfidf").quality["out_of_fold"]["full"]
    assert found["scikit-learn"][1].startswith(f"{full:+.3f} (+0.0")
    assert found["fastText"] == ["-"] * 3


def test_the_picture_is_drawn_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: it is in the train extra")
    table = compare.rows(2)
    for row in table:
        row.cold, row.warm = [100.0], [1000.0]
    for name in ("a.svg", "b.svg"):
        compare.draw(table, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.slow
def test_growth_counts_every_article(tmp_path: Path) -> None:
    found = growth.cost(50, tmp_path, seed=0, unseen=0.1, workers=1, budget=60, in_memory=True)
    assert (found.articles, list(tmp_path.iterdir())) == (50, [])
    assert found.seconds > 0
    assert found.in_memory is not None
    assert found.in_memory > 0
    assert growth.table([found]).splitlines()[2].startswith("| 50 ")


@pytest.mark.slow
def test_growth_finds_a_row_that_is_not_what_the_predictor_says(tmp_path: Path) -> None:
    articles, labels = tmp_path / "articles.jsonl", tmp_path / "labels.jsonl"
    generate(["3", "--output", str(articles)])
    assert main([str(articles), "-o", str(labels), "--quiet"]) == 0
    assert growth.beside(articles, labels, workers=1) > 0
    rows = [json.loads(line) for line in labels.read_text(encoding="utf-8").splitlines()]
    rows[1]["probabilities"]["ev"] = 0.5
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"labels\.jsonl:2: "):
        growth.beside(articles, labels, workers=1)


@pytest.fixture(scope="module")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated articles, to train peers on in no time."""
    path = tmp_path_factory.mktemp("corpus") / "articles.jsonl"
    generate(["400", "--seed", "5", "--output", str(path)])
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", PEERS, ids=lambda kind: kind.name)
def test_peer_learns(kind: type[Peer], small_corpus: Path, sample: list[Article], tmp_path: Path) -> None:
    if not kind.installed():
        pytest.skip(f"{kind.title} is not installed: make bench installs it")
    corpus = read_corpus([small_corpus], SECTORS)
    peer = kind(SECTORS)
    peer.fit(peer.prepare(corpus.articles()), corpus.levels >= 1)
    peer.save(tmp_path)
    again = kind(SECTORS)
    again.load(tmp_path)
    texts = again.prepare([article.raw for article in sample[:100]])
    scores = again.scores(texts)
    np.testing.assert_array_equal(scores, peer.scores(texts))
    true = np.array([[article.levels[sector] >= 1 for sector in SECTORS] for article in sample[:100]])
    assert np.mean([scores[true[:, k], k].mean() - scores[~true[:, k], k].mean() for k in range(len(SECTORS))]) > 0.2


@pytest.mark.slow
def test_comparison_from_end_to_end(small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = tmp_path / "few.jsonl"
    generate(["30", "--output", str(few)])
    options: dict[str, object] = {"--articles": few, "--corpus": small_corpus, "--labelled": small_corpus}
    options |= {"--repeats": 1, "--seconds": 0}
    options |= {"--json": tmp_path / "results.json", "--picture": tmp_path / "speed.svg"}
    assert compare.main([str(part) for option in options.items() for part in option]) == 0
    output = capsys.readouterr().out
    result = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    by_title = {row["title"]: row for row in result["rows"]}
    for title in (Recipe.title, Sektor.title):
        row = by_title[title]
        assert row["problem"] is None
        assert len(row["cold"]) == len(row["warm"]) == 1
        assert row["quality"]["out_of_fold"]["full"] > 0.3
    for kind in PEERS:
        if not kind.installed():
            assert f"{kind.title}: {compare.NOT_INSTALLED}" in output
    differences = output.split("Sektor minus each peer")[1].splitlines()
    (line,) = (line for line in differences if line.startswith(f"| {Recipe.title}"))
    assert line.count(" to ") == 2
    assert (tmp_path / "speed.svg").exists() == (importlib.util.find_spec("matplotlib") is not None)
