"""Why an article got its scores: the words, as they stand in it, that pushed each sector's score up and down.

A linear model explains itself: the decision score of a sector is its intercept plus what each term contributes. What a
term contributes is shared among its occurrences (one in a title has as many shares as a title counts), and that of two
neighbouring stems between their two words, so that every word has its contribution and nothing is left over.

The terms are those that `features.vocabulary` counts; only where they stand is found in addition.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from features.clean import Origins, clean_with_origins
from features.search import NEWLINE, Bytes, Mask, Positions, bytes_of, offsets_of, table
from features.strings import string_array
from features.tokens import Tokens, split
from features.vocabulary import Counts, Occurrences, Vocabulary
from models.scoring import Floats, Scorer

SHOWN: Final = 5  # words for and against a sector in the small form
LONGEST_SHOWN: Final = 300  # characters of a sentence in the small form

#: After these a full stop ends no sentence: "PT. Astra", "Dr. Ir. H. Joko", "No. 7". Neither does it after one letter.
ABBREVIATIONS: Final = "pt cv ud dr drs dra ir prof hj kh no jl rp st tgl tn ny sdr kab kec kel"
_ABBREVIATIONS: Final = Tokens.of(ABBREVIATIONS.split()).packed[:, 0]
_STOP: Final = table(b".!?")
_BEHIND_STOP: Final = table(b" \n\"')]\x7f")
_LOWER_CASE: Final = table(b"abcdefghijklmnopqrstuvwxyz")
_OPENING: Final = re.compile(r"""[“‘"'(\[]{1,2}\Z""")
_CLOSING: Final = re.compile(r"""[.!?…]{0,3}[”’"')\]]{0,2}[.!?…]?""")


class Place(NamedTuple):
    """Some characters of an article.

    part: the string that they stand in: "title" only where one was given apart. start, end: as in `part[start:end]`.
    headline: whether they stand in what counts as the title, which in an article given whole is its first line.
    """

    part: Literal["title", "text"]
    start: int
    end: int
    headline: bool


class Word(NamedTuple):
    """A word of an article, whether in capitals or not.

    text: as it stands at its first place. contribution: what it adds to the score at all its places together.
    """

    text: str
    contribution: float
    places: tuple[Place, ...]

    @property
    def where(self) -> str:
        """In words: "title", "text" or "title and text"."""
        headline = {place.headline for place in self.places}
        return "title and text" if len(headline) == 2 else "title" if headline == {True} else "text"


class Sentence(NamedTuple):
    """A sentence of an article.

    text: without markup and boilerplate, on one line. contribution: what its words add to the score.
    """

    text: str
    contribution: float
    place: Place


@dataclass(frozen=True, eq=False)
class SectorExplanation:
    """Why one sector got its score.

    score: the decision score (log-odds before calibration): `intercept` plus the contributions of `words`.
    probability, threshold, predicted: as in the prediction.
    """

    sector: str
    score: float
    intercept: float
    probability: float
    threshold: float
    predicted: bool
    _article: _Article = field(repr=False)
    _number: int = field(repr=False)

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """All words that add anything, what adds most first and what takes away most last."""
        contributions = self._article.contributions[self._number]
        order = np.argsort(-contributions, kind="stable")
        return self._words(order[contributions[order] != 0])

    def up(self, limit: int) -> tuple[Word, ...]:
        """The words that push the score up most, at most `limit` of them."""
        return self._first(-self._article.contributions[self._number], limit)

    def down(self, limit: int) -> tuple[Word, ...]:
        """The words that push the score down most, at most `limit` of them."""
        return self._first(self._article.contributions[self._number], limit)

    def rest(self, limit: int) -> float:
        """What the words add together that are neither in `up(limit)` nor in `down(limit)`."""
        listed = sum(word.contribution for word in (*self.up(limit), *self.down(limit)))
        return self.score - self.intercept - listed

    @cached_property
    def sentence(self) -> Sentence | None:
        """The sentence that adds most to the score, the title being one; None where no word adds anything."""
        sums = self._article.sentences[self._number]
        if not sums.size or not self._article.contributions[self._number].any():
            return None
        best = int(sums.argmax())
        text, place = self._article.sentence(best)
        return Sentence(text, float(sums[best]), place)

    def _first(self, contributions: Floats, limit: int) -> tuple[Word, ...]:
        """The words with the smallest contributions, as far as these are negative."""
        order = np.argsort(contributions, kind="stable")[:limit]
        return self._words(order[contributions[order] < 0])

    def _words(self, numbers: Positions) -> tuple[Word, ...]:
        contributions = self._article.contributions[self._number, numbers].tolist()
        named = map(self._article.word, numbers.tolist())
        return tuple(
            Word(text, contribution, its) for (text, its), contribution in zip(named, contributions, strict=True)
        )


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why an article got its scores.

    sectors: an explanation for every sector the model knows, in the model's order.
    coverage: as in the prediction.
    """

    sectors: dict[str, SectorExplanation]
    coverage: float
    _article: _Article = field(repr=False)

    @cached_property
    def skipped(self) -> tuple[Place, ...]:
        """Markup and boilerplate, in order: they contribute nothing."""
        return self._article.skipped

    @property
    def contributions(self) -> Floats:
        """What each word adds to each sector's score: (n_sectors, n_words), for all words of `places`."""
        return self._article.contributions

    def places(self, number: int) -> tuple[Place, ...]:
        """Where a word, a column of `contributions`, stands."""
        return self._article.word(number)[1]

    def to_json(self, limit: int = SHOWN) -> dict[str, Any]:
        """For each sector, as JSON holds it: the score, the intercept, up to `limit` words up and down, what all words
        that are not among them add, and the sentence. Intercept, words and rest add up to the score.
        """

        def shown(words: tuple[Word, ...]) -> list[dict[str, Any]]:
            return [
                {"word": word.text, "contribution": round(word.contribution, 4), "in": word.where} for word in words
            ]

        return {
            sector: {
                "score": round(its.score, 4),
                "intercept": round(its.intercept, 4),
                "up": shown(its.up(limit)),
                "down": shown(its.down(limit)),
                "rest": round(its.rest(limit), 4),
                "sentence": None if its.sentence is None else shorten(its.sentence.text, LONGEST_SHOWN),
            }
            for sector, its in self.sectors.items()
        }


def shorten(text: str, longest: int) -> str:
    """The text, its end replaced by an ellipsis if it has more than `longest` characters."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


@dataclass(frozen=True, eq=False)
class _Article:
    """One article of a batch, as arrays; what is made of them is made when it is asked for.

    parts: title, if one was given apart, and text.
    contributions: (n_sectors, n_words). occurrences: (n_tokens,) and bounds: (n_words + 1,), where each word stands.
    sentences: (n_sectors, n_sentences), the sums of their contributions. begins: (n_sentences + 1,), where each begins.
    starts, ends: (n_tokens,), the characters of each token in `title + newline + text`. n_headline: how many tokens
    at the beginning are the title.
    skipped_starts, skipped_ends: (n_skipped,), likewise the characters of markup and boilerplate.
    """

    parts: tuple[str, ...]
    contributions: Floats
    occurrences: Positions
    bounds: Positions
    sentences: Floats
    begins: Positions
    starts: Positions
    ends: Positions
    n_headline: int
    skipped_starts: Positions
    skipped_ends: Positions

    def word(self, number: int) -> tuple[str, tuple[Place, ...]]:
        """A word as it stands at its first place, and its places; made once for all sectors."""
        made = self._made.get(number)
        if made is None:
            occurrences, bounds, starts, ends = self._lists
            places = tuple(
                self._place(starts[token], ends[token], token < self.n_headline)
                for token in occurrences[bounds[number] : bounds[number + 1]]
            )
            part, start, end, _ = places[0]
            made = self._made[number] = self.parts[0 if part == "title" else -1][start:end], places
        return made

    @cached_property
    def _made(self) -> dict[int, tuple[str, tuple[Place, ...]]]:
        return {}

    @cached_property
    def _lists(self) -> tuple[list[int], list[int], list[int], list[int]]:
        """Where words stand, as Python's numbers, which are read one by one in a fraction of the time."""
        return self.occurrences.tolist(), self.bounds.tolist(), self.starts.tolist(), self.ends.tolist()

    def sentence(self, number: int) -> tuple[str, Place]:
        """The text of a sentence, without what was skipped, and where it stands, with its signs before and behind."""
        first, last = int(self.begins[number]), int(self.begins[number + 1]) - 1
        part, start, end, _ = self._place(int(self.starts[first]), int(self.ends[last]), False)
        whole = self.parts[0] if part == "title" else self.parts[-1]
        opening = _OPENING.search(whole[max(start - 2, 0) : start])
        start -= len(opening[0]) if opening else 0
        closing = _CLOSING.match(whole, end)
        end = closing.end() if closing else end
        pieces, reached = [], start
        for skip in self.skipped:
            if skip.part == part and skip.end > reached and skip.start < end:
                pieces.append(whole[reached : max(skip.start, reached)])
                reached = skip.end
        pieces.append(whole[reached:end])
        return " ".join(" ".join(pieces).split()), Place(part, start, end, last < self.n_headline)

    @cached_property
    def skipped(self) -> tuple[Place, ...]:
        places = []
        before = len(self.parts[0]) if len(self.parts) == 2 else -1  # where the newline behind the title is
        for start, end in zip(self.skipped_starts.tolist(), self.skipped_ends.tolist(), strict=True):
            if start <= before < end:  # markup that begins in the title and ends in the text
                places += [self._place(start, before, False), self._place(before + 1, end, False)]
            else:
                places.append(self._place(start, end, False))
        # The newline behind the text is ours.
        lengths = {"title": len(self.parts[0]), "text": len(self.parts[-1])}
        places = [place._replace(end=min(place.end, lengths[place.part])) for place in places]
        return tuple(place for place in places if place.start < place.end)

    @cached_property
    def _shift(self) -> int:
        """How many characters stand before the text."""
        return len(self.parts[0]) + 1 if len(self.parts) == 2 else 0

    def _place(self, start: int, end: int, headline: bool) -> Place:
        if start < self._shift:
            return Place("title", start, end, headline)
        return Place("text", start - self._shift, end - self._shift, headline)


def explain(
    vocabulary: Vocabulary,
    scorer: Scorer,
    thresholds: Floats,
    texts: Sequence[str],
    titles: Sequence[str | None] | None = None,
) -> list[Explanation]:
    """The explanations of a batch of articles, in order; memory grows with the batch.

    Parameters: thresholds (n_sectors,); titles, one a text, None for none.
    """
    if not texts:
        return []
    heads = None if titles is None else [title or "" for title in titles]
    documents, origins = clean_with_origins(string_array(texts), None if heads is None else string_array(heads))
    tokens = split(documents)
    counts, occurrences = vocabulary.occurrences(tokens)
    scores = scorer.decision_scores(counts)
    labels = scorer.labels(counts, thresholds)
    by_token = _by_token(scorer.contributions(counts), counts, occurrences, tokens.starts.size)

    # A word is told by its document and its number; the words of a document stand together.
    n_distinct = max(len(tokens.distinct), 1)
    document = np.arange(len(texts)).repeat(np.diff(tokens.offsets))
    words, word_of = np.unique(document * n_distinct + tokens.numbers, return_inverse=True)
    by_word = np.array([np.bincount(word_of, its, words.size) for its in by_token])
    occurrence = word_of.argsort(kind="stable")
    bounds = np.concatenate(([0], np.bincount(word_of, minlength=words.size).cumsum()))
    word_bounds = words.searchsorted(np.arange(len(texts) + 1) * n_distinct)

    begins = _sentences(bytes_of(documents), tokens, origins)
    by_sentence = np.add.reduceat(by_token, begins, axis=1) if begins.size else by_token
    sentence_bounds = begins.searchsorted(tokens.offsets)
    begins = np.append(begins, tokens.starts.size)

    raw, raw_bounds = bytes_of(origins.articles), offsets_of(origins.articles)
    character = np.concatenate(([0], ((raw & 0xC0) != 0x80).cumsum()))  # the number of characters before each byte
    starts = character[origins.places[tokens.starts]]
    ends = character[origins.places[tokens.starts + tokens.lengths - 1] + 1]
    skip_starts, skip_ends = _runs(origins.skipped, raw_bounds)
    skip_bounds = skip_starts.searchsorted(raw_bounds)
    first = character[raw_bounds]

    explanations = []
    for place, text in enumerate(texts):
        token, last_token = tokens.offsets[place : place + 2].tolist()
        word, last_word = word_bounds[place : place + 2].tolist()
        sentence, last_sentence = sentence_bounds[place : place + 2].tolist()
        skips = slice(*skip_bounds[place : place + 2].tolist())
        article = _Article(
            parts=(text,) if heads is None else (heads[place], text),
            contributions=by_word[:, word:last_word],
            occurrences=occurrence[bounds[word] : bounds[last_word]] - token,
            bounds=bounds[word : last_word + 1] - bounds[word],
            sentences=by_sentence[:, sentence:last_sentence],
            begins=begins[sentence : last_sentence + 1] - token,
            starts=starts[token:last_token] - first[place],
            ends=ends[token:last_token] - first[place],
            n_headline=int(tokens.titles[place]),
            skipped_starts=character[skip_starts[skips]] - first[place],
            skipped_ends=character[skip_ends[skips]] - first[place],
        )
        sectors = {
            sector: SectorExplanation(
                sector=sector,
                score=float(scores[place, number]),
                intercept=float(scorer.model.intercepts[number]),
                probability=float(labels.probabilities[place, number]),
                threshold=float(thresholds[number]),
                predicted=bool(labels.predicted[place, number]),
                _article=article,
                _number=number,
            )
            for number, sector in enumerate(scorer.model.sectors)
        }
        explanations.append(Explanation(sectors, float(labels.coverage[place]), article))
    return explanations


def _by_token(contributions: Floats, counts: Counts, occurrences: Occurrences, n_tokens: int) -> Floats:
    """What each token adds to its document's scores: (n_sectors, n_tokens)."""
    halves = contributions[occurrences.entries].T * (0.5 * occurrences.times / counts.counts[occurrences.entries])
    return np.array(
        [np.bincount(occurrences.first, its, n_tokens) + np.bincount(occurrences.last, its, n_tokens) for its in halves]
    )


def _sentences(data: Bytes, tokens: Tokens, origins: Origins) -> Positions:
    """The tokens that begin a sentence: the first of a line, and one behind a full stop that no small letter follows.

    Parameters: data, the bytes of the cleaned documents that the tokens are of.
    """
    if not tokens.starts.size:
        return tokens.starts
    ends = tokens.starts + tokens.lengths
    stops = _STOP[data].nonzero()[0]  # the last byte is a newline
    stops = stops[_BEHIND_STOP[data[stops + 1]]]
    begins: Mask = np.ones(tokens.starts.size, np.bool_)
    begins[1:] = _between((data == NEWLINE).nonzero()[0], ends, tokens.starts)
    raw = bytes_of(origins.articles)
    small = _LOWER_CASE[raw[origins.places[tokens.starts[1:]]]]
    abbreviated = np.isin(tokens.packed[:-1, 0], _ABBREVIATIONS) | (tokens.lengths[:-1] == 1)
    begins[1:] |= _between(stops, ends, tokens.starts) & ~small & ~abbreviated
    return begins.nonzero()[0]


def _between(places: Positions, ends: Positions, starts: Positions) -> Mask:
    """Whether one of the sorted places is between each token and the next: (n_tokens - 1,)."""
    between: Mask = places.searchsorted(starts[1:]) > places.searchsorted(ends[:-1])
    return between


def _runs(mask: Mask, bounds: Positions) -> tuple[Positions, Positions]:
    """Where runs of True begin and end, none of them in two of the documents between `bounds`."""
    before = np.concatenate(([False], mask[:-1]))
    after = np.concatenate((mask[1:], [False]))
    before[bounds[:-1]] = False
    after[bounds[1:] - 1] = False
    return (mask & ~before).nonzero()[0], (mask & ~after).nonzero()[0] + 1
