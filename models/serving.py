"""The file MLflow serves: a batch of articles in, one labelled row an article out.

MLflow stores this file with the model and runs it when the model is loaded; `models/tracking.py` declares the
columns it takes and gives. An article that cannot be labelled gets no sectors and says why in `error`; it
never costs the other rows of the request theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from predict import Prediction, Predictor

CAST_TO_STRING = frozenset({"None", "nan", "True", "False"})
"""What MLflow makes of a null, NaN or boolean in requests with `inputs` or `instances`, before we see it."""


class SectorModel(PythonModel):
    """A trained Sektor model as MLflow calls it."""

    def load_context(self, context: Any) -> None:
        """Load the trained model from the artifact `bundle`, a folder as `models/store.py` writes it."""
        self._predictor = Predictor.load(context.artifacts["bundle"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Label every row of a data frame with the columns `text` and, if there is one, `title`.

        Returns as many rows, in the same order and under the same index, with the columns `sectors` (list of
        identifiers), `primary`, `probability_<sector>` (0 to 1), `coverage` (0 to 1) and `error`; None where
        there is nothing to say. MLflow passes `context` and `params`; neither is used.

        Raises MlflowException (status 400 when served) if there is no column `text`.
        """
        if "text" not in model_input:
            raise MlflowException.invalid_parameter_value(
                "The input has no rows or no column 'text'; columns: text, and title where there is one"
            )
        texts = model_input["text"].tolist()
        titles = model_input["title"].tolist() if "title" in model_input else [None] * len(texts)
        outcomes = self._label(texts, [None if _is_missing(title) else title for title in titles])
        labelled = [outcome if isinstance(outcome, Prediction) else None for outcome in outcomes]
        columns: dict[str, list[Any]] = {
            "sectors": [list(row.sectors) if row else [] for row in labelled],
            "primary": [row.primary if row else None for row in labelled],
            **{
                f"probability_{sector}": [row.probabilities[sector] if row else None for row in labelled]
                for sector in self._predictor.sectors
            },
            "coverage": [row.coverage if row else None for row in labelled],
            "error": [outcome if isinstance(outcome, str) else None for outcome in outcomes],
        }
        # As objects, None stays None; pandas would make NaN of it, which JSON does not have.
        return pd.DataFrame(columns, index=model_input.index, dtype=object)

    def _label(self, texts: Sequence[Any], titles: Sequence[Any]) -> list[Prediction | str]:
        """One prediction a row, or the reason why there is none."""
        outcomes: list[Prediction | str] = [_fault(text, title) for text, title in zip(texts, titles, strict=True)]
        rows = [row for row, fault in enumerate(outcomes) if not fault]
        try:
            predictions = self._predict(rows, texts, titles)
        except Exception:  # one of them is at fault: which, shows when each is tried alone
            for row in rows:
                try:
                    (outcomes[row],) = self._predict([row], texts, titles)
                except Exception as error:
                    outcomes[row] = f"cannot be labelled: {error}"
        else:
            for row, prediction in zip(rows, predictions, strict=True):
                outcomes[row] = prediction
        return outcomes

    def _predict(self, rows: list[int], texts: Sequence[Any], titles: Sequence[Any]) -> list[Prediction]:
        if not rows:
            return []
        return self._predictor.predict([texts[row] for row in rows], [titles[row] for row in rows])


def _fault(text: Any, title: Any) -> str:
    """Why this row cannot be labelled; empty if it can. MLflow's schemas let nulls and numbers through."""
    if _is_missing(text):
        return "text is missing"
    if not isinstance(text, str):
        return f"text is of type {type(text).__name__}, expected a string"
    if not text.strip():
        return "text is blank"
    if _is_number(text):
        return "text is a number, expected an article"
    if title is not None and not isinstance(title, str):
        return f"title is of type {type(title).__name__}, expected a string"
    return ""


def _is_missing(value: Any) -> bool:
    """A null, in whichever form it gets here; never true of a list or a mapping."""
    if value is None or isinstance(value, str):
        return value is None or value in CAST_TO_STRING
    return pd.api.types.is_scalar(value) and bool(pd.isna(value))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


set_model(SectorModel())
