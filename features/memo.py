"""A bounded dictionary that forgets what is no longer asked for."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

V = TypeVar("V")


class Memo(Generic[V]):
    """Remembers values by word in two generations: memory is bounded without bookkeeping per look-up.

    New entries go to the young generation. When it holds `limit` entries it becomes the old one, and the old
    one is dropped. A word found in the old generation is moved back to the young, so a word asked for at
    least once while `limit` others are stored is never lost. At most `2 * limit` entries are held, beside the
    fixed ones, which are never dropped.

    Safe under threads: a value once read is the value stored for that word. Reading takes no lock, because
    both generations are replaced by one assignment; storing does, and so does the move back, which happens at
    most once per word and generation.

    Args:
        limit: entries per generation, at least 1.
        fixed: entries that always answer first. Not copied: the caller must not change it afterwards.

    Raises:
        ValueError: `limit` is below 1.
    """

    def __init__(self, limit: int, fixed: Mapping[str, V] = {}) -> None:
        if limit < 1:
            raise ValueError(f"memo limit: found {limit}, expected at least 1")
        self.limit = limit
        self._fixed = fixed
        self._generations: tuple[dict[str, V], dict[str, V]] = ({}, {})
        self._storing = threading.Lock()

    def get(self, word: str) -> V | None:
        """The value stored for `word`, or None."""
        value = self._fixed.get(word)
        if value is not None:
            return value
        young, old = self._generations
        value = young.get(word)
        if value is None:
            value = old.get(word)
            if value is not None:
                self.update({word: value})
        return value

    def get_all(self, words: Sequence[str]) -> list[V | None]:
        """The value stored for each word, or None: as `get`, at the cost of one dictionary look-up a word or two."""
        young, old = self._generations
        found: list[V | None]
        if self._fixed:
            found = list(map(self._fixed.get, words))
            if young:
                found = [young.get(word) if value is None else value for word, value in zip(words, found, strict=True)]
        else:
            found = list(map(young.get, words))
        if old:
            back: dict[str, V] = {}
            for place, word in enumerate(words):
                if found[place] is None and (value := old.get(word)) is not None:
                    found[place] = back[word] = value
            if back:
                self.update(back)
        return found

    def update(self, entries: Mapping[str, V]) -> None:
        """Stores every entry; of more than `2 * limit` entries only the last are kept."""
        with self._storing:
            young, old = self._generations
            if len(young) + len(entries) <= self.limit:
                young.update(entries)
                return
            for word, value in islice(entries.items(), max(len(entries) - 2 * self.limit, 0), None):
                if len(young) >= self.limit and word not in young:
                    young, old = {}, young
                    self._generations = (young, old)
                young[word] = value

    def __len__(self) -> int:
        """Entries held, counting a word twice when both generations hold it; at most `2 * limit` + fixed."""
        young, old = self._generations
        return len(self._fixed) + len(young) + len(old)

    def __reduce__(self) -> tuple[type[Memo[V]], tuple[int, Mapping[str, V]]]:
        # A lock cannot be pickled, and what was remembered can be worked out again: a copy starts empty.
        return type(self), (self.limit, self._fixed)
