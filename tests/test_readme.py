"""README keeps its word: its snippets run, its files are there, its figures are those of the shipped model."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from models.store import read_model

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [content for name, content in fenced if name == language]


def commands(script: str) -> list[list[str]]:
    lines = (line for block in blocks("bash") for line in block.splitlines())
    found = [shlex.split(line, comments=True) for line in lines if line.startswith(f"python {script}")]
    assert found, f"README shows no command with {script}"
    trained = {"models/candidate": str(ROOT / "models" / "sektor")}  # as if it had been trained here
    return [[sys.executable, str(ROOT / script), *(trained.get(word, word) for word in words[2:])] for words in found]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that README's commands name."""
    rows = [
        {"id": "007", "title": "Harga sawit naik", "text": "Petani sawit di Riau menikmati harga tandan buah segar."}
    ]
    (tmp_path / "articles.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "articles.csv").write_text(
        "id;judul;isi\n007;Harga sawit naik;Petani sawit di Riau\n", encoding="utf-8"
    )
    labelled = [json.loads(line) for block in blocks("json") for line in block.splitlines()]
    assert len(labelled) == 3
    (tmp_path / "my-articles.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labelled), encoding="utf-8")
    return tmp_path


def test_python_snippets_run_and_print_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("python"):
        said = re.findall(r"print\(.*?\)\s+# (.*)$", block, re.MULTILINE)
        exec(compile(block, "README.md", "exec"), {})
        printed = capsys.readouterr().out.splitlines()
        for expected in said:
            assert expected in printed


@pytest.mark.slow
def test_predict_commands_run(folder: Path) -> None:
    for command in commands("predict.py"):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        if "real.jsonl" not in " ".join(command):
            assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
    assert json.loads((folder / "labels.jsonl").read_text(encoding="utf-8"))["id"] == "007"
    assert (folder / "labels.csv").read_text(encoding="utf-8").splitlines()[1].startswith("007,agro,agro,")


@pytest.mark.slow
def test_train_commands_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    (folder / "review.csv").write_text("id;sectors;title;text\n007;agro;Harga sawit naik;Petani sawit di Riau\n")
    for command in commands("train.py"):
        command += ["--output", str(folder / "model")]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
        assert read_model(folder / "model").sectors == read_model(ROOT / "models" / "sektor").sectors


def test_files_of_the_tree_and_links_exist() -> None:
    (tree,) = [block for block in blocks("") if block.startswith("train.py")]
    top = ""
    for line in tree.splitlines():
        name = line.split()[0]
        top = "" if not line.startswith(" ") else top
        assert (ROOT / top / name).exists(), f"README's tree names {top}{name}"
        if not line.startswith(" "):
            top = name if name.endswith("/") else ""
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), f"README links to {link}"


def test_cross_validation_figures_are_those_of_the_shipped_model() -> None:
    metrics = read_model(ROOT / "models" / "sektor").training["metrics"]
    table = README.split("On the bundled articles, by ten-fold")[1]
    for name in ("full", "core", "ap", "precision", "recall"):
        for sector in read_model(ROOT / "models" / "sektor").sectors:
            if f"{name}_{sector}" in metrics:
                assert f"{metrics[f'{name}_{sector}']:.3f}" in table
    for name in ("full", "core", "ap", "micro_full", "micro_core"):
        assert f"{metrics[name]:.3f}" in table


@pytest.mark.parametrize("script", ["predict.py", "train.py"])
def test_every_option_is_told_by_help(script: str) -> None:
    shown = subprocess.run([sys.executable, ROOT / script, "--help"], capture_output=True, text=True, check=True)
    source = (ROOT / script).read_text(encoding="utf-8")
    parser = source[source.index("def _parser") : source.index("return parser")]
    options = set(re.findall(r'"(--[a-z][a-z-]+)"', parser))
    assert len(options) > 20
    assert not {option for option in options if option not in shown.stdout}
