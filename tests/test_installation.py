"""A module of the caller's with the name of one of our packages is refused before it runs, in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(folder: Path, *arguments: str, path: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run Python in `folder`, with `path` before the repository in PYTHONPATH."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT)))}
    environment.pop("PYTHONSAFEPATH", None)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def last_line(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode != 0, run.stdout
    return run.stderr.strip().splitlines()[-1]


def write(path: Path, code: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code, encoding="utf-8")
    return path


SPEAKS = "print('the foreign module ran')"


@pytest.mark.parametrize(
    ("module", "package", "hiding"),
    [
        ("features.py", "features", "features.py"),
        ("features/__init__.py", "features", "features"),
        ("models.py", "models", "models.py"),
        ("models/__init__.py", "models", "models"),
    ],
)
def test_module_of_the_callers_is_named_with_the_repair(tmp_path: Path, module: str, package: str, hiding: str) -> None:
    write(tmp_path / module, SPEAKS)
    result = run(tmp_path, "-c", "from predict import Predictor")
    assert last_line(result) == (
        f"ImportError: {tmp_path / hiding} hides Sektor's package {package!r} in {ROOT}: "
        "rename it, or start Python with -P, which leaves its folder out"
    )
    assert result.stdout == ""


def test_modules_with_the_names_of_ours_inside_do_not_pass_for_ours(tmp_path: Path) -> None:
    for name in ("__init__", *(path.stem for path in (ROOT / "features").glob("[a-z]*.py"))):
        write(tmp_path / "features" / f"{name}.py", SPEAKS)
    result = run(tmp_path, "-c", "from predict import Predictor")
    assert f"{tmp_path / 'features'} hides Sektor's package 'features'" in last_line(result)
    assert result.stdout == ""


def test_module_beside_the_callers_script_is_found_from_any_folder(tmp_path: Path) -> None:
    write(tmp_path / "job" / "models.py", SPEAKS)
    script = write(tmp_path / "job" / "label.py", "from predict import Predictor")
    result = run(tmp_path, str(script))
    assert f"{tmp_path / 'job' / 'models.py'} hides Sektor's package 'models'" in last_line(result)
    assert "-P" in last_line(result)


def test_module_that_the_caller_imported_before_is_found(tmp_path: Path) -> None:
    write(tmp_path / "models.py", "")
    result = run(tmp_path, "-c", "import models; from predict import Predictor")
    assert f"{tmp_path / 'models.py'} hides Sektor's package 'models'" in last_line(result)


def test_module_elsewhere_on_the_path_gets_the_repair_that_helps_there(tmp_path: Path) -> None:
    theirs, here = tmp_path / "theirs", tmp_path / "here"
    here.mkdir()
    write(theirs / "models.py", SPEAKS)
    result = run(here, "-c", "from predict import Predictor", path=(theirs,))
    assert last_line(result).endswith(f"rename or remove it, or take {theirs} off sys.path (PYTHONPATH)")


def test_another_copy_of_ours_is_no_obstacle(tmp_path: Path) -> None:
    """MLflow keeps one with a model, and loads it where ours may be imported already."""
    copy = tmp_path / "code"
    shutil.copytree(ROOT / "features", copy / "features", ignore=shutil.ignore_patterns("__pycache__"))
    result = run(tmp_path, "-c", "import features; from predict import Predictor", path=(copy,))
    assert result.returncode == 0, result.stderr


def test_training_refuses_a_module_named_data(tmp_path: Path) -> None:
    write(tmp_path / "data.py", SPEAKS)
    result = run(tmp_path, "-c", "import train")
    assert f"{tmp_path / 'data.py'} hides Sektor's package 'data'" in last_line(result)
    assert result.stdout == ""


def test_the_repair_repairs(tmp_path: Path) -> None:
    write(tmp_path / "models.py", SPEAKS)
    result = run(tmp_path, "-P", "-c", "from predict import Predictor; print(Predictor.__name__)")
    assert (result.returncode, result.stdout) == (0, "Predictor\n"), result.stderr


def test_folders_without_python_in_them_are_no_obstacle(tmp_path: Path) -> None:
    for name in ("data", "features", "models"):
        write(tmp_path / name / "notes.txt", "")
    result = run(tmp_path, "-c", "from predict import Predictor; print(Predictor.__name__)")
    assert (result.returncode, result.stdout) == (0, "Predictor\n"), result.stderr
