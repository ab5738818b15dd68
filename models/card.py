"""The model card: what a model is, what it was trained on and how good it is, as a page of Markdown."""

from __future__ import annotations

from models.store import Model


def model_card(model: Model) -> str:
    """The card of a trained model, kept as README.md in its folder and as its description in MLflow."""
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
        f"- macro F1 {metrics['full']:.3f}, micro F1 {metrics['micro_full']:.3f}, "
        f"macro average precision {metrics['ap']:.3f}",
        f"- F1 of the article's focus (level 2): macro {metrics['core']:.3f}, micro {metrics['micro_core']:.3f}",
        f"- articles about no sector that were given one: {metrics['fp_none']:.1%}",
        "",
        "## Training data",
        "",
        f"{training['articles']:,} articles ({training['duplicates']:,} more were duplicates), digest",
        f"`{training['digest']}`.",
        "",
        "## How it decides",
        "",
        f"- {len(model.terms):,} terms; a title counts {model.title_weight} times; "
        + ("a term's count c weighs 1 + ln c." if model.sublinear else "a term weighs its count."),
        "- Probabilities and thresholds come from out-of-fold scores reweighted to the expected prevalence above: the",
        "  share of a news stream that carries the sector. On a set chosen for a sector they are too cautious.",
        "- The probability of a sector moves with the words of the whole article; a single paragraph in a long article",
        "  may stay below the threshold.",
        "",
        "## Limits",
        "",
        "- Indonesian only. `coverage`, the share of known words, shows other languages: distrust a prediction where",
        "  it is below 0.5.",
        "- It knows the words of its training articles: names and products that came up later say nothing to it.",
        "- `words.parquet` holds stems made with Sastrawi's dictionary, which has a licence of its own: see NOTICE.",
        "",
        "Trained with " + ", ".join(f"{name} {version}" for name, version in training["versions"].items()) + ".",
    ]
    return "\n".join(lines) + "\n"
