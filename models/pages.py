"""What MLflow's pages say: of a run its figures, what differs from the champion and its data; of all runs, a table."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from models.measurement import MeasuredSet
from models.promotion import Champion, Verdict
from models.store import Model
from models.uncertainty import Difference

VIEW: Final = "sektor"
"""The view of the table of runs that a new experiment has, as it stands in an address of MLflow's pages."""

VIEW_METRICS: Final = (
    "cv/macro_f1",
    "reserved/macro_f1",
    "eval/macro_f1",
    "promotion/macro_f1_difference",
    "cv/fp_none",
)
"""The figures in it."""

NOTE: Final = "mlflow.note.content"
"""The tag that MLflow's pages show as description, Markdown."""

_FIGURES: Final = {
    "full": "macro F1",
    "micro_full": "micro F1",
    "core": "macro F1 of the focus",
    "ap": "average precision",
    "fp_none": "about none, given a sector",
}
_SETTINGS: Final = ("folds", "beta", "seed")


def run_description(
    model: Model, measured: Mapping[str, MeasuredSet], champion: Champion | None, verdict: Verdict | None
) -> str:
    """What the page of a finished run says between the verdict and the pictures, which `models.tracking` adds.

    Parameters: measured, what articles -> their figures, such as "10-fold cross-validation"; champion, the model that
    was in use before, None if there was none; verdict, on the two.
    """
    parts = []
    if champion is not None and champion.model is not None:
        found = differences(champion.model, model)
        what = "; ".join(found) or "nothing: the same articles, settings, lexicon and versions"
        parts.append(f"**What differs from the champion, version {champion.version}:** {what}.")
    if verdict is not None and verdict.sectors:
        parts.append(f"**F1 minus that of version {verdict.against}:** {_differences(verdict.sectors)}.")
    parts += [_figures(model, measured), "In brackets: 95% intervals.", _data(model)]
    return "\n\n".join(parts)


def differences(before: Model, after: Model) -> list[str]:
    """In what two models were made differently, in words; what either does not tell is left out."""
    one, two = before.training, after.training
    found = []
    for title, digest, count in (
        ("articles", ("digest",), ("articles",)),
        ("names and terms in the lexicon", ("lexicon", "digest"), ("lexicon", "entries")),
    ):
        here, there = _at(two, digest), _at(one, digest)
        if here is None or there is None or here == there:
            continue
        now, then = _at(two, count), _at(one, count)
        found.append(f"other {title}, {now:,} as before" if now == then else f"{now:,} {title} instead of {then:,}")
    settings = [("configuration", name) for name in {**one.get("configuration", {}), **two.get("configuration", {})}]
    for path in (*settings, *((name,) for name in _SETTINGS)):
        found += _changed(path[-1], _at(two, path), _at(one, path))
    shares = dict(zip(before.sectors, before.prevalences, strict=True))
    for sector, share in zip(after.sectors, after.prevalences, strict=True):
        if sector in shares:
            found += _changed(f"prevalence of {sector}", share, shares[sector])
    for name in one.get("versions", {}):
        found += _changed(name, _at(two, ("versions", name)), _at(one, ("versions", name)))
    return found


_MISSING: Final = object()


def _differences(of: Mapping[str, Difference]) -> str:
    """Those of the sectors; in bold where the interval leaves out 0."""
    said = []
    for sector, each in of.items():
        text = f"{sector} {each.value:+.3f} ({each.low:+.3f} to {each.high:+.3f})"
        said.append(f"**{text}**" if each.low > 0 or each.high < 0 else text)
    return ", ".join(said)


def _at(training: Mapping[str, Any], path: Sequence[str]) -> Any:
    """What stands at a path, None if nothing does."""
    value: Any = training
    for name in path:
        value = value.get(name, _MISSING) if isinstance(value, Mapping) else _MISSING
    return None if value is _MISSING else value


def _changed(name: str, now: object, then: object) -> list[str]:
    return [] if now == then else [f"{name} {now} instead of {then}"]


def _figures(model: Model, measured: Mapping[str, MeasuredSet]) -> str:
    """A row a figure, a column a set of articles."""
    titles = (f"{title} ({of.evaluation.articles:,} articles)" for title, of in measured.items())
    rows = [["", *(html.escape(title, quote=False).replace("|", "\\|") for title in titles)]]
    names = {**_FIGURES, **{f"full_{sector}": f"F1 {sector}" for sector in model.sectors}}
    for name, title in names.items():
        cells = []
        for of in measured.values():
            style = ".1%" if name == "fp_none" else ".3f"
            low, high = of.intervals[name]
            cells.append(f"{of.evaluation.metrics()[name]:{style}} ({low:{style}} to {high:{style}})")
        rows.append([title, *cells])
    return _table(rows)


def _data(model: Model) -> str:
    training = model.training
    of_sectors = ", ".join(f"{sector} {sum(training['counts'][sector]):,}" for sector in model.sectors)
    said = [f"{training['articles']:,} to learn from ({of_sectors})", f"{training['duplicates']:,} repeats dropped"]
    if training.get("reserved"):
        said.append(f"{training['reserved']:,} reserved to judge models by")
    return (
        f"**Articles:** {', '.join(said)}. Under Artifacts: all figures in `figures.md`, each article's probabilities "
        "in `tables`, more `plots`, what the model can and cannot do in `model-card.md`."
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; MLflow draws tables without any room between the columns, so there are spaces in them."""
    lines = [f"| {' &emsp;| '.join(row)} |" for row in rows]
    lines.insert(1, f"|{' --- |' * len(rows[0])}")
    return "\n".join(lines)


def experiment_tags() -> dict[str, str]:
    """What MLflow's page says of the experiment, and a view of its runs with the columns that matter.

    The view is kept as MLflow's own page does (Views, Save as new view; since 3.15); other versions ignore it.
    """
    columns = ["attributes.`Models`", *(f"metrics.`{name}`" for name in VIEW_METRICS), "tags.`promotion`"]
    state = {
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": columns,
        "columnOrder": [],
    }
    now = time.time_ns() // 1_000_000
    view = {"name": "Sektor", "createdAt": now, "updatedAt": now, "state": json.dumps(state)}
    return {
        NOTE: (
            "A run's page begins with whether its model became champion, and why. **Views, Sektor** shows the figures "
            "that matter: `cv` is cross-validation, `reserved` articles that no run learns from, `eval` a file of "
            "yours, `promotion` the comparison with the champion."
        ),
        f"mlflow.sharedViewState.{VIEW}": json.dumps(view),
    }
