"""Generated articles for measuring speed: ordinary Indonesian text whose vocabulary grows as it does in the world.

    python -m benchmarks.generate 2000 --output articles.jsonl
    python -m benchmarks.generate 1000000 --seed 7 --unseen 0.1 --output articles.jsonl

Each article belongs to a group of the articles in data/articles: those with the same levels in all sectors, which
become its own labels (groups of fewer than `SMALLEST_GROUP` articles are left out; the others are drawn in proportion
to their size). Four in five of its sentences are drawn from the articles of that group, the fifth from articles
about no sector. Lengths are log-normal, with the title 270 words in the median. To the sentences comes what makes a
news stream what it is:

- new words: `NEW_NAMES` names and `NEW_FORMS` affixed dictionary words an article that no article before it had. Names
  are built from syllables, one in four with affixes. Dictionary words are there because one unseen word in four or
  five of real news is one that Sastrawi must stem; made of names alone the stream would be too easy.
- words invented before, again, the r-th with a probability about proportional to 1 / (r + `ZIPF_SHIFT`) (the law of
  Zipf as Mandelbrot put it), as many as it takes for the share `unseen` of all tokens to lie outside the training
  memo. Rare words of the corpus, which the memo lacks too, are counted in. (In real news it was one token in ten;
  the first pass is measured with one in six.)
- numbers: the digits of all figures are drawn anew.
- what scrapers deliver along: related-article links, bylines, advertisements, addresses, HTML (`SHARES`).

The first n articles of a seed are the same however many are asked for. They depend on the corpus and, in how many
invented words they hold, on the memo of the shipped model. Memory does not grow with the number of articles: an
invented word is worked out from its number.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from Sastrawi.Stemmer.StemmerFactory import StemmerFactory

from data.corpus import Corpus, read_corpus
from data.duplicates import deduplicate
from data.sectors import read_sectors
from features.clean import clean
from features.fold import fold
from features.strings import string_array
from features.tokens import split
from models.store import read_model
from predict import SHIPPED_MODEL

ARTICLES: Final = Path(__file__).resolve().parent.parent / "data" / "articles"
UNSEEN: Final = 1 / 6  # share of the tokens outside the training memo
MEDIAN_WORDS, SPREAD = 250, 0.45  # of the log-normal lengths before title and the rest; SPREAD is that of the logarithm
FEWEST_WORDS, MOST_WORDS = 60, 3000
NEW_NAMES, NEW_FORMS = 6, 2  # words an article that no article before it had
ZIPF_SHIFT: Final = 100  # ranks; without it one article would name the same few words dozens of times
SMALLEST_GROUP: Final = 20  # articles
OWN_SENTENCES: Final = 0.8  # share of the sentences that come from the article's own group
SENTENCES_A_PARAGRAPH: Final = (1, 4)

#: The share of the articles that carry each kind of what scrapers deliver along.
SHARES: Final = {"related": 0.15, "byline": 0.1, "advertisement": 0.1, "address": 0.2, "html": 0.05, "tail": 0.05}
RELATED_LINK: Final = "baca juga"
RELATED: Final = ("Baca juga: {}", "Baca Juga: {}", "BACA JUGA: {}", "Simak juga: {}", "Lihat juga: {}")
BYLINES: Final = ("Editor: {}", "Penulis: {}", "Reporter: {}", "Pewarta: {}", "Sumber: {}")
ADVERTISEMENTS: Final = ("ADVERTISEMENT", "SCROLL TO CONTINUE WITH CONTENT", "Gulir ke bawah untuk lanjut membaca")
ADDRESSES: Final = ("https://www.{}.co.id/berita/{}", "http://{}.com/read/{}", "www.{}.id/{}")
TAILS: Final = ("Artikel Terkait", "Berita Terpopuler", "Rekomendasi untuk Anda")

# A name is consonant and vowel three times and more, with a consonant after the last. It neither begins with a syllable
# that is a prefix nor ends in a letter that ends a suffix, so that no two (prefix, name, suffix) spell the same word.
_SYLLABLES: Final = tuple(consonant + vowel for consonant in "bcdfghjklmnprstwy" for vowel in "aiueo")
_FIRST: Final = tuple(syllable for syllable in _SYLLABLES if syllable not in ("be", "di", "ke", "me", "pe", "se", "te"))
_LAST: Final = tuple(syllable + consonant for syllable in _SYLLABLES for consonant in "klmrst")
_NAME_AFFIXES: Final = (
    ("", "nya"), ("se", ""), ("", "an"), ("ber", ""), ("di", "kan"), ("", "lah"), ("ke", "an"), ("ter", ""),
    ("", "pun"),
)  # fmt: skip
_FORM_AFFIXES: Final = (
    ("me", "kan"), ("me", "i"), ("di", "kan"), ("di", "i"), ("me", ""), ("pe", "an"), ("ke", "an"), ("ber", "an"),
    ("ter", "kan"), ("memper", "kan"), ("diper", "kan"), ("pe", ""),
)  # fmt: skip
_PARTICLES: Final = ("", "nya", "lah", "kah", "pun")
_SCRAMBLE: Final = 2_654_435_761  # a prime, so that consecutive numbers give words that look unrelated

_SENTENCE_END: Final = re.compile(r"""(?<=[.!?])\s+(?=["“A-Z])|(?<=[.!?]["”])\s+|\n+""")
_NUMBER: Final = re.compile(r"\W*(?:Rp|US\$|USD)?\d[\d.,/:-]*\W*")


@dataclass(frozen=True)
class Article:
    """A generated article; `levels` is 0, 1 or 2 for each sector."""

    id: str
    title: str
    text: str
    levels: dict[str, int]

    @property
    def raw(self) -> str:
        """Title and text as one string, as an article is given to a predictor."""
        return f"{self.title}\n{self.text}"

    def json(self) -> str:
        """One line of a JSONL file that train.py and predict.py read."""
        row = {"id": self.id, "title": self.title, "text": self.text, "sectors": self.levels}
        return json.dumps(row, ensure_ascii=False)


def articles(
    n: int,
    seed: int = 0,
    unseen: float = UNSEEN,
    corpus: Corpus | None = None,
    memo: Collection[str] | None = None,
) -> Iterator[Article]:
    """Generate n articles, one at a time.

    Parameters: unseen, the share of tokens outside the training memo; corpus, what is recombined, data/articles by
    default; memo, the words of the training memo, those of the shipped model by default.
    Raises ValueError for a share that the new words and the corpus's own rare words exceed already, or of 0.5 and more.
    """
    corpus = read_articles() if corpus is None else corpus
    memo = read_model(SHIPPED_MODEL).words if memo is None else memo
    return _generate(n, random.Random(seed), _Source(corpus), _invented_share(corpus, memo, unseen))


def read_articles(folder: Path = ARTICLES) -> Corpus:
    """The labelled corpus without repeats, as train.py reads it."""
    return deduplicate(read_corpus([folder], [sector.id for sector in read_sectors()]))[0]


def _invented_share(corpus: Corpus, memo: Collection[str], unseen: float) -> float:
    """The share of invented words among all tokens that leaves `unseen` of them outside the memo."""
    tokens = split(clean(string_array(corpus.articles())))
    outside = [place for place, word in enumerate(tokens.distinct) if any(part not in memo for part in fold(word))]
    rare = sum(map(set(outside).__contains__, tokens.numbers.tolist())) / len(tokens.numbers)
    least = rare + (NEW_NAMES + NEW_FORMS) / MEDIAN_WORDS
    if not least <= unseen < 0.5:
        raise ValueError(f"unseen share {unseen:.3f}: expected from {least:.3f} (new and rare words) to 0.5")
    return (unseen - rare) / (1 - rare)


@dataclass
class _Group:
    """The articles of a corpus with the same levels in all sectors."""

    levels: dict[str, int]
    size: int = 0
    titles: list[str] = field(default_factory=list)
    sentences: list[list[str]] = field(default_factory=list)  # as lists of words


class _Source:
    """The sentences of a corpus by group."""

    def __init__(self, corpus: Corpus):
        groups: dict[tuple[int, ...], _Group] = {}
        sentences: list[tuple[_Group, str]] = []
        for title, text, row in zip(corpus.titles, corpus.texts, corpus.levels.tolist(), strict=True):
            if any(map(math.isnan, row)):
                continue
            levels = tuple(map(int, row))
            group = groups.setdefault(levels, _Group(dict(zip(corpus.sectors, levels, strict=True))))
            group.size += 1
            group.titles += [title] if title.strip() else []
            sentences += [(group, sentence) for sentence in _SENTENCE_END.split(text)]
        boilerplate = _boilerplate([sentence for _, sentence in sentences])
        for (group, sentence), dropped in zip(sentences, boilerplate, strict=True):
            if not dropped:
                group.sentences.append(sentence.split())
        self.groups = [group for group in groups.values() if group.size >= SMALLEST_GROUP and group.titles]
        self.none = next((group for group in self.groups if not any(group.levels.values())), None)
        if not self.groups or self.none is None:
            raise ValueError(f"found fewer than {SMALLEST_GROUP} articles about no sector in the corpus")
        self.sizes = [group.size for group in self.groups]


def _boilerplate(sentences: list[str]) -> list[bool]:
    """Which sentences are empty or boilerplate: a related link glued to others would take words behind it along."""
    # Between two words each sentence is a line; of one that is cleaned away only these are left.
    tokens = split(clean(string_array([f"a\n{sentence}\nb" for sentence in sentences])))
    left = np.diff(tokens.offsets).tolist()
    return [n <= 2 or RELATED_LINK in sentence.lower() for n, sentence in zip(left, sentences, strict=True)]


def _generate(n: int, draw: random.Random, source: _Source, invented_share: float) -> Iterator[Article]:
    assert source.none is not None
    words = _Inventor()
    for place in range(n):
        group = draw.choices(source.groups, source.sizes)[0]
        length = min(max(draw.lognormvariate(math.log(MEDIAN_WORDS), SPREAD), FEWEST_WORDS), MOST_WORDS)
        tokens: list[str] = []
        sentences_left = draw.randint(*SENTENCES_A_PARAGRAPH)
        while len(tokens) < length * (1 - invented_share):
            pool = group if draw.random() < OWN_SENTENCES else source.none
            tokens += pool.sentences[int(draw.random() * len(pool.sentences))]
            sentences_left -= 1
            if not sentences_left:
                tokens[-1] += "\n\n"
                sentences_left = draw.randint(*SENTENCES_A_PARAGRAPH)
        for at, token in enumerate(tokens):
            if token[0] in "0123456789RU(" and _NUMBER.fullmatch(token):
                tokens[at] = re.sub(r"\d", lambda _: draw.choice("0123456789"), token)
        for word in words.draw(round(len(tokens) * invented_share / (1 - invented_share)), draw):
            at = int(draw.random() * len(tokens))
            tokens[at] = f"{word} {tokens[at]}"
        text = " ".join(tokens).replace("\n\n ", "\n\n").strip()
        title = draw.choice(group.titles)
        yield Article(f"generated-{place + 1}", title, _as_scraped(text, source.groups, words, draw), group.levels)


def _as_scraped(text: str, groups: Sequence[_Group], words: _Inventor, draw: random.Random) -> str:
    """The text with what scrapers deliver along."""
    paragraphs = text.split("\n\n")

    def insert(line: str) -> None:
        paragraphs.insert(draw.randint(1, len(paragraphs)), line)

    def other_title() -> str:
        return draw.choice(draw.choice(groups).titles)

    carries = {kind for kind, share in SHARES.items() if draw.random() < share}
    if "related" in carries:
        insert(draw.choice(RELATED).format(other_title()))
    if "advertisement" in carries:
        insert(draw.choice(ADVERTISEMENTS))
    if "address" in carries:
        address = draw.choice(ADDRESSES).format(words.name(0, draw).lower(), draw.randrange(10**8))
        paragraphs[draw.randrange(len(paragraphs))] += f" {address}"
    if "byline" in carries:
        paragraphs.append(draw.choice(BYLINES).format(f"{words.name(0, draw)} {words.name(0, draw)}"))
    if "html" in carries:
        paragraphs = [f"<p>{paragraph.replace(' ', '&nbsp;', 1)}</p>" for paragraph in paragraphs]
        paragraphs[0] = f'<div class="detail"><strong>{paragraphs[0]}</strong>'
    if "tail" in carries:
        paragraphs += [draw.choice(TAILS), *(other_title() for _ in range(3))]
    return "\n\n".join(paragraphs)


class _Inventor:
    """Invents words and repeats them: only their number is kept, `invented_name` and `_Forms` spell them."""

    def __init__(self) -> None:
        self.names = self.forms = 0  # so many were invented

    def draw(self, n: int, draw: random.Random) -> Iterator[str]:
        """n words, at least `NEW_NAMES + NEW_FORMS`: so many new ones, the rest repeats of all invented so far."""
        for _ in range(NEW_NAMES):
            self.names += 1
            yield invented_name(self.names - 1)
        for _ in range(NEW_FORMS):
            self.forms += 1
            yield self._form(self.forms - 1)
        for _ in range(n - NEW_NAMES - NEW_FORMS):
            if draw.random() * (NEW_NAMES + NEW_FORMS) < NEW_NAMES:
                yield self.name(self.names, draw)
            else:
                yield self._form(_zipf(self.forms, draw))

    def name(self, n: int, draw: random.Random) -> str:
        """One of the first n names; by default of all so far."""
        return invented_name(_zipf(n or max(self.names, 1), draw))

    def _form(self, number: int) -> str:
        return invented_name(number + (1 << 40)) if number >= len(self._dictionary) else self._dictionary.spell(number)

    @cached_property
    def _dictionary(self) -> _Forms:
        return _Forms()


def _zipf(n: int, draw: random.Random) -> int:
    """A number below n, r with a probability about proportional to 1 / (r + ZIPF_SHIFT)."""
    return min(int(ZIPF_SHIFT * (1 + n / ZIPF_SHIFT) ** draw.random() - ZIPF_SHIFT), n - 1)


@lru_cache(2**14)
def invented_name(number: int) -> str:
    """The invented name of a number; each fourth is the one three before it with affixes."""
    if number % 4 == 3:
        prefix, suffix = _NAME_AFFIXES[number // 4 % len(_NAME_AFFIXES)]
        return prefix + invented_name(number - 3).lower() + suffix
    size = len(_FIRST) * len(_SYLLABLES) * len(_LAST)
    more, rest = divmod(number, size)
    middle = ""
    while more:  # names of three syllables are used up
        more, syllable = divmod(more - 1, len(_SYLLABLES))
        middle += _SYLLABLES[syllable]
    rest = (rest + 1) * _SCRAMBLE % size
    rest, first = divmod(rest, len(_FIRST))
    last, second = divmod(rest, len(_SYLLABLES))
    return f"{_FIRST[first]}{_SYLLABLES[second]}{middle}{_LAST[last]}".capitalize()


class _Forms:
    """Affixed forms of the roots in Sastrawi's dictionary, by number."""

    def __init__(self) -> None:
        self._roots = [root for root in StemmerFactory().get_words() if root.isalpha() and 4 <= len(root) <= 10]

    def __len__(self) -> int:
        return len(self._roots) * len(_FORM_AFFIXES) * len(_PARTICLES)

    def spell(self, number: int) -> str:
        """The form of a number below the length."""
        size = len(self._roots) * len(_FORM_AFFIXES)
        particle, number = divmod(number, size)
        affixes, root = divmod(number * _SCRAMBLE % size, len(self._roots))
        prefix, suffix = _FORM_AFFIXES[affixes]
        word = self._roots[root]
        beginning = _nasal(prefix, word) if prefix in ("me", "pe") else prefix + word
        return beginning + suffix + _PARTICLES[particle]


def _nasal(prefix: str, root: str) -> str:
    """A root behind `me-` or `pe-`, with the nasal that its first letter asks for."""
    for letters, nasal, kept in (
        ("p", "m", 1), ("t", "n", 1), ("k", "ng", 1), ("s", "ny", 1),
        ("bf", "m", 0), ("cdjz", "n", 0), ("aiueogh", "ng", 0),
    ):  # fmt: skip
        if root[0] in letters:
            return prefix + nasal + root[kept:]
    return prefix + root


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description="Generate articles as JSONL.")
    parser.add_argument("n", type=int, help="how many articles")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--unseen",
        type=float,
        default=UNSEEN,
        metavar="SHARE",
        help="of tokens outside the training memo (default: 1/6)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    args = parser.parse_args(argv)
    with nullcontext(sys.stdout) if args.output is None else args.output.open("w", encoding="utf-8") as stream:
        stream.writelines(f"{article.json()}\n" for article in articles(args.n, args.seed, args.unseen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
