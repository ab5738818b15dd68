"""data.corpus and data.sectors: labels in every form, validation, splits."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.corpus import (
    CorpusError,
    combinations,
    folds,
    parse_levels,
    read_corpus,
)
from data.duplicates import deduplicate
from data.reader import ReadError
from data.sectors import SectorError, read_sectors

REPOSITORY = Path(__file__).parent.parent
SECTORS = ("automotive", "ev", "agro", "chemicals")
UNKNOWN = float("nan")


def write_json(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# Sectors


def test_bundled_sectors() -> None:
    sectors = read_sectors()
    assert tuple(sector.id for sector in sectors) == SECTORS
    assert all(sector.title and sector.meaning and 0 < sector.prevalence < 0.5 for sector in sectors)


SECTOR = '[[sector]]\nid = "{id}"\ntitle = "T"\nmeaning = "M"\nprevalence = {prevalence}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SECTOR.format(id="EV", prevalence=0.1), "sector 1: id: found 'EV', expected"),
        (SECTOR.format(id="ev", prevalence=0), r"sector 1 \(ev\): prevalence: found 0, expected a number between"),
        (SECTOR.format(id="ev", prevalence="true"), "prevalence: found True"),
        (SECTOR.format(id="ev", prevalence=0.1) * 2, "sector 2: id 'ev' is there twice"),
        ('[[sector]]\nid = "ev"\n', "sector 1: title: found None, expected text"),
        ("sector = [1]", "sector 1: found 1, expected a table"),
        ("", r"found no \[\[sector\]\] table"),
        ("[[sector", "not TOML"),
    ],
)
def test_bad_sectors_file(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "sectors.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SectorError, match=message) as error:
        read_sectors(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_missing_sectors_file(tmp_path: Path) -> None:
    with pytest.raises(SectorError, match="No such file"):
        read_sectors(tmp_path / "nothing.toml")


# Labels


@pytest.mark.parametrize(
    ("labels", "is_json", "levels"),
    [
        ('{"automotive": 2, "ev": 0}', True, [2, 0, UNKNOWN, UNKNOWN]),
        ('{"automotive": 1, "ev": null, "agro": 0}', False, [1, UNKNOWN, 0, UNKNOWN]),
        ('["ev"]', True, [0, 2, 0, 0]),
        (' ["ev", "agro"]', False, [0, 2, 2, 0]),
        ("[]", True, [0, 0, 0, 0]),
        ("ev|automotive", False, [2, 2, 0, 0]),
        ("ev, automotive", False, [2, 2, 0, 0]),
        ("ev;automotive;", False, [2, 2, 0, 0]),
        ("chemicals", False, [0, 0, 0, 2]),
        ("", False, [0, 0, 0, 0]),
        (" ", False, [0, 0, 0, 0]),
    ],
)
def test_label_forms(labels: str, is_json: bool, levels: list[float]) -> None:
    np.testing.assert_array_equal(parse_levels(labels, SECTORS, is_json=is_json), levels)


@pytest.mark.parametrize(
    ("labels", "is_json", "message"),
    [
        (None, False, "found nothing, expected levels such as"),
        ("tani", False, 'found sector "tani", expected automotive, ev, agro, chemicals'),
        ('["tani"]', True, 'found sector "tani"'),
        ("[1]", True, "found sector 1"),
        ('[["ev"]]', True, r'found sector \["ev"\]'),
        ('{"tani": 1}', True, 'found sector "tani"'),
        ('{"ev": 3}', True, "ev: found level 3, expected 0, 1, 2 or null"),
        ('{"ev": "2"}', True, 'ev: found level "2"'),
        ('{"ev": true}', True, "ev: found level true"),
        ('{"ev": 1.5}', True, "ev: found level 1.5"),
        ("{}", True, "found no level"),
        ('{"ev": null}', True, "found no level"),
        ("2", True, "found 2, expected levels"),
        ("{'ev': 2}", False, "broken JSON"),
    ],
)
def test_bad_labels(labels: str | None, is_json: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_levels(labels, SECTORS, is_json=is_json)


# Reading


def test_formats_give_the_same_corpus(tmp_path: Path) -> None:
    rows = [
        {"id": "007", "title": "Judul", "text": "Isi satu.", "sectors": {"automotive": 2, "ev": None}, "style": "wire"},
        {"id": "8", "title": "", "text": "Isi dua.", "sectors": {"agro": 0, "chemicals": 1}, "style": ""},
    ]
    lines = write_json(tmp_path / "a.jsonl", *rows)
    table = tmp_path / "a.csv"
    cells = [json.dumps(row["sectors"]).replace('"', '""') for row in rows]
    table.write_text(
        f'\ufeffid;judul;isi;labels;outlet\r\n007;Judul;Isi satu.;"{cells[0]}";wire\r\n8;;Isi dua.;"{cells[1]}";\r\n',
        encoding="utf-8",
        newline="",
    )
    parquet = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    corpora = [read_corpus([path], SECTORS) for path in (lines, table, parquet)]
    for corpus in corpora:
        assert corpus.ids == ["007", "8"]
        assert corpus.titles == ["Judul", ""]
        assert corpus.texts == ["Isi satu.", "Isi dua."]
        assert corpus.articles() == list(corpus.lazy_articles()) == ["Judul\nIsi satu.", "Isi dua."]
        assert corpus.lazy_articles()[1:] == ["Isi dua."]
        assert corpus.styles == ["wire", ""]
        assert corpus.sectors == SECTORS
        np.testing.assert_array_equal(corpus.levels, [[2, UNKNOWN, UNKNOWN, UNKNOWN], [UNKNOWN, UNKNOWN, 0, 1]])
    assert len({corpus.digest() for corpus in corpora}) == 1
    assert [corpus.places for corpus in corpora] == [
        [f"{lines}:1", f"{lines}:2"],
        [f"{table}:2", f"{table}:3"],
        [f"{parquet}:1", f"{parquet}:2"],
    ]


def test_files_folders_and_missing_ids(tmp_path: Path) -> None:
    write_json(tmp_path / "b.jsonl", {"text": "dua", "sectors": "ev"}, {"text": "tiga", "sectors": []})
    write_json(tmp_path / "a.jsonl", {"text": "satu", "sectors": ["agro"], "id": 1})
    other = tmp_path / "other"
    other.mkdir()
    extra = write_json(other / "c.jsonl", {"text": "empat", "levels": {"ev": 0}, "id": None})
    corpus = read_corpus([tmp_path / "b.jsonl", tmp_path / "a.jsonl", extra], SECTORS)
    assert corpus.ids == ["b:1", "b:2", "1", "c:1"]
    assert read_corpus([str(tmp_path)], SECTORS).texts == ["satu", "dua", "tiga", "empat"]
    assert len(corpus.select([2, 0])) == 2
    assert corpus.select([2, 0]).ids == ["1", "b:1"]
    assert corpus.select([]).levels.shape == (0, 4)


def test_digest_tells_content_not_place(tmp_path: Path) -> None:
    row = {"id": "1", "title": "t", "text": "x", "sectors": {"ev": 1}}
    corpus = read_corpus([write_json(tmp_path / "a.jsonl", row)], SECTORS)
    assert read_corpus([write_json(tmp_path / "b.jsonl", row | {"style": "wire"})], SECTORS).digest() == corpus.digest()
    for change in ({"id": "2"}, {"title": "u"}, {"text": "y"}, {"sectors": {"ev": 2}}, {"sectors": {"agro": 1}}):
        assert read_corpus([write_json(tmp_path / "c.jsonl", row | change)], SECTORS).digest() != corpus.digest()


def test_counts(tmp_path: Path) -> None:
    rows = [{"text": str(level), "sectors": {"ev": level, "agro": 0}} for level in (0, 1, 1, 2)]
    corpus = read_corpus(
        [write_json(tmp_path / "a.jsonl", *({**row, "id": i} for i, row in enumerate(rows)))], SECTORS[:3]
    )
    assert corpus.counts() == {"automotive": {0: 0, 1: 0, 2: 0}, "ev": {0: 1, 1: 2, 2: 1}, "agro": {0: 4, 1: 0, 2: 0}}


GOOD = {"id": "1", "title": "Judul", "text": "Isi.", "sectors": {"ev": 2, "agro": 1}}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"text": "x", "sectors": {"tani": 1}},
            'sectors: found sector "tani", expected automotive, ev, agro, chemicals',
        ),
        ({"text": "x", "sectors": {"ev": 3}}, "sectors: ev: found level 3, expected 0, 1, 2 or null"),
        ({"text": " \n", "sectors": []}, 'text: found " \\n", expected the text of an article'),
        ({"text": None, "sectors": []}, "text: found nothing, expected"),
        ({"text": 7, "sectors": []}, 'text: found "7", expected'),
        ({"sectors": []}, "text: found nothing, expected"),
        ({"text": "x"}, "sectors: found nothing, expected levels"),
        ({"text": "x", "sectors": None}, "sectors: found nothing, expected levels"),
        ({"id": "1", "text": "x", "sectors": []}, 'id: found "1", which {path}:1 has, expected unique ids'),
        (
            {"title": "Judul", "text": "Isi.", "sectors": {"ev": 2, "agro": 0}},
            "agro: found level 0 for the very text of {path}:1, expected its level 1",
        ),
        ({"text": "Judul\nIsi.", "sectors": {"ev": 0}}, "ev: found level 0 for the very text of {path}:1"),
        ([], "expected a JSON object, found an array"),
    ],
)
def test_bad_row_is_named(tmp_path: Path, row: object, message: str) -> None:
    path = write_json(tmp_path / "a.jsonl", GOOD, {"id": "2", "text": "y", "sectors": []}, row)
    with pytest.raises(CorpusError, match=f"^{re.escape(f'{path}:3: ' + message.format(path=path))}") as error:
        read_corpus([path], SECTORS)
    assert "\n" not in str(error.value)


def test_undecodable_byte_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,text,sectors\n1,baik,ev\n2,caf\xe9,ev\n")
    with pytest.raises(CorpusError, match=r"a\.csv:3: byte 0xe9 at position 6 is not utf-8"):
        read_corpus([path], SECTORS)


def test_same_text_with_levels_that_do_not_conflict(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.jsonl", GOOD, GOOD | {"id": "2", "sectors": {"ev": 2, "chemicals": 0}})
    assert len(read_corpus([path], SECTORS)) == 2


def test_files_without_the_columns(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.jsonl", {"id": 1, "naskah": "x", "sectors": []})
    with pytest.raises(
        CorpusError, match=r"a\.jsonl:1: text: found columns id, naskah, sectors, expected one of text,"
    ):
        read_corpus([path], SECTORS)
    (tmp_path / "b.txt").write_text("Judul\nIsi", encoding="utf-8")
    with pytest.raises(CorpusError, match="labels: found columns id, text, expected one of sectors, labels, levels"):
        read_corpus([tmp_path / "b.txt"], SECTORS)
    (tmp_path / "c.csv").write_text("id,text,sectors\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="found no articles"):
        read_corpus([tmp_path / "c.csv"], SECTORS)
    with pytest.raises(ReadError, match="no such file"):
        read_corpus([tmp_path / "nothing.csv"], SECTORS)


def test_bundled_corpus_is_read_and_deduplicated_quickly() -> None:
    start = time.process_time()
    corpus = read_corpus([REPOSITORY / "data" / "articles"], SECTORS)
    kept, dropped = deduplicate(corpus)
    assert time.process_time() - start < 4  # well under 2 s on a machine of its own
    assert len(kept) + len(dropped) == len(corpus) > 2000
    assert not np.isnan(corpus.levels).any()


# Splits


@given(st.integers(0, 10_000), st.integers(2, 5), st.booleans())
@settings(max_examples=25, deadline=None)
def test_folds(seed: int, n_splits: int, grouped: bool) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(40, 80))
    levels = random.choice([0.0, 0.0, 0.0, 1.0, 2.0, UNKNOWN], (count, 4))
    groups = random.integers(0, count, count) if grouped else np.arange(count)
    splits = folds(levels, groups, n_splits, seed)
    assert len(splits) == n_splits
    assert sorted(np.concatenate([test for _, test in splits]).tolist()) == list(range(count))
    for train, test in splits:
        assert sorted([*train, *test]) == list(range(count))
        assert not set(groups[train]) & set(groups[test])
    for (train, test), (train_again, test_again) in zip(splits, folds(levels, groups, n_splits, seed), strict=True):
        np.testing.assert_array_equal(train, train_again)
        np.testing.assert_array_equal(test, test_again)


def test_folds_are_stratified_and_follow_the_seed() -> None:
    levels = np.zeros((100, 2))
    levels[:20, 0] = 2
    levels[20:30, 1] = 1
    splits = folds(levels, np.arange(100))
    assert [(int((levels[test, 0] > 0).sum()), int((levels[test, 1] > 0).sum())) for _, test in splits] == [(4, 2)] * 5
    assert any(
        (test != other).any()
        for (_, test), (_, other) in zip(splits, folds(levels, np.arange(100), seed=1), strict=True)
    )
    with pytest.raises(ValueError, match="found 4 different articles, expected at least 5"):
        folds(levels[:5], np.array([0, 0, 1, 2, 3]))


def test_rare_combinations_count_as_the_nearest_frequent_one() -> None:
    levels = np.array([[0, 0, 0]] * 9 + [[2, 0, 0]] * 6 + [[1, 1, 0]] * 5 + [[2, 2, 1], [0, 0, 2], [0, 1, UNKNOWN]])
    numbers = combinations(levels, 5)
    assert numbers.tolist() == [0] * 9 + [1] * 6 + [3] * 5 + [3, 0, 0]
    assert combinations(levels[:3], 5).tolist() == [0, 0, 0]
