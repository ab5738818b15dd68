"""Plots show the figures they are of, in colours of their own, and are written whole and the same each time."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from models import plots
from models.evaluation import average_precision, evaluate
from models.learning_curve import LearningCurve, Point
from models.predictor import Predictor
from models.uncertainty import calibration_bins, calibration_errors

SECTORS = ("automotive", "ev", "agro", "chemicals")
PREVALENCES = (0.2, 0.1, 0.2, 0.3)
THRESHOLDS = (0.5, 0.5, 0.5, 0.5)


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of few pixels, which take less time."""
    monkeypatch.setattr(plots, "DOTS_PER_INCH", 30)


def drawn(n: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    levels = random.choice([0, 0, 0, 1, 2, np.nan], (n, 4))
    levels[random.random(n) < 0.3] = 0
    probabilities = np.clip(random.random((n, 4)) * 0.6 + (levels >= 1) * 0.35, 0, 1)
    return levels, probabilities >= 0.5, probabilities


def figures_of(n: int = 300, seed: int = 0) -> dict[str, Figure]:
    return plots.evaluation_figures(*drawn(n, seed), THRESHOLDS, PREVALENCES, SECTORS, "some articles")


def curve() -> LearningCurve:
    random = np.random.default_rng(0)
    names = ("full", "ap", *(f"full_{sector}" for sector in SECTORS))
    points = []
    for place, share in enumerate((0.25, 0.5, 1.0)):
        values = {name: 0.7 + 0.05 * place + 0.1 * random.random() for name in names}
        ends = {name: (value - 0.02, value + 0.02) for name, value in values.items()}
        points.append(Point(share, round(1000 * share), values, ends))
    return LearningCurve(SECTORS, 5, tuple(points))


def legend(figure: Figure, panel: int = 0) -> list[str]:
    found = figure.axes[panel].get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG in pixels."""
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", content[16:24])
    return int(width), int(height)


@pytest.mark.slow
def test_every_plot_is_titled_labelled_and_written(tmp_path: Path, shipped: Predictor) -> None:
    drawings = figures_of() | {"words": plots.telling_words(shipped.model), "curve": plots.learning_curve(curve())}
    assert list(drawings) == ["precision-recall", "reliability", "confusion", "words", "curve"]
    for name, figure in drawings.items():
        plots.save(figure, tmp_path / f"{name}.png")
        width, height = size(tmp_path / f"{name}.png")
        assert 800 <= width <= 3200, name
        assert 600 <= height <= 2000, name
        assert figure.get_suptitle() or figure.axes[0].get_title(loc="left"), name
        panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
        assert panels
        for axes in panels:
            assert axes.get_ylabel() or axes.get_xlabel(), name


def test_the_same_figure_gives_the_same_bytes_without_a_date(tmp_path: Path) -> None:
    data = drawn(100, 0)
    for name in ("a", "b"):
        figure = plots.reliability(data[0], data[2], PREVALENCES, SECTORS, "some articles")
        plots.save(figure, tmp_path / name)
    content = (tmp_path / "a").read_bytes()
    assert content == (tmp_path / "b").read_bytes()
    assert not re.search(rb"tEXt|tIME|iTXt", content)


def test_precision_recall_marks_the_chosen_thresholds() -> None:
    levels, predicted, probabilities = drawn(300, 1)
    figure = plots.precision_recall(levels, probabilities, THRESHOLDS, SECTORS, "some articles")
    evaluation = evaluate(levels, predicted, probabilities, SECTORS)
    marks = [
        (line.get_xdata(), line.get_ydata(), line.get_color())
        for line in figure.axes[0].lines
        if line.get_marker() not in ("None", None) and len(np.atleast_1d(line.get_xdata())) == 1
    ]
    expected = [(of.recall, of.precision) for of in evaluation.sectors.values()]
    assert [(float(np.ravel(x)[0]), float(np.ravel(y)[0])) for x, y, _ in marks] == expected
    assert [to_hex(colour).upper() for *_, colour in marks] == list(plots.COLOURS[:4])
    for text, (sector, of) in zip(legend(figure), evaluation.sectors.items(), strict=True):
        assert text == f"{sector}: ap {of.ap:.3f}, F1 {of.full:.3f} from 0.50 on"


def test_a_curve_of_precision_passes_through_every_threshold() -> None:
    positive, scores = np.array([True, False, True, True, False]), np.array([0.9, 0.8, 0.7, 0.7, 0.1])
    recall, precision = plots._precision_recall(positive, scores)
    assert recall == pytest.approx([0, 1 / 3, 1 / 3, 1, 1])
    assert precision == pytest.approx([1, 1, 1 / 2, 3 / 4, 3 / 5])
    assert (np.diff(recall) * precision[1:]).sum() == pytest.approx(average_precision(positive, scores))


@pytest.mark.usefixtures("coarse")
def test_many_articles_are_drawn_with_points_enough(tmp_path: Path) -> None:
    levels, _, probabilities = drawn(100_000, 2)
    figure = plots.precision_recall(levels, probabilities, THRESHOLDS, SECTORS, "many articles")
    assert max(len(np.atleast_1d(line.get_xdata())) for line in figure.axes[0].lines) == plots.MOST_POINTS + 1
    plots.save(figure, tmp_path / "many.png")
    assert size(tmp_path / "many.png")


def test_the_reliability_diagram_shows_bins_and_their_error() -> None:
    levels, _, probabilities = drawn(400, 3)
    figure = plots.reliability(levels, probabilities, PREVALENCES, SECTORS, "some articles")
    _, *lines = figure.axes[0].lines
    for k, line in enumerate(lines):
        known = ~np.isnan(levels[:, k])
        bins = calibration_bins(probabilities[known, k], levels[known, k] >= 1, PREVALENCES[k])
        assert np.asarray(line.get_xdata()) == pytest.approx(bins.promised)
        assert np.asarray(line.get_ydata()) == pytest.approx(bins.found)
    errors = calibration_errors(levels, probabilities, PREVALENCES, SECTORS)
    assert legend(figure)[1:] == [f"{s}: calibration error {errors[f'ece_{s}']:.3f}" for s in SECTORS]


def test_confusion_by_hand() -> None:
    """Article: about a, labelled a; about a, labelled a and b; about a and b, labelled b; about none, labelled none."""
    levels = np.array([[2, 0], [2, 0], [1, 2], [0, 0]], float)
    predicted = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], bool)
    figure = plots.confusion(levels, predicted, ("a", "b"), "four articles")
    labelled, true = (np.asarray(axes.images[0].get_array()) for axes in figure.axes[:2])
    assert labelled == pytest.approx(np.array([[2 / 3, 2 / 3, 0], [0, 1, 0], [0, 0, 1]]))
    assert true == pytest.approx(np.array([[1, 1 / 3, 0], [1, 1, 0], [0, 0, 1]]))
    told = [text.get_text() for text in figure.axes[0].texts]
    assert told[1] == "66.7%\n33.3% wrong"
    assert told[3] == "0.0%"
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["a\n(3)", "b\n(1)", "none\n(1)"]


def test_telling_words_are_the_largest_effects_of_common_terms(shipped: Predictor) -> None:
    model = shipped.model
    figure = plots.telling_words(model, words=5)
    fewest = round(plots.COMMON * model.training["articles"])
    for k, axes in enumerate(figure.axes[:4]):
        words = [label.get_text() for label in axes.get_yticklabels()]
        assert len(words) == 10
        effects = {
            term: effect
            for term, effect, df in zip(
                model.terms, model.weights[:, k] * model.idf, model.document_frequency, strict=True
            )
            if df >= fewest
        }
        ranked = sorted(effects, key=lambda term: -effects[term])
        assert words[:5] == ranked[:5]
        assert words[5:] == ranked[-5:]
        assert to_hex(axes.patches[0].get_facecolor()).upper() == plots.COLOURS[k]
        assert axes.patches[0].get_width() > 0 > axes.patches[-1].get_width()


def test_the_learning_curve_shows_points_and_intervals() -> None:
    found = curve()
    figure = plots.learning_curve(found)
    whole, single = figure.axes
    assert [len(np.atleast_1d(line.get_xdata())) for line in (*whole.lines, *single.lines)] == [3] * 6
    assert np.asarray(single.lines[1].get_ydata()) == pytest.approx(
        [point.figures["full_ev"] for point in found.points]
    )
    assert [label.get_text() for label in whole.get_xticklabels()] == ["250", "500", "1,000"]
    assert to_hex(single.lines[1].get_color()).upper() == plots.COLOURS[1]  # type: ignore[arg-type]
    assert len(whole.collections) == 2


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("change", ["no positives", "all positive", "all unknown", "one article"])
def test_sets_that_lack_something_are_drawn_all_the_same(tmp_path: Path, change: str) -> None:
    levels, predicted, probabilities = drawn(1 if change == "one article" else 50, 4)
    if change != "one article":
        levels[:, 1] = {"no positives": 0, "all positive": 2, "all unknown": np.nan}[change]
    for name, figure in plots.evaluation_figures(
        levels, predicted, probabilities, THRESHOLDS, PREVALENCES, SECTORS, change
    ).items():
        plots.save(figure, tmp_path / f"{name}.png")
        assert size(tmp_path / f"{name}.png")


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("count", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_any_number_of_sectors_and_any_name_of_a_set(tmp_path: Path, count: int, shipped: Predictor) -> None:
    levels, predicted, probabilities = (np.tile(part, (1, 3))[:, :count] for part in drawn(80, 5))
    sectors = [f"a_sector_with_a_long_name_{number}" for number in range(count)]
    drawings = plots.evaluation_figures(
        levels, predicted, probabilities, [0.5] * count, [0.1] * count, sectors, r"$\no{math, 汽车 é" + "\x07"
    )
    model = replace(
        shipped.model,
        sectors=tuple(sectors),
        weights=np.tile(shipped.model.weights, (1, 3))[:, :count],
        training={},
    )
    drawings["words"] = plots.telling_words(model, words=3)
    drawings["none"] = plots.telling_words(replace(model, weights=np.zeros_like(model.weights)))
    for name, figure in drawings.items():
        plots.save(figure, tmp_path / f"{name}.png")
        assert size(tmp_path / f"{name}.png")


@pytest.mark.usefixtures("coarse")
def test_a_plot_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = figures_of()["reliability"]
    with pytest.raises(OSError, match=r"absent.+: cannot write the plot: no such file"):
        plots.save(figure, tmp_path / "absent" / "plot.png")

    def full(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"plot\.png: cannot write the plot: no space left on device"):
        plots.save(figure, tmp_path / "plot.png")
    assert not list(tmp_path.iterdir())


def test_drawing_touches_no_state_of_the_process() -> None:
    """Neither pyplot, nor a display, nor matplotlib at import."""
    code: Any = (
        "import sys; from models import plots; assert 'matplotlib' not in sys.modules\n"
        "import numpy as np\n"
        "figure = plots.confusion(np.eye(2), np.eye(2) > 0, ['a', 'b'], 'two')\n"
        "import io, pathlib, tempfile; plots.save(figure, pathlib.Path(tempfile.mkdtemp(), 'a.png'))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    root = Path(plots.__file__).parent.parent
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
