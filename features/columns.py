"""New words: each folded, stemmed, and its stems looked up in the vocabulary.

All that Python does word by word. It needs neither numpy nor pyarrow, so that the processes of `features.pool`, which
share it where there are many new words, begin at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Final

from features.fold import fold
from features.stems import Stems

UNKNOWN: Final = -1  # the column of a stem that the vocabulary does not hold
StemColumns = tuple[int, ...]  # of the stems of a word: mostly one, none for a number
_ONE_UNKNOWN: Final = (UNKNOWN,)


class WordColumns:
    """Words of cleaned texts to the columns of their stems, whatever was asked before.

    Parameters: columns, of each stem of the vocabulary; known, words with their stems, those of the training corpus.
    """

    def __init__(self, columns: Mapping[str, int], known: Mapping[str, tuple[str, ...]]):
        self._columns = columns
        self._stems = Stems(memo_size=1, known=known)  # who asks remembers what it was told

    def __call__(self, words: Sequence[str]) -> list[StemColumns]:
        """For each word the columns of its stems."""
        return list(map(self._of_stems, stems_of(self._stems.stems, words)))

    def _of_stems(self, stems: tuple[str, ...]) -> StemColumns:
        if len(stems) == 1:
            column = self._columns.get(stems[0])
            return _ONE_UNKNOWN if column is None else (column,)  # one tuple in memory for most new words
        return tuple([self._columns.get(stem, UNKNOWN) for stem in stems])


def stems_of(stem: Callable[[Sequence[str]], Sequence[tuple[str, ...]]], words: Sequence[str]) -> list[tuple[str, ...]]:
    """For each word of a cleaned text the stems of what it folds to, in order; a stem without a letter is none.

    Parameters: stem, gives the stems of each of some folded words, as `Stems.stems` does.
    """
    folded = [fold(word) for word in words]
    distinct = list(dict.fromkeys(chain.from_iterable(folded)))
    stem_of = dict(zip(distinct, stem(distinct), strict=True))
    for word, its_stems in stem_of.items():
        if len(its_stems) > 1:  # the parts of a hyphenated word, as in "75-an"
            stem_of[word] = tuple(stem for stem in its_stems if not stem.isdigit())
    return [
        stem_of[parts[0]] if len(parts) == 1 else tuple(chain.from_iterable(map(stem_of.__getitem__, parts)))
        for parts in folded
    ]
