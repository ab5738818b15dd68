"""Label Studio's JSON: tasks to import, the labelling configuration they go with, exports read back.

What is written is the "Basic Label Studio JSON" with pre-annotations (labelstud.io/guide/predictions), what is read
its exports JSON and JSON-MIN (labelstud.io/guide/export), or any array of objects with a text and labels. An article's
own id travels as `article_id`, since JSON-MIN puts the number of the task over a field named `id`.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from data.levels import NO_SECTOR, listed_levels, parse_levels, shown
from data.reader import ID_COLUMNS, TEXT_COLUMNS, TITLE_COLUMNS, ReadError, find_column

CONTROL: Final = "sectors"  # the name of the choices, and so of their column in JSON-MIN
OBJECT: Final = "text"
ARTICLE_ID: Final = "article_id"
LABELS: Final = (CONTROL, "labels", "levels")


@dataclass(frozen=True)
class Suggestion:
    """What a model says of an article, for a task to begin with.

    sectors: suggested, empty for none. score: how sure the model is, 0 to 1. model: its version.
    """

    sectors: tuple[str, ...]
    score: float
    model: str


@dataclass(frozen=True)
class Annotated:
    """An article as annotated. number: of its task in the file, from 1. id, title: empty where there is none."""

    number: int
    id: str
    title: str
    text: str
    levels: list[float]


def task(id: str, title: str, text: str, suggestion: Suggestion) -> dict[str, Any]:
    """A task for Label Studio's import, as JSON holds it; the suggestion is ticked in advance."""
    choices = list(suggestion.sectors) or [NO_SECTOR]
    result = {
        "id": "suggested",
        "from_name": CONTROL,
        "to_name": OBJECT,
        "type": "choices",
        "value": {"choices": choices},
    }
    prediction = {"model_version": suggestion.model, "score": suggestion.score, "result": [result]}
    return {"data": {ARTICLE_ID: id, "title": title, "text": text}, "predictions": [prediction]}


def configuration(sectors: Sequence[str]) -> str:
    """The labelling configuration, XML, that `task` goes with: one box a sector, and one for none of them."""
    boxes = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in (*sectors, NO_SECTOR))
    return f"""<View>
  <Header value="$title"/>
  <Text name="{OBJECT}" value="$text"/>
  <Header size="5" value="What is this article about? Tick every sector, or {NO_SECTOR}."/>
  <Choices name="{CONTROL}" toName="{OBJECT}" choice="multiple" required="true" showInline="true"
           requiredMessage="Tick at least one box: {NO_SECTOR} if the article is about no sector.">
{boxes}
  </Choices>
</View>
"""


def read_annotations(path: Path, sectors: Sequence[str]) -> tuple[list[Annotated], Counter[str]]:
    """The annotated articles of a JSON file, and how many tasks were left out, by reason.

    Left out are tasks nobody annotated (`not annotated`), tasks that were skipped (`skipped`), and tasks whose
    annotators agree on no sector at all (`disputed`). Of one annotator the last annotation counts; where one is marked
    as ground truth, only such count. Of several annotators a sector gets the median level; where half of them see the
    sector and half do not it is unknown. A choice may be a sector, a sector with a level ("ev:1"), or "none".

    Raises ValueError, naming file and task, for anything that is none of these formats; ReadError for a file that
    cannot be read.
    """
    annotated: list[Annotated] = []
    left_out: Counter[str] = Counter()
    for number, place, data, votes, skipped in _tasks(path, sectors):
        if not votes:
            left_out["skipped" if skipped else "not annotated"] += 1
            continue
        levels = [_median([vote[k] for vote in votes]) for k in range(len(sectors))]
        if all(map(math.isnan, levels)):
            left_out["disputed"] += 1
            continue
        text = _string(data, TEXT_COLUMNS, place)
        if not text.strip():
            raise ValueError(f"{place}: text: found {shown(text)}, expected the text of an article")
        identity = _string(data, (ARTICLE_ID, *ID_COLUMNS), place)
        annotated.append(Annotated(number, identity, _string(data, TITLE_COLUMNS, place), text, levels))
    return annotated, left_out


_Task = tuple[int, str, Mapping[str, Any], list[list[float]], bool]


def _tasks(path: Path, sectors: Sequence[str]) -> Iterator[_Task]:
    """Each task: its number, its place for messages, its data, the levels each annotator gives, and whether one
    skipped it.
    """
    flat: dict[str, list[tuple[int, str, dict[str, Any]]]] = defaultdict(list)
    for number, entry in enumerate(_entries(path), start=1):
        place = f"{path}: task {number}"
        if not isinstance(entry, dict):
            raise ValueError(f"{place}: found {shown(entry)}, expected an object")
        if isinstance(entry.get("data"), dict):
            votes, skipped = _votes(entry, place, sectors)
            yield number, place, entry["data"], votes, skipped
        else:  # JSON-MIN has an entry for each annotation
            name = f"task {entry['id']}" if "annotation_id" in entry and "id" in entry else f"entry {number}"
            flat[name].append((number, place, entry))
    for entries in flat.values():
        number, place, first = entries[0]
        of_task = {"id"} if "annotation_id" in first else set()
        data = {name: value for name, value in first.items() if name not in of_task}
        places = {id(entry): where for _, where, entry in entries}
        last = _last_of_each([entry for _, _, entry in entries if _is_annotated(entry)], "annotator")
        votes = [_flat_levels(entry, places[id(entry)], sectors) for entry in last]
        yield number, place, data, votes, False


def _is_annotated(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of JSON-MIN was annotated: a task that was not has an annotation null."""
    return "annotation_id" not in entry or entry["annotation_id"] is not None


def _entries(path: Path) -> list[Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ReadError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    try:
        entries = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ReadError(f"{path}: byte {error.start + 1} is not utf-8, expected JSON") from None
    except json.JSONDecodeError as error:
        lines = error.msg == "Extra data"
        hint = "; one object a line is read when the file is named .jsonl" if lines else ""
        raise ReadError(f"{path}:{error.lineno}: broken JSON ({error.msg.lower()}), expected one array{hint}") from None
    except RecursionError:
        raise ReadError(f"{path}: JSON nested too deeply, expected an array of tasks") from None
    if not isinstance(entries, list):
        raise ReadError(f"{path}: found one JSON {type(entries).__name__}, expected an array of tasks")
    return entries


def _votes(entry: Mapping[str, Any], place: str, sectors: Sequence[str]) -> tuple[list[list[float]], bool]:
    annotations = entry.get("annotations", entry.get("completions"))
    if annotations is None:
        annotations = []
    if not isinstance(annotations, list) or not all(isinstance(annotation, dict) for annotation in annotations):
        raise ValueError(f"{place}: annotations: found {shown(annotations)}, expected a list of objects")
    kept = [each for each in annotations if not (each.get("was_cancelled") or each.get("skipped"))]
    truths = [each for each in kept if each.get("ground_truth")]
    last = _last_of_each(truths or kept, "completed_by")
    return [_levels(each, place, sectors) for each in last], len(kept) < len(annotations)


def _last_of_each(annotations: Sequence[dict[str, Any]], who: str) -> list[dict[str, Any]]:
    """Of each annotator the last annotation: times are written so that the later is the larger string."""
    by_annotator: dict[str, dict[str, Any]] = {}
    for number, annotation in enumerate(annotations):
        annotator = annotation.get(who)
        if isinstance(annotator, dict):
            annotator = annotator.get("id", annotator.get("email"))
        key = f"annotation {number}" if annotator is None else f"annotator {annotator}"
        before = by_annotator.get(key)
        if before is None or _time(annotation) >= _time(before):
            by_annotator[key] = annotation
    return list(by_annotator.values())


def _time(annotation: Mapping[str, Any]) -> str:
    return str(annotation.get("updated_at") or annotation.get("created_at") or "")


def _levels(annotation: Mapping[str, Any], place: str, sectors: Sequence[str]) -> list[float]:
    """The levels that one annotation gives; without any choice it says that the article is about no sector."""
    result = annotation.get("result", [])
    if not isinstance(result, list) or not all(isinstance(each, dict) for each in result):
        raise ValueError(f"{place}: result: found {shown(result)}, expected a list of objects")
    controls = [each for each in result if each.get("type") == "choices"]
    named = [each for each in controls if each.get("from_name") == CONTROL]
    names = {each.get("from_name") for each in controls}
    if result and not named and len(names) != 1:
        found = ", ".join(sorted(map(str, names))) or "none"
        raise ValueError(f"{place}: found choices named {found}, expected choices named {CONTROL}")
    chosen: list[object] = []
    for each in named or controls:
        value = each.get("value")
        choices = value.get("choices") if isinstance(value, dict) else None
        if not isinstance(choices, list):
            raise ValueError(f"{place}: {CONTROL}: found {shown(value)}, expected a list of choices")
        chosen += choices
    return _listed(chosen, place, sectors)


def _flat_levels(entry: Mapping[str, Any], place: str, sectors: Sequence[str]) -> list[float]:
    """The levels of an entry of JSON-MIN, or of any object with labels in one of the usual forms."""
    name = find_column(entry, None, LABELS, "labels")
    if name is None:
        raise ValueError(f"{place}: labels: found {', '.join(entry) or 'nothing'}, expected one of {', '.join(LABELS)}")
    value = entry[name]
    if isinstance(value, dict) and isinstance(value.get("choices"), list):
        return _listed(value["choices"], place, sectors)
    try:
        if isinstance(value, str):
            return parse_levels(value, sectors)
        return parse_levels(None if value is None else json.dumps(value), sectors, is_json=True)
    except ValueError as error:
        raise ValueError(f"{place}: {name}: {error}") from None


def _listed(choices: Sequence[object], place: str, sectors: Sequence[str]) -> list[float]:
    try:
        return listed_levels(choices, sectors)
    except ValueError as error:
        raise ValueError(f"{place}: {CONTROL}: {error}") from None


def _median(levels: Sequence[float]) -> float:
    """The lower median of the known levels; unknown where half of them are 0 and half are not."""
    known = sorted(level for level in levels if not math.isnan(level))
    if not known:
        return math.nan
    low, high = statistics.median_low(known), statistics.median_high(known)
    return math.nan if low == 0 < high else low


def _string(data: Mapping[str, Any], usual: Sequence[str], place: str) -> str:
    """The value of a usual name as text, empty where there is none."""
    name = find_column(data, None, usual, usual[0])
    value = None if name is None else data[name]
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{place}: {name}: found {shown(value)}, expected text")
    return str(value)
