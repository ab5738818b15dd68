"""The wheel holds what the predictor needs and nothing else, and works where only the base packages are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / ".wheels"
PACKAGES = ("data", "features", "models")
MODULES = ("predict.py", "train.py")
SHIPPED = (
    "data/sectors.toml",
    *(f"data/lexicon/{path.name}" for path in (ROOT / "data" / "lexicon").glob("*.csv")),
    "models/report.html",
    *(f"models/sektor/{n}" for n in ("README.md", "model.json", "terms.parquet", "words.parquet")),
)
ARTICLE = (
    "Penjualan mobil listrik naik dua kali lipat\n"
    "Pabrikan menambah stasiun pengisian kendaraan listrik umum (SPKLU) dan menurunkan harga baterai. "
    "Mobil listrik itu menempuh 400 kilometer sekali pengisian daya."
)


def call(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with no trace of the caller's Python or pip settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment | {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def succeed(*command: str | Path, folder: Path) -> str:
    """Run a command that must succeed; return its standard output."""
    result = call(*command, folder=folder)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without an index from a copy of the sources: a build leaves files in its folder."""
    assert WHEELS.is_dir(), "no .wheels: run `make setup`"
    folder = tmp_path_factory.mktemp("build")
    source, target = folder / "source", folder / "wheel"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", *MODULES):
        shutil.copy(ROOT / name, source)
    for name in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    offline = ("--no-index", "--find-links", WHEELS)
    succeed(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        *offline,
        "--no-deps",
        "--wheel-dir",
        target,
        source,
        folder=folder,
    )
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment that holds the wheel and the base packages alone."""
    folder = tmp_path_factory.mktemp("base")
    succeed(sys.executable, "-m", "venv", folder / "environment", folder=folder)
    scripts = folder / "environment" / ("Scripts" if sys.platform == "win32" else "bin")
    offline = ("--no-index", "--find-links", WHEELS)
    succeed(scripts / "python", "-m", "pip", "install", *offline, wheel, folder=folder)
    return scripts


def test_wheel_holds_the_modules_the_sectors_and_the_model_and_nothing_else(wheel: Path) -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).glob("*.py")]
    expected = {path.relative_to(ROOT).as_posix() for path in modules} | {*MODULES, *SHIPPED}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected


def test_metadata_asks_for_the_base_packages_and_names_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        licences = {Path(name).name for name in archive.namelist() if ".dist-info/licenses/" in name}
        fields = Parser().parsestr(archive.read(metadata).decode())
    required = fields.get_all("Requires-Dist", [])
    base = {line.split(">")[0] for line in required if "extra ==" not in line}
    assert base == {"numpy", "pyarrow", "PySastrawi", "tqdm"}
    assert fields["License-Expression"] == "MIT"
    assert licences == {"LICENSE", "NOTICE"}


def test_base_install_is_complete_and_has_no_training_packages(scripts: Path, tmp_path: Path) -> None:
    succeed(scripts / "python", "-m", "pip", "check", folder=tmp_path)
    installed = json.loads(succeed(scripts / "python", "-m", "pip", "list", "--format", "json", folder=tmp_path))
    names = {package["name"].lower() for package in installed}
    assert names - {"pip", "setuptools"} == {"sektor", "numpy", "pyarrow", "pysastrawi", "tqdm"}


def test_predictor_works_from_a_foreign_folder(scripts: Path, tmp_path: Path) -> None:
    code = (
        "import json, sys; from predict import Predictor; import predict\n"
        "prediction = Predictor.load().predict_one(sys.argv[1])\n"
        "print(json.dumps([predict.__file__, list(prediction.sectors), prediction.primary]))"
    )
    home, sectors, primary = json.loads(succeed(scripts / "python", "-c", code, ARTICLE, folder=tmp_path))
    assert Path(home).is_relative_to(scripts.parent)
    assert "ev" in sectors
    assert primary in sectors


def test_labelling_an_article_imports_no_training_package(tmp_path: Path) -> None:
    """In this environment, where they are installed."""
    heavy = ("joblib", "matplotlib", "mlflow", "pandas", "scipy", "sklearn")
    code = (
        "import importlib.util, sys; from predict import Predictor\n"
        "Predictor.load().predict_one(sys.argv[1])\n"
        f"print([name for name in {heavy} if importlib.util.find_spec(name) is None])\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    absent, imported = succeed(sys.executable, "-c", code, ARTICLE, folder=tmp_path).splitlines()
    assert absent == "[]"
    assert imported == "[]"


def test_batch_command_labels_from_a_foreign_folder(scripts: Path, tmp_path: Path) -> None:
    assert "ev" in succeed(scripts / "sektor-predict", "--text", ARTICLE, folder=tmp_path)
    (tmp_path / "articles.jsonl").write_text(json.dumps({"id": "007", "text": ARTICLE}) + "\n", encoding="utf-8")
    succeed(scripts / "sektor-predict", "articles.jsonl", "-o", "labels.jsonl", folder=tmp_path)
    (row,) = map(json.loads, (tmp_path / "labels.jsonl").read_text(encoding="utf-8").splitlines())
    assert row["id"] == "007"
    assert "ev" in row["sectors"]


def test_training_without_its_packages_says_in_one_line_how_to_get_them(scripts: Path, tmp_path: Path) -> None:
    result = call(scripts / "sektor-train", folder=tmp_path)
    assert result.returncode != 0
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert 'pip install "sektor[train]"' in line


def test_commands_are_not_hidden_by_files_of_the_folder_they_are_called_in(scripts: Path, tmp_path: Path) -> None:
    for name in ("data", "features", "models", "predict", "train"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the foreign module ran')", encoding="utf-8")
    assert "ev" in succeed(scripts / "sektor-predict", "--text", ARTICLE, folder=tmp_path)
