"""Spark, for more articles than one machine should label: the same predictor on any DataFrame.

    from models.spark import label

    labels = label(spark.read.parquet("hdfs://news/2024"))      # DataFrame in, DataFrame out
    labels.where("array_contains(sectors, 'ev')").write.parquet("hdfs://news/2024-ev")

Articles go from Spark to Python and back as Arrow batches (`mapInArrow`); pandas has no part in it. The model goes to
each worker once, as the files it is kept in, and so does the code; workers need this Python (major and minor version)
with numpy, pyarrow and PySastrawi. Needs the `spark` extra and Java 17 or newer. For files see `models.spark_files`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.batch import ReadError
from data.columns import ID_COLUMNS, TEXT_COLUMNS, TITLE_COLUMNS, find_column
from data.writer import EXPLANATION, PROBABILITY, label_columns
from models.predictor import Predictor
from models.spark_session import map_records, numbered, send_code
from models.spark_worker import ERROR, FrameTask, pack

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def label(
    frame: DataFrame,
    model: str | Path | None = None,
    *,
    text: str | None = None,
    title: str | None = None,
    id: str | None = None,
    keep: bool | Sequence[str] = True,
    thresholds: Mapping[str, float] | None = None,
) -> DataFrame:
    """Label the articles of a DataFrame, when it is evaluated; every row of it gives one row.

    Columns of the result: `id` (string), `sectors` (array of strings), `primary`, `probability_<sector>` (double, one
    each), `coverage` (double), the columns passed through with their types, and `error`: null, or why a row has no
    labels, such as a null or a number for a text. A column passed through whose name is one of these is called
    `input_<name>`.

    Parameters
    ----------
    model: a folder, or an MLflow URI; see `Predictor.load`. By default the shipped model.
    text, title, id: names of columns; by default the usual ones. Without a column of ids, `id` is null.
    keep: whether the other columns, the text included, are passed through; or the names of those that are.
    thresholds: see `Predictor`.

    Raises ReadError (a ValueError), in one line, if there is no column of texts or none of a name that was given;
    whatever `Predictor.load` raises. Articles are sent in batches of `spark.sql.execution.arrow.maxRecordsPerBatch`
    rows (10,000 by default): where they are long, make them fewer.
    """
    predictor = Predictor.load(model, thresholds)
    names: list[str] = frame.columns
    for name in names:
        if names.count(name) > 1:
            raise ReadError(f"found two columns {name!r}, expected different names")
    text = find_column(names, text, TEXT_COLUMNS, "text")
    title = find_column(names, title, TITLE_COLUMNS, "title")
    id = find_column(names, id, ID_COLUMNS, "id")
    if text is None:
        raise ReadError(
            f"found no text column among {', '.join(names) or 'none'}; expected one of {', '.join(TEXT_COLUMNS)}, "
            "or text= with its name"
        )
    wanted = ([] if not keep else [name for name in names if name != id]) if isinstance(keep, bool) else list(keep)
    if missing := [name for name in wanted if name not in names]:
        raise ReadError(f"no column {missing[0]!r} to keep; the columns found are: {', '.join(names)}")
    kept = _output_names(wanted, [*label_columns(predictor.sectors), ERROR])
    needed = tuple(dict.fromkeys([text, *(name for name in (title, id) if name is not None), *wanted]))
    schema = label_schema(predictor.sectors)
    for column, name in kept.items():
        schema = schema.add(name, frame.schema[column].dataType)
    send_code(frame.sparkSession)
    task = FrameTask(pack(predictor), needed, text, title, id, kept)
    return map_records(frame.selectExpr(*numbered(needed)), task, schema.add(ERROR, "string"))


def _output_names(wanted: Sequence[str], own: Sequence[str]) -> dict[str, str]:
    """The columns to pass through with their output names, none of them one of our own."""
    names: dict[str, str] = {}
    for name in wanted:
        names[name] = name
        while names[name] in own or (names[name] != name and names[name] in wanted):
            names[name] = f"input_{names[name]}"
    return names


def label_schema(sectors: Sequence[str], explained: bool = False) -> Any:
    """The columns that labels are, as Spark's type."""
    from pyspark.sql import types

    text, number = types.StringType(), types.DoubleType()
    schema = types.StructType().add("id", text).add("sectors", types.ArrayType(text)).add("primary", text)
    for sector in sectors:
        schema = schema.add(PROBABILITY + sector, number)
    schema = schema.add("coverage", number)
    return schema.add(EXPLANATION, text) if explained else schema
