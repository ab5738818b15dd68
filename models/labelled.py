"""An article with what was predicted of it, as the report page and the labelling loop take it."""

from __future__ import annotations

from dataclasses import dataclass

from models.predictor import Prediction


@dataclass(frozen=True)
class LabelledArticle:
    """One row of the input that was labelled.

    number: of the row in the input, from 1. id: as it stands in the output, as plain text. title: empty for none.
    date: as it stands in the input, empty for none.
    """

    number: int
    id: str
    title: str
    text: str
    date: str
    prediction: Prediction
