"""What a word of a cleaned text stands for: accents, other alphabets and numbers, which bytes cannot tell."""

from __future__ import annotations

import unicodedata
from typing import Final

_HYPHENS: Final = dict.fromkeys(map(ord, "\u2010\u2011\ufe58\ufe63\uff0d\u00ad"), "-") | {0xAD: None}


def fold(word: str) -> tuple[str, ...]:
    """The lower-case words without accents that a word of the cleaned text stands for: mostly itself, maybe none.

    Compatibility characters are decomposed (Unicode normalization form KD), marks and invisible characters dropped,
    and what then is no letter, digit or inner hyphen parts words. Words without a letter (numbers) are dropped.
    Folding a folded word changes nothing.
    """
    if word.isascii():
        if word.isalpha():
            return (word,)
        parts = word.replace("--", " ").split()
    else:
        plain = unicodedata.normalize("NFKD", word.translate(_HYPHENS)).casefold()
        plain = unicodedata.normalize("NFKD", plain).translate(_HYPHENS)
        plain = "".join(c for c in plain if unicodedata.category(c) not in ("Mn", "Me", "Cf"))
        parts = "".join(c if c.isalnum() or c == "-" else " " for c in plain).replace("--", " ").split()
    stripped = (part.strip("-") for part in parts)
    return tuple(part for part in stripped if any(map(str.isalpha, part)))
