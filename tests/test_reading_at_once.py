"""Blocks that pyarrow and numpy read at once come out as when they are read line by line, batch for batch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from data import json_lines, lines, tables
from data.reader import Batch, ReadError, read

BLOCKS = st.sampled_from([8, 30, 100, 1000, 1 << 19])
OPTIONS = st.fixed_dictionaries(
    {"batch_rows": st.sampled_from([1, 2, 3, 7, 1024]), "batch_bytes": st.sampled_from([1, 20, 100, 1 << 24])}
)
QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)


@contextmanager
def blocks_of(size: int, *, at_once: bool) -> Iterator[list[bool]]:
    """Reading in blocks of that many bytes; without `at_once` line by line throughout. Yields what was tried at once,
    and whether it was left to be so.
    """
    tried: list[bool] = []
    together, cut = json_lines.decoded_together, tables._TableReader._cut

    def watched_together(stretches: list[json_lines.Stretch]) -> json_lines.Table | None:
        table = together(stretches) if at_once else None
        tried.append(table is not None)
        return table

    def watched_cut(self: tables._TableReader, block: bytes, text: bytes) -> tuple[tables.Piece | None, int, int, bool]:
        found = cut(self, block, text) if at_once else (None, 0, 0, False)
        tried.append(found[0] is not None)
        return found

    with pytest.MonkeyPatch.context() as patch:
        for module in (lines, tables):
            patch.setattr(module, "BLOCK", size)
        patch.setattr(json_lines, "decoded_together", watched_together)
        patch.setattr(tables._TableReader, "_cut", watched_cut)
        patch.setattr(json_lines, "PATIENCE", 0)
        yield tried


def all_of(path: Path, **options: object) -> list[object]:
    """All there is in the batches of a file, and what stopped the reading."""
    found: list[object] = []
    try:
        for batch in read(path, **options):  # type: ignore[arg-type]
            assert all(len(column) == len(batch) for column in batch.columns.values())
            for column in batch.columns.values():
                column.validate(full=True)
            found.append(
                (
                    {name: column.to_pylist() for name, column in batch.columns.items()},
                    list(batch.columns),
                    {name: batch.json_texts(name) for name in batch.columns},
                    batch.lines.tolist(),
                    batch.rejects,
                )
            )
    except ReadError as error:
        found.append(str(error))
    return found


def the_same_both_ways(path: Path, block: int, options: dict[str, object]) -> list[bool]:
    """Check that; returns what was read at once."""
    with blocks_of(block, at_once=True) as tried:
        at_once = all_of(path, **options)
    with blocks_of(1 << 19, at_once=False):
        line_by_line = all_of(path, **options)
    assert at_once == line_by_line
    return tried


# CSV

FIELDS = st.sampled_from(['"a"', '""', '"a,b"', '"a\n\nb"', '"a ""b"" c"', '""""', "plain", "", "é“", '"é\r\n"', " "])
ODD = st.sampled_from(['"', '""', "\r", "\n", "\r\n", "\n\n", "\0", "\t", ",", ",,", 'x"y', '"x"y', "\udcff", "\ufeff"])
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", "\n\n", "\r\r\n"])


@st.composite
def csv_texts(draw: st.DrawFn) -> str:
    pieces = [draw(st.sampled_from(["id,text\n", "id,text,isi\r\n", "text\n", '"id","text"\n', "sep=,\nid,text\n"]))]
    width = pieces[0].count(",", pieces[0].find("id") if "sep" in pieces[0] else 0) + 1
    for _ in range(draw(st.integers(0, 12))):
        fields = draw(st.lists(FIELDS, min_size=width, max_size=width))
        if draw(st.integers(0, 9)) == 0:
            fields.insert(draw(st.integers(0, len(fields))), draw(ODD))
        pieces += [",".join(fields), draw(ENDS)]
    if draw(st.booleans()):
        pieces.pop()
    return "".join(pieces)


@given(csv_texts(), BLOCKS, OPTIONS, st.sampled_from(["utf-8", "utf-8", "latin-1", "shift_jis", "utf-7"]))
@example('id,text\n1,"a\n2,b\n', 1000, {}, "utf-8")
@example("id,text\n\udcff,a\n", 1000, {}, "utf-7")
@example('id,text\n\r1,a\n\r\r\n2,b\n"\r3",c\r\r\n', 1000, {}, "utf-8")
@example("id,text\n" + '1,"' + "a\n" * 600 + '"\n2,b\n', 30, {}, "utf-8")
@example('id,text\n1,"x"y\n2,b\n', 1000, {}, "utf-8")
@example('id,text\n1,a"b,c"\n2,x"\n"\n', 1000, {}, "utf-8")
@example('id,text\n1,"a","b"\n2\n3,c\n4,pipa 5" dan\n5,"e"\n', 1000, {"batch_rows": 2}, "utf-8")
@QUICK
def test_csv(tmp_path: Path, text: str, block: int, options: dict[str, object], encoding: str) -> None:
    path = tmp_path / "a.csv"
    errors = {"utf-8": "surrogateescape", "utf-7": "strict"}.get(encoding, "ignore")
    path.write_bytes(text.encode(encoding, errors))
    the_same_both_ways(path, block, options | {"encoding": encoding})


@given(st.text(st.sampled_from('a",\n\r\0é'), max_size=60), BLOCKS, OPTIONS)
@QUICK
def test_csv_of_any_characters(tmp_path: Path, text: str, block: int, options: dict[str, object]) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(("id,text\n" + text).encode())
    the_same_both_ways(path, block, options)


def test_line_end_written_otherwise_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,text\n1,+AAo-b\n2,c\n")
    the_same_both_ways(path, 1000, {"encoding": "utf-7"})


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_usual_csv_is_read_at_once(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(('id;isi\r\n007;"a ""b""\né"\r\n8;plain\r\n\r\n9;too;many\r\n' * 50).encode(encoding))
    assert all(the_same_both_ways(path, 1000, {"encoding": encoding}))


def test_doubt_in_one_block_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,isi\n" + b'1,"a, b"\n' * 1000 + b'2,pipa 5" dan\n3,nul\0\n4,caf\xe9\n' + b'5,"a, b"\n' * 1000)
    tried = the_same_both_ways(path, 1000, {})
    assert tried.count(True) > 15
    with blocks_of(1000, at_once=True):
        batches = list(read(path))
    assert [reject.line for batch in batches for reject in batch.rejects] == [1003, 1004]


# JSON lines

KEYS = st.sampled_from(["id", "text", "a", "é", "", 'x"', "x\\", "\U0001f697"])
STRINGS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['"id":', "}\n{", "\0", "-0"]
)
NUMBERS = st.sampled_from(["0", "-0", "7", "-12", "123456789012345678", "1234567890123456789012", "1.0", "1e5", "NaN"])
BROKEN = ["", " ", "\t\r", "{", "}", "{}", "{} {}", "[1]", '"x"', "null", "judul", "\ufeff{}", '{"id":', '"a"}']
VALUES = ['"\\ud800"', '"\\uDC00\\ud800"', '"\\ud83d\\ude97"', '"a\tb"', '"\0"', '"\udcff"', '[1, {"a":  null}]', "01"]
ROWS = ['{"id": 1, "id": 2}', '{"id": 1}{"id": 2}', '{"\\u0069d": null}', '{"id" : null}', '{"x\\"": "v", "id": null}']
SPACED = [' {"id": "a"}', '{"id": "a"} ', '{"id": "a"}\r', '{"id": "a"},', '{"id": ' + "[" * 2000 + "]" * 2000 + "}"]
LINES = st.sampled_from([*BROKEN, *(f'{{"id": {value}}}' for value in VALUES), *ROWS, *SPACED])


@st.composite
def json_texts(draw: st.DrawFn) -> str:
    """Rows that are mostly alike, as pyarrow wants them, with others between them."""
    kinds = draw(st.dictionaries(KEYS, st.sampled_from(["string", "number", "bool", "maybe", "any"]), max_size=4))
    ascii_only, tight = draw(st.booleans()), draw(st.booleans())

    def value(kind: str) -> str:
        if kind == "number":
            return draw(NUMBERS)
        if kind == "bool":
            return draw(st.sampled_from(["true", "false"]))
        if kind != "string" and draw(st.booleans()):
            return (
                "null" if kind == "maybe" else draw(NUMBERS | st.sampled_from(["true", "null", "[]", '{"a": [1.50]}']))
            )
        return json.dumps(draw(STRINGS), ensure_ascii=ascii_only)

    pieces: list[str] = []
    for _ in range(draw(st.integers(1, 8))):
        if draw(st.integers(0, 9)) == 0:
            pieces.append(draw(LINES))
        else:
            keys = draw(st.permutations(list(kinds))) if draw(st.integers(0, 9)) == 0 else list(kinds)
            if keys and draw(st.integers(0, 9)) == 0:
                keys.pop()
            members = [
                json.dumps(key, ensure_ascii=ascii_only) + (":" if tight else ": ") + value(kinds[key]) for key in keys
            ]
            pieces.append("{" + ("," if tight else ", ").join(members) + "}")
        pieces.append(draw(st.sampled_from(["\n", "\n", "\n", "\r\n"])))
    if draw(st.booleans()):
        pieces.pop()
    return "".join(pieces)


@given(json_texts(), BLOCKS, OPTIONS, st.sampled_from([None, None, ["id"], ["text", "é"]]))
@example('{"id":null}\n{"id" :null}\n', 1000, {}, None)
@example('{"a":"x"}\n{"\\u0061":null}\n', 1000, {}, None)
@example('{"a":null,"x\\"a":"v"}\n{"x\\"a" :"v"}\n', 1000, {}, None)
@example('{"a":"x"}\n{"a":"\udcff"}\n', 1000, {}, None)
@example('{"a":"x"}\n{"a":"\0"}\n{"a":\0"y"}\n{"a":"z"\0}\n', 1000, {"batch_rows": 2}, None)
@example('{"a":"w"}\n{"a":"x"}{"a":"y"}\n', 1000, {}, None)
@example('{"a":7}\n{"a":-0}\n', 1000, {}, None)
@example('{"a":"w"}\n{"a":"x"}{"a":"y"}\n{"a":\n"z"}\n', 1000, {}, None)
@QUICK
def test_json_lines(
    tmp_path: Path, text: str, block: int, options: dict[str, object], columns: list[str] | None
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    the_same_both_ways(path, block, options | {"columns": columns})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize(
    "row",
    [
        '{"id": "7", "text": "a \\"b\\"\\n\\u00e9 \\ud83d\\ude97"}',
        '{"id":7,"ok":true,"author":null,"text":"é"}',
        '{"id": -7, "text": "", "text2": "\\u0000"}',
    ],
)
def test_usual_json_lines_are_read_at_once(tmp_path: Path, row: str, end: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes((row + end).encode() * 50)
    assert the_same_both_ways(path, 1000, {"batch_rows": 20}) == [True] * 3


def test_one_broken_row_costs_its_batch_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = '{"id": 7, "text": "isi"}\n'
    path.write_bytes((good * 25 + '{"id": 7, "text": "isi"\n' + good * 74).encode())
    assert the_same_both_ways(path, 1000, {"batch_rows": 20}) == [True, False, True, True, True]


def test_batches_depend_on_the_rows_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,isi\n" + b"".join(b'%d,"%s"\n' % (n, b"kata\n" * (n % 40)) for n in range(400)))
    found: set[str] = set()
    for block in (8, 100, 999, 1 << 19):
        with blocks_of(block, at_once=True):
            found.add(str([batch.lines.tolist() for batch in read(path, batch_rows=30, batch_bytes=2000)]))
    assert len(found) == 1


def lines_of(batches: Iterator[Batch]) -> list[int]:
    return [line for batch in batches for line in batch.lines.tolist()]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_lines_longer_than_a_block_and_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(lines, "MAX_ROW", 5000)
    monkeypatch.setattr(tables, "MAX_ROW", 5000)
    rows = ["1", "2" * 1500, "3", "4" * 50_000, "5", "6" * 1500]
    path = tmp_path / name
    write = {"a.csv": "{0},x\n", "a.jsonl": '{{"id": "{0}", "text": "x"}}\n'}[name]
    path.write_text(("id,text\n" if name == "a.csv" else "\n") + "".join(write.format(row) for row in rows))
    with blocks_of(1000, at_once=True):
        batches = list(read(path))
    assert lines_of(iter(batches)) == [2, 3, 4, 6, 7]
    [reject] = [reject for batch in batches for reject in batch.rejects]
    assert (reject.line, reject.reason) == (5, "longer than 5000 bytes")
    assert len(reject.raw) <= 1000
