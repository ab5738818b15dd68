"""Label Studio: tasks out, exports back, whoever annotated them and however often."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.corpus import Corpus, CorpusError, read_corpus
from data.label_studio import Suggestion, configuration, task
from data.reader import ReadError

SECTORS = ("automotive", "ev", "agro", "chemicals")
UNKNOWN = float("nan")
NOTHING = Suggestion((), 0.9, "sektor 1")


def article(number: int, suggestion: Suggestion = NOTHING) -> dict[str, Any]:
    """A task as Label Studio exports it: with a number of its own."""
    return {"id": 900 + number, **task(f"a{number}", f"Judul {number}", f"Isi {number}.", suggestion)}


def annotation(*choices: str, by: Any = 1, at: str = "2024-05-01T10:00:00.000000Z", **more: Any) -> dict[str, Any]:
    result = [
        {"id": "x", "from_name": "sectors", "to_name": "text", "type": "choices"} | {"value": {"choices": choices}}
    ]
    return {"id": 1, "completed_by": by, "updated_at": at, "result": result, "was_cancelled": False} | more


def export(path: Path, *annotations: list[dict[str, Any]]) -> Path:
    """An export whose tasks have these annotations."""
    tasks = [article(number) | {"annotations": each} for number, each in enumerate(annotations)]
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def minimal(path: Path, exported: Path) -> Path:
    """The same as JSON-MIN, as Label Studio's converter makes it: an entry an annotation, cancelled ones left out."""
    entries = []
    for each in json.loads(exported.read_text(encoding="utf-8")):
        for given_annotation in each["annotations"] or [None]:
            entry = each["data"] | {"id": each["id"], "annotator": None, "annotation_id": None, "updated_at": None}
            if given_annotation is not None:
                if given_annotation["was_cancelled"]:
                    continue
                for result in given_annotation["result"]:
                    choices = result["value"]["choices"]
                    entry[result["from_name"]] = choices[0] if len(choices) == 1 else {"choices": choices}
                entry["annotator"] = given_annotation["completed_by"]
                entry["annotation_id"] = given_annotation["id"]
                entry["updated_at"] = given_annotation["updated_at"]
            entries.append(entry)
    path.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    return path


def levels(path: Path) -> list[list[float]]:
    found: list[list[float]] = read_corpus([path], SECTORS).levels.tolist()
    return found


# Tasks and their configuration


def test_tasks_fit_their_configuration() -> None:
    """Names and choices of a task are those the configuration declares: Label Studio checks it at import."""
    view = ElementTree.fromstring(configuration(SECTORS))
    choices = view.find("Choices")
    text = view.find("Text")
    assert choices is not None
    assert text is not None
    assert [choice.get("value") for choice in choices] == [*SECTORS, "none"]
    assert (choices.get("choice"), choices.get("required")) == ("multiple", "true")
    for sectors in ((), ("ev", "automotive")):
        made = task("7", "Judul", "Isi", Suggestion(sectors, 0.75, "sektor 1"))
        (prediction,) = made["predictions"]
        (result,) = prediction["result"]
        assert result["from_name"] == choices.get("name")
        assert result["to_name"] == choices.get("toName") == text.get("name")
        assert f"${next(name for name, value in made['data'].items() if value == 'Isi')}" == text.get("value")
        assert result["value"]["choices"] == (list(sectors) or ["none"])
        assert set(result["value"]["choices"]) <= {choice.get("value") for choice in choices}
        assert (prediction["score"], prediction["model_version"]) == (0.75, "sektor 1")


# Exports


@pytest.mark.parametrize("form", ["json", "json-min"])
def test_exports(tmp_path: Path, form: str) -> None:
    path = export(
        tmp_path / "export.json",
        [annotation("ev", "automotive:1")],
        [annotation("none")],
        [annotation("Agro")],
    )
    path = minimal(tmp_path / "min.json", path) if form == "json-min" else path
    corpus = read_corpus([path], SECTORS)
    assert corpus.ids == ["a0", "a1", "a2"]
    assert corpus.titles == ["Judul 0", "Judul 1", "Judul 2"]
    assert corpus.texts == ["Isi 0.", "Isi 1.", "Isi 2."]
    assert corpus.levels.tolist() == [[1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0]]
    assert corpus.places == [f"{path}: task {number}" for number in (1, 2, 3)]
    assert corpus.files().tolist() == [0, 0, 0]


@pytest.mark.parametrize("form", ["json", "json-min"])
def test_several_annotators(tmp_path: Path, form: str) -> None:
    path = export(
        tmp_path / "export.json",
        [annotation("ev", by=1), annotation("ev", "agro", by=2), annotation("none", by=3)],  # two of three
        [annotation("ev", by=1), annotation("none", by=2)],  # one of two: unknown
        [annotation("ev:1", by=1), annotation("ev", by=2)],  # there for both
        [annotation("ev", by=1, at="2024-05-02T00:00:00Z"), annotation("agro", by=1, at="2024-05-01T00:00:00Z")],
    )
    path = minimal(tmp_path / "min.json", path) if form == "json-min" else path
    expected = [[0, 2, 0, 0], [0, UNKNOWN, 0, 0], [0, 1, 0, 0], [0, 2, 0, 0]]
    np.testing.assert_array_equal(levels(path), expected)


def test_ground_truth_settles_it(tmp_path: Path) -> None:
    given_annotations = [annotation("ev", by=1), annotation("ev", by=2), annotation("agro", by=3, ground_truth=True)]
    assert levels(export(tmp_path / "export.json", given_annotations)) == [[0, 0, 2, 0]]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    every = [annotation(*SECTORS, by=1), annotation("none", by=2)]
    path = export(
        tmp_path / "export.json",
        [annotation("ev")],
        [],
        [annotation("ev", was_cancelled=True)],
        [annotation("ev", was_cancelled=True), annotation("agro", by={"id": 2, "email": "a@b"})],
        [],
        every,
    )
    said: list[str] = []
    assert read_corpus([path], SECTORS, said.append).ids == ["a0", "a3"]
    assert said == [f"{path}: 4 of 6 articles left out: 2 not annotated, 1 skipped, 1 disputed"]
    said.clear()
    assert read_corpus([minimal(tmp_path / "min.json", path)], SECTORS, said.append).ids == ["a0", "a3"]
    assert said == [f"{tmp_path / 'min.json'}: 3 of 5 articles left out: 2 not annotated, 1 disputed"]


def test_tasks_nobody_annotated_are_no_training_data(tmp_path: Path) -> None:
    """The file that is imported, given instead of the export."""
    path = tmp_path / "review.json"
    path.write_text(json.dumps([task("1", "", "Isi", Suggestion(("ev",), 0.5, "m"))]), encoding="utf-8")
    with pytest.raises(CorpusError, match=r"found no articles, .*1 of 1 articles left out: 1 not annotated"):
        read_corpus([path], SECTORS)


def test_an_annotation_without_a_choice_means_no_sector(tmp_path: Path) -> None:
    assert levels(export(tmp_path / "export.json", [annotation() | {"result": []}])) == [[0, 0, 0, 0]]


def test_other_controls_are_passed_over(tmp_path: Path) -> None:
    other = {"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": ["good"]}}
    note = {"from_name": "note", "to_name": "text", "type": "textarea", "value": {"text": ["hm"]}}
    both = annotation("ev")
    both["result"] += [other, note]
    assert levels(export(tmp_path / "a.json", [both])) == [[0, 2, 0, 0]]
    renamed = annotation("agro")
    renamed["result"][0]["from_name"] = "topic"
    assert levels(export(tmp_path / "b.json", [renamed])) == [[0, 0, 2, 0]]


def test_plain_arrays_of_articles(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "judul": "J", "isi": "satu", "sectors": ["ev"]},
        {"id": 2, "isi": "dua", "sectors": {"agro": 1, "ev": None}},
        {"isi": "tiga", "labels": "ev|agro:1"},
    ]
    path = tmp_path / "rows.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(rows).encode())
    corpus = read_corpus([path], SECTORS)
    assert corpus.ids == ["1", "2", "rows:3"]
    np.testing.assert_array_equal(corpus.levels, [[0, 2, 0, 0], [UNKNOWN, UNKNOWN, 1, UNKNOWN], [0, 2, 1, 0]])


def test_arrays_in_folders(tmp_path: Path) -> None:
    """Exports are read; the other JSON that lies about in folders is not."""
    export(tmp_path / "b.json", [annotation("ev")])
    (tmp_path / "labels.jsonl.meta.json").write_text('{"model": 1}', encoding="utf-8")
    (tmp_path / ".hidden.json").write_text("[1]", encoding="utf-8")
    assert read_corpus([tmp_path], SECTORS).ids == ["a0"]
    (tmp_path / "c.jsonl").write_text('{"id": "c", "text": "x", "sectors": []}\n', encoding="utf-8")
    assert read_corpus([tmp_path], SECTORS).ids == ["c", "a0"]
    (tmp_path / "d.json").write_text("[", encoding="utf-8")
    with pytest.raises(ReadError, match=r"d\.json:1: broken JSON"):
        read_corpus([tmp_path], SECTORS)


# What is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"e\.json:1: broken JSON \(expecting value\), expected one array"),
        ("{}", r"e\.json: found one JSON dict, expected an array of tasks"),
        ('{"text": "a"}\n{"text": "b"}', r"e\.json:2: broken JSON .*named \.jsonl"),
        ("[1]", r"e\.json: task 1: found 1, expected an object"),
        ("[" * 100_000, r"e\.json: JSON nested too deeply"),
        ("\x00", "broken JSON"),
        ('[{"data": {"text": "x"}, "annotations": 3}]', "task 1: annotations: found 3, expected a list of objects"),
        ('[{"text": "x"}]', "task 1: labels: found text, expected one of sectors, labels, levels"),
        ('[{"text": "x", "sectors": null}]', "task 1: sectors: found nothing"),
        ('[{"text": "x", "sectors": 3}]', "task 1: sectors: found 3"),
        ('[{"text": {"a": 1}, "sectors": []}]', r'task 1: text: found \{"a": 1\}, expected text'),
        ('[{"text": " ", "sectors": []}]', 'task 1: text: found " ", expected the text of an article'),
        ('[{"sectors": []}]', 'task 1: text: found "", expected the text'),
        ("[]", "found no articles"),
    ],
)
def test_files_that_are_no_use(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "e.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises((CorpusError, ReadError), match=message) as error:
        read_corpus([path], SECTORS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given_annotation", "message"),
    [
        (annotation("tani"), 'task 2: sectors: found sector "tani", expected automotive, ev, agro, chemicals'),
        (annotation("none", "ev"), 'task 2: sectors: found sector "none", expected alone or automotive'),
        (annotation("ev", "ev:1"), "task 2: sectors: found sector ev at levels 1 and 2"),
        (annotation("ev:3"), 'task 2: sectors: found sector "ev:3", expected its level to be 1 or 2'),
        (annotation() | {"result": 1}, "task 2: result: found 1, expected a list of objects"),
        (
            annotation() | {"result": [{"from_name": "a", "type": "rating", "value": {"rating": 4}}]},
            "task 2: found choices named none, expected choices named sectors",
        ),
        (
            annotation() | {"result": [{"from_name": "sectors", "type": "choices", "value": {}}]},
            "task 2: sectors: found {}, expected a list of choices",
        ),
    ],
)
def test_annotations_that_are_no_use(tmp_path: Path, given_annotation: dict[str, Any], message: str) -> None:
    path = export(tmp_path / "export.json", [annotation("ev")], [given_annotation])
    with pytest.raises(CorpusError, match=message) as error:
        read_corpus([path], SECTORS)
    assert str(error.value).startswith(str(path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"nothing\.json: no such file"):
        read_corpus([tmp_path / "nothing.json"], SECTORS)
    (tmp_path / "latin.json").write_bytes(b'[{"text": "caf\xe9"}]')
    with pytest.raises(ReadError, match=r"latin\.json: byte 15 is not utf-8"):
        read_corpus([tmp_path / "latin.json"], SECTORS)


# Laws


@settings(max_examples=50, deadline=None)
@given(st.lists(st.permutations([2, 1, 0, 0]), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_annotators_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, votes: Any, draw: Any
) -> None:
    given_annotations = [
        annotation(*(f"{s}:{level}" for s, level in zip(SECTORS, vote, strict=True) if level), by=number)
        for number, vote in enumerate(votes)
    ]
    folder = tmp_path_factory.mktemp("order")
    first = _read(export(folder / "a.json", given_annotations))
    draw.shuffle(given_annotations)
    second = _read(export(folder / "b.json", given_annotations))
    if first is None or second is None:
        assert first is None
        assert second is None
        return
    np.testing.assert_array_equal(first.levels, second.levels)
    for k, level in enumerate(first.levels[0].tolist()):
        present = sum(vote[k] > 0 for vote in votes)
        if 2 * present == len(votes):
            assert np.isnan(level)
        else:
            assert (level > 0) == (2 * present > len(votes))


def _read(path: Path) -> Corpus | None:
    try:
        return read_corpus([path], SECTORS)
    except CorpusError as error:
        if "1 disputed" in str(error):
            return None
        raise
