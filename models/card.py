"""The model card: what a model is, what it was trained on and how good it is, as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.store import Model


def model_card(model: Model, notes: str = "") -> str:
    """The card of a trained model, kept as README.md in its folder and as its description in MLflow.

    Parameters: notes, Markdown to stand at its end, such as the table of `benchmarks.ablation`.
    """
    training = model.training
    metrics = training["metrics"]
    lines = [
        "# Sektor model card",
        "",
        "Says which industries an Indonesian news article is about: a linear classifier a sector over TF-IDF of",
        "Sastrawi stems and pairs of neighbouring stems, with calibrated probabilities.",
        "",
        "| sector | articles at level 1 / 2 | expected prevalence | predicted from | precision | recall | F1 | ap |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for sector, prevalence, calibration in zip(model.sectors, model.prevalences, model.calibrations, strict=True):
        one, two = training["counts"][sector]
        figures = (metrics[f"{name}_{sector}"] for name in ("precision", "recall", "full", "ap"))
        cells = [
            sector,
            f"{one} / {two}",
            f"{prevalence:g}",
            f"{calibration.threshold:.3f}",
            *(f"{f:.3f}" for f in figures),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Figures are those of out-of-fold predictions: every article was scored by a model that had not seen it",
        f"({training['folds']} folds). They describe the training corpus, which is written for the purpose and easier",
        "than real news; F1 counts levels 1 and 2 as positive, ap is average precision.",
        "",
        f"- macro F1 {_figure(training, 'full')}, micro F1 {_figure(training, 'micro_full')}, "
        f"macro average precision {_figure(training, 'ap')}",
        f"- F1 of the article's focus (level 2): macro {metrics['core']:.3f}, micro {metrics['micro_core']:.3f}",
        f"- articles about no sector that were given one: {metrics['fp_none']:.1%}",
        *_calibration(training, model.sectors),
        "",
        "## Training data",
        "",
        f"{training['articles']:,} articles ({training['duplicates']:,} more were duplicates), digest",
        f"`{training['digest']}`."
        + (f" {reserved:,} more are kept to judge models by." if (reserved := training.get("reserved")) else ""),
        "",
        "## How it decides",
        "",
        f"- {len(model.terms):,} terms; a title counts {model.title_weight} times; "
        + ("a term's count c weighs 1 + ln c." if model.sublinear else "a term weighs its count."),
        *_lexicon(training),
        "- Probabilities and thresholds come from out-of-fold scores reweighted to the expected prevalence above: the",
        "  share of a news stream that carries the sector. On a set chosen for a sector they are too cautious.",
        "- The probability of a sector moves with the words of the whole article; a single paragraph in a long article",
        "  may stay below the threshold.",
        "",
        "## Limits",
        "",
        "- Indonesian only. `coverage`, the share of known words, shows other languages: distrust a prediction where",
        "  it is below 0.5.",
        "- It knows the words of its training articles and its lexicon: names and products that came up later say",
        "  nothing to it.",
        "- `words.parquet` holds stems made with Sastrawi's dictionary, which has a licence of its own: see NOTICE.",
        "",
        "Trained with " + ", ".join(f"{name} {version}" for name, version in training["versions"].items()) + ".",
    ]
    if notes.strip():
        lines += ["", notes.strip()]
    return "\n".join(lines) + "\n"


def _lexicon(training: Mapping[str, Any]) -> list[str]:
    """What the lexicon does, if the model was trained with one."""
    entries = training.get("lexicon", {}).get("entries", 0)
    if not entries:
        return []
    return [
        f"- {entries:,} names and terms of a lexicon share weights, by sector and by kind, beside their own: a brand",
        "  that no training article names still speaks for its sector.",
    ]


def _figure(training: Mapping[str, Any], name: str) -> str:
    """A figure, with its interval if the model was trained when intervals were worked out."""
    value = f"{training['metrics'][name]:.3f}"
    if name not in training.get("intervals", {}):
        return value
    low, high = training["intervals"][name]
    return f"{value} ({low:.3f} to {high:.3f})"


def _calibration(training: Mapping[str, Any], sectors: tuple[str, ...]) -> list[str]:
    """What there is to say of the probabilities; nothing for a model that was trained before it was measured."""
    metrics = training["metrics"]
    errors = [f"{sector} {_figure(training, f'ece_{sector}')}" for sector in sectors if f"ece_{sector}" in metrics]
    if not errors:
        return []
    return [
        "- expected calibration error:",
        *(f"  {error}{',' if error != errors[-1] else ''}" for error in errors),
        *([f"- Brier score, the mean of the sectors: {_figure(training, 'brier')}"] if "brier" in metrics else []),
        "",
        "In brackets: 95% intervals, from 1,000 resamples of the articles. The calibration error is the mean distance",
        "of the probabilities, brought to this corpus's own share of the sector, from the share of articles that carry",
        "it, over ten bins of equally many articles; each sigmoid was fitted to these very scores.",
    ]
