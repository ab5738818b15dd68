"""What a run has done, for people and for programs."""

from __future__ import annotations

import shlex
from typing import Any

from models.batch import Job, Outcome


def summary(job: Job, outcome: Outcome) -> str:
    """Lines for standard error: counts, rejects, warnings."""
    totals = outcome.totals
    where = "" if job.path is None else f" -> {job.path}"
    lines = [f"labelled {totals.labelled:,} of {totals.read:,} articles{where}: {totals.sectors()}"]
    if not totals.read:
        lines.append("note: found no rows to label")
    if totals.rejected:
        place = "reasons above" if outcome.rejects is None else f"see {outcome.rejects}"
        theirs = "name theirs with --encoding, spreadsheets often have cp1252"
        hint = f"; {totals.undecodable:,} are not {job.encoding}: {theirs}"
        rows = "row" if totals.rejected == 1 else "rows"
        lines.append(f"rejected {totals.rejected:,} {rows}: {place}{hint if totals.undecodable else ''}")
    if job.report is not None:
        lines.append(f"report: open {job.report} in a browser")
    if job.review is not None:
        lines.append(f"to review: {job.review}; then: python train.py --data {shlex.quote(str(job.review))}")
    lines += [f"note: {warning}" for warning in outcome.warnings]
    return "".join(line + "\n" for line in lines)


def json_summary(job: Job, outcome: Outcome) -> dict[str, Any]:
    """The same as JSON holds it; `rows` and `seconds` are those of this process, the counts those of the input."""
    totals = outcome.totals
    return {
        "read": totals.read,
        "labelled": totals.labelled,
        "rejected": totals.rejected,
        "sectors": totals.by_sector,
        "rows": outcome.rows,
        "seconds": round(outcome.seconds, 3),
        "articles_per_second": round(outcome.rows / max(outcome.seconds, 1e-9), 1),
        "output": job.output,
        "rejects": None if outcome.rejects is None else str(outcome.rejects),
        "report": None if job.report is None else str(job.report),
        "review": None if job.review is None else str(job.review),
        "warnings": outcome.warnings,
    }
