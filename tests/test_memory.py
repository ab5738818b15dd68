"""The batch script's heaps: few, whoever calls it; none of a program that imports the predictor is touched."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import pytest

from models import memory

ROOT = Path(__file__).resolve().parents[1]
# Many threads at once that each hold a block; then the heaps that there are, by glibc's own account.
CHILD = """
import sys
sys.argv = [sys.argv[1]]
import predict
import ctypes, threading
together = threading.Barrier(12)
def hold():
    block = bytearray(100_000)
    together.wait()
threads = [threading.Thread(target=hold) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
library = ctypes.CDLL(None)
library.fdopen.restype = ctypes.c_void_p
library.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
library.fflush.argtypes = [ctypes.c_void_p]
stream = library.fdopen(1, b"w")
library.malloc_info(0, stream)
library.fflush(stream)
"""


def heaps(name: str) -> int:
    """How many heaps a process has that is called by a name and uses many threads."""
    found = subprocess.run([sys.executable, "-c", CHILD, name], cwd=ROOT, capture_output=True, text=True, check=True)
    return len(re.findall("<heap nr=", found.stdout))


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "malloc_info"),
    reason="the C library is not glibc",
)
def test_the_batch_script_has_few_heaps_and_a_program_that_imports_it_as_many_as_it_likes() -> None:
    assert heaps("/usr/bin/sektor-predict") <= memory.HEAPS
    assert heaps("my-program") > memory.HEAPS


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    memory.share_heaps()
    memory.keep_large_blocks_apart()
    memory.give_back_memory()
