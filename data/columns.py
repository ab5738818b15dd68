"""The names under which articles' columns usually go, and finding a column by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from data.batch import ReadError

TEXT_COLUMNS = ("text", "content", "body", "isi", "isi_berita", "artikel", "berita")
TITLE_COLUMNS = ("title", "judul", "headline")
ID_COLUMNS = ("id", "article_id", "id_artikel", "id_berita")


def find_column(columns: Iterable[str], wanted: str | None, usual: Sequence[str], what: str) -> str | None:
    """The name of the column that holds `what` ("text", "title", ...), among the names of a batch.

    With `wanted` that column, in its exact spelling if there, else ignoring case; without it the first of
    the `usual` names there, ignoring case and surrounding blanks; None when there is none. JSON lines may
    lack a key in the first batch that comes later: look again in the next batch while None, and read with
    `Batch.column`.

    Raises ReadError, listing the columns found, when `wanted` is not there.
    """
    names = list(columns)
    if wanted is not None and wanted in names:
        return wanted
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.strip().casefold(), name)
    for candidate in usual if wanted is None else (wanted,):
        if candidate.strip().casefold() in folded:
            return folded[candidate.strip().casefold()]
    if wanted is None:
        return None
    raise ReadError(f"no column {wanted!r} for the {what}; the columns found are: {', '.join(names) or 'none'}")


def refuse_repeated(names: Sequence[str], place: str) -> None:
    """Raises ReadError, naming the place, when two columns have one name."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ReadError(f"{place}: column {repeated[0]!r} is there more than once, expected different names")
