"""The vectorizer learns what its parameters say, and keeps scikit-learn's contract.

scikit-learn's own checks (`parametrize_with_checks`) say nothing about a transformer of texts, so the contract is
spelled out here.
"""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from data.lexicon import Entry
from features.clean import clean
from features.columns import stems_of
from features.stems import Stems
from features.strings import string_array
from features.tokens import split
from features.vectorizer import BATCH, StemVectorizer

PARAMETERS = {"min_df": 2, "max_df": 0.5, "bigram_min_df": 4, "title_weight": 2, "terms": (), "workers": 1}
STEMS = Stems()


@pytest.fixture(scope="module")
def fitted(articles: list[str]) -> StemVectorizer:
    return StemVectorizer().fit(articles)


def parts_of(text: str) -> tuple[list[str], list[str]]:
    """The stems of an article's title and of the rest."""
    tokens = split(clean(string_array([text])))
    stems = stems_of(STEMS.stems, [tokens.distinct[number] for number in tokens.numbers.tolist()])
    titled = int(tokens.titles[0])
    return [s for of in stems[:titled] for s in of], [s for of in stems[titled:] for s in of]


def pairs_of(stems: list[str]) -> list[str]:
    return [f"{first} {second}" for first, second in pairwise(stems)]


def term_of(words: str) -> str:
    """The term that words of a lexicon are: their stems."""
    return " ".join(chain.from_iterable(stems_of(STEMS.stems, words.split())))


def learned(
    texts: list[str], min_df: int, max_df: float, bigram_min_df: int | None, always: Sequence[str] = ()
) -> tuple[list[str], list[int], list[Counter[str]], list[Counter[str]]]:
    """Terms and document frequencies, and the counts of each article's title and rest: a word at a time."""
    parts = [parts_of(text) for text in texts]
    heads = [Counter(title + pairs_of(title)) for title, _ in parts]
    bodies = [Counter(body + pairs_of(body)) for _, body in parts]
    frequency = Counter(term for head, body in zip(heads, bodies, strict=True) for term in {*head, *body})
    stems = sorted(t for t, n in frequency.items() if " " not in t and min_df <= n <= max_df * len(texts))
    if not stems:
        return [], [], heads, bodies
    wanted = {term_of(words) for words in always}
    stems = sorted({*stems, *chain.from_iterable(term.split(" ") for term in wanted)})
    known = set(stems)
    bigrams = {term for term in wanted if " " in term}
    if bigram_min_df is not None:
        bigrams |= {
            t for t, n in frequency.items() if n >= bigram_min_df and known.issuperset(t.split(" ")) and " " in t
        }
    terms = stems + sorted(bigrams, key=lambda term: term.split(" "))
    return terms, [frequency[term] for term in terms], heads, bodies


def check_against_plain_count(
    texts: list[str],
    min_df: int,
    max_df: float,
    bigram_min_df: int | None,
    title_weight: int,
    always: Sequence[str] = (),
) -> None:
    vectorizer = StemVectorizer(min_df, max_df, bigram_min_df, title_weight, always)
    terms, frequency, heads, bodies = learned(texts, min_df, max_df, bigram_min_df, always)
    if not terms:
        with pytest.raises(ValueError, match="min_df"):
            vectorizer.fit(texts)
        return
    counts = vectorizer.fit_transform(texts)
    assert vectorizer.get_feature_names_out().tolist() == terms
    assert vectorizer.document_frequency_.tolist() == frequency
    assert [terms[column] for column in vectorizer.columns_of_terms_] == [term_of(words) for words in always]
    expected = [
        [title_weight * head[term] + body[term] for term in terms] for head, body in zip(heads, bodies, strict=True)
    ]
    assert counts.toarray().tolist() == expected


@given(
    texts=st.lists(
        st.lists(st.sampled_from(["mobil", "listriknya", "menjual", "petani-petani", "dan", "2024", "\n", "zz"])).map(
            " ".join
        ),
        min_size=1,
        max_size=8,
    ),
    min_df=st.integers(1, 3),
    max_df=st.sampled_from([0.4, 0.75, 1.0]),
    bigram_min_df=st.sampled_from([None, 1, 2, 3]),
    title_weight=st.integers(1, 3),
    given_terms=st.lists(
        st.sampled_from(["mobil", "petani", "spklu", "mobil listrik", "jual listrik", "zz spklu", "zz zz", "plug-in"]),
        max_size=4,
    ),
)
@settings(deadline=None, max_examples=80)
def test_what_is_learned_and_counted_is_what_a_plain_count_says(
    texts: list[str],
    min_df: int,
    max_df: float,
    bigram_min_df: int | None,
    title_weight: int,
    given_terms: list[str],
) -> None:
    check_against_plain_count(texts, min_df, max_df, bigram_min_df, title_weight, given_terms)


@pytest.mark.parametrize(
    ("min_df", "max_df", "bigram_min_df", "title_weight"),
    [(3, 1.0, 3, 3), (2, 0.5, 4, 1), (5, 0.2, 2, 2), (1, 1.0, None, 3), (10, 1.0, 10, 5)],
)
def test_the_same_on_real_articles(
    articles: list[str], min_df: int, max_df: float, bigram_min_df: int | None, title_weight: int
) -> None:
    check_against_plain_count(articles[::6], min_df, max_df, bigram_min_df, title_weight)


@pytest.mark.slow
def test_pairs_that_are_added_up_in_between_are_the_same(
    articles: list[str], lexicon: tuple[Entry, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectorizer = StemVectorizer(terms=[entry.term for entry in lexicon])
    once = vectorizer.fit_transform(articles)
    terms, frequency = vectorizer.get_feature_names_out(), vectorizer.document_frequency_
    monkeypatch.setattr("features.vectorizer.BATCH", 20)
    monkeypatch.setattr("features.vectorizer._PAIRS", 0)
    assert_same(vectorizer.fit_transform(articles), once)
    assert vectorizer.get_feature_names_out().tolist() == terms.tolist()
    assert vectorizer.document_frequency_.tolist() == frequency.tolist()


def test_the_same_with_the_bundled_lexicon(articles: list[str], lexicon: tuple[Entry, ...]) -> None:
    check_against_plain_count(articles[::6], 3, 1.0, 3, 3, [entry.term for entry in lexicon])


# Terms that are given


def test_a_given_term_that_no_article_holds_is_a_column_without_articles() -> None:
    texts = ["mobil listrik", "mobil sedan"]
    vectorizer = StemVectorizer(min_df=1, terms=["spklu", "pabrik baterai"])
    counts = vectorizer.fit_transform(texts)
    names = vectorizer.get_feature_names_out().tolist()
    assert names == ["baterai", "listrik", "mobil", "pabrik", "sedan", "spklu", "pabrik baterai"]
    assert vectorizer.document_frequency_.tolist() == [0, 1, 2, 0, 1, 0, 0]
    assert vectorizer.columns_of_terms_.tolist() == [5, 6]
    assert counts[:, [0, 3, 5, 6]].nnz == 0
    assert vectorizer.transform(["Pabrik baterai di sebelah SPKLU"]).toarray().tolist() == [[1, 0, 0, 1, 0, 1, 1]]


def test_given_terms_are_kept_however_rare_or_frequent() -> None:
    texts = ["mobil listrik", "mobil listrik", "mobil sport", "mobil motor"]
    vectorizer = StemVectorizer(min_df=2, max_df=0.9, bigram_min_df=None, terms=["mobil", "sport"]).fit(texts)
    assert vectorizer.get_feature_names_out().tolist() == ["listrik", "mobil", "sport"]
    assert vectorizer.document_frequency_.tolist() == [2, 4, 1]


def test_without_pairs_the_given_ones_alone_are_terms() -> None:
    texts = ["mobil listrik murah"] * 5
    vectorizer = StemVectorizer(min_df=1, bigram_min_df=None, terms=["listrik murah", "murah mobil"]).fit(texts)
    assert vectorizer.get_feature_names_out().tolist() == ["listrik", "mobil", "murah", "listrik murah", "murah mobil"]
    assert vectorizer.document_frequency_.tolist() == [5, 5, 5, 5, 0]


def test_given_terms_of_the_same_stems_share_a_column() -> None:
    vectorizer = StemVectorizer(min_df=1, terms=["cx-5", "petani", "cx-3", "bertani", "petani"]).fit(["mobil listrik"])
    assert vectorizer.get_feature_names_out().tolist() == ["cx", "listrik", "mobil", "tani"]
    assert vectorizer.columns_of_terms_.tolist() == [0, 3, 0, 3, 3]


def test_a_hyphenated_term_is_the_pair_that_articles_hold() -> None:
    vectorizer = StemVectorizer(min_df=1, terms=["plug-in"]).fit(["mobil plug-in hybrid"])
    (column,) = vectorizer.columns_of_terms_
    assert vectorizer.get_feature_names_out()[column] == "plug in"
    assert vectorizer.document_frequency_[column] == 1


@pytest.mark.parametrize("term", ["motor roda tiga", "plug-in hybrid", "2024", ""])
def test_a_given_term_of_other_than_one_or_two_stems_is_named(term: str) -> None:
    with pytest.raises(ValueError, match=rf"^term {term!r} has the stems \(.*\), expected one or two$"):
        StemVectorizer(min_df=1, terms=["spklu", term]).fit(["mobil listrik"])


def test_given_terms_alone_are_nothing_to_learn_from() -> None:
    with pytest.raises(ValueError, match="no stem stands in 3 of 2 articles"):
        StemVectorizer(terms=["mobil listrik"]).fit(["mobil listrik", "mobil"])


# scikit-learn's contract


def test_parameters_are_what_was_given_until_fit() -> None:
    vectorizer = StemVectorizer(**PARAMETERS)
    assert vectorizer.get_params() == PARAMETERS
    assert {name for name in vars(vectorizer) if name.endswith("_")} == set()
    assert vectorizer.set_params(min_df=7).get_params() == PARAMETERS | {"min_df": 7}
    with pytest.raises(ValueError, match="Invalid parameter"):
        vectorizer.set_params(unknown=1)


def test_parameters_are_validated_by_fit_not_before() -> None:
    StemVectorizer(min_df=10**9)
    with pytest.raises(ValueError, match="no stem stands in 1000000000 of 2 articles"):
        StemVectorizer(min_df=10**9).fit(["mobil listrik", "mobil"])


def test_a_clone_is_unfitted_with_the_same_parameters(fitted: StemVectorizer) -> None:
    twin = clone(fitted.set_params())
    assert twin.get_params() == fitted.get_params()
    assert not hasattr(twin, "vocabulary_")


@pytest.mark.parametrize("use", [lambda v: v.transform(["mobil"]), lambda v: v.get_feature_names_out()])
def test_unfitted_it_says_so(use: object) -> None:
    with pytest.raises(NotFittedError):
        use(StemVectorizer())  # type: ignore[operator]


@pytest.mark.parametrize("use", ["fit", "fit_transform", "transform"])
@pytest.mark.parametrize(("texts", "found"), [("mobil listrik", "one string"), (b"mobil", "one string")])
def test_one_bare_string_is_refused(fitted: StemVectorizer, use: str, texts: str | bytes, found: str) -> None:
    vectorizer = fitted if use == "transform" else StemVectorizer()
    with pytest.raises(TypeError, match=found):
        getattr(vectorizer, use)(texts)


@pytest.mark.parametrize("use", ["fit", "fit_transform", "transform"])
@pytest.mark.parametrize("value", [None, 5, float("nan"), b"mobil", ["mobil"]])
def test_what_is_no_string_is_refused_with_its_place(fitted: StemVectorizer, use: str, value: object) -> None:
    vectorizer = fitted if use == "transform" else StemVectorizer()
    with pytest.raises(TypeError, match="article 1 is a "):
        getattr(vectorizer, use)(["mobil listrik", value])


def test_fit_transform_is_fit_then_transform(articles: list[str]) -> None:
    texts = articles[:60]
    once = StemVectorizer().fit_transform(texts)
    twice = StemVectorizer().fit(texts).transform(texts)
    assert_same(once, twice)


def test_fit_returns_itself_and_forgets_an_earlier_fit(articles: list[str]) -> None:
    vectorizer = StemVectorizer(min_df=1)
    assert vectorizer.fit(articles[:5]) is vectorizer
    vectorizer.fit(["mobil listrik"])
    assert vectorizer.get_feature_names_out().tolist() == ["listrik", "mobil"]
    assert vectorizer.n_documents_ == 1


def test_labels_are_accepted_and_ignored(articles: list[str]) -> None:
    texts = articles[:20]
    labels = np.zeros((20, 2))
    assert_same(StemVectorizer().fit_transform(texts, labels), StemVectorizer().fit(texts).transform(texts))


def test_its_input_stays_as_it_is(articles: list[str]) -> None:
    texts = articles[:20]
    before = list(texts)
    StemVectorizer().fit(texts).transform(texts)
    assert texts == before


@pytest.mark.parametrize("container", [tuple, iter, np.array, lambda texts: (text for text in texts)])
def test_any_iterable_of_strings_does(articles: list[str], container: object) -> None:
    texts = articles[:20]

    def held() -> Iterable[str]:
        return container(texts)  # type: ignore[operator, no-any-return]

    assert_same(StemVectorizer().fit(held()).transform(held()), StemVectorizer().fit_transform(texts))


def test_counts_are_a_sparse_array_that_liblinear_takes(fitted: StemVectorizer, articles: list[str]) -> None:
    counts = fitted.transform(articles)
    assert isinstance(counts, csr_array)
    assert counts.shape == (len(articles), len(fitted.get_feature_names_out()))
    assert (counts.dtype, counts.indices.dtype, counts.indptr.dtype) == (np.float64, np.int32, np.int32)
    assert counts.has_canonical_format


def test_names_of_the_columns_are_distinct_strings(fitted: StemVectorizer) -> None:
    names = fitted.get_feature_names_out()
    assert names.dtype == object
    assert len(set(names.tolist())) == names.size == fitted.document_frequency_.size
    assert fitted.get_feature_names_out(["text"]).tolist() == names.tolist()


def test_no_articles_transform_to_no_rows(fitted: StemVectorizer) -> None:
    assert fitted.transform([]).shape == (0, len(fitted.get_feature_names_out()))


@pytest.mark.parametrize("texts", [[], [""], ["12 345", "..."]])
def test_nothing_to_learn_is_said(texts: list[str]) -> None:
    with pytest.raises(ValueError, match="no stem stands in"):
        StemVectorizer().fit(texts)


def test_unknown_words_count_nothing(fitted: StemVectorizer) -> None:
    assert fitted.transform(["qqq www", ""]).nnz == 0


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda v: pickle.loads(pickle.dumps(v))])
def test_copies_do_the_same(fitted: StemVectorizer, unseen: list[str], copied: object) -> None:
    twin = copied(fitted)  # type: ignore[operator]
    assert_same(twin.transform(unseen[:20]), fitted.transform(unseen[:20]))
    assert twin.get_params() == fitted.get_params()


@pytest.mark.slow
def test_it_travels_to_other_processes(fitted: StemVectorizer, unseen: list[str]) -> None:
    (there,) = joblib.Parallel(n_jobs=2)([joblib.delayed(fitted.transform)(unseen[:5])])
    assert_same(there, fitted.transform(unseen[:5]))


def test_it_stands_in_a_pipeline(articles: list[str]) -> None:
    pipeline = make_pipeline(StemVectorizer())
    pipeline.set_params(stemvectorizer__min_df=2)
    assert_same(pipeline.fit_transform(articles[:20]), StemVectorizer(min_df=2).fit_transform(articles[:20]))


def test_batches_leave_no_trace() -> None:
    texts = [f"mobil listrik {'pabrik' * (number % 2)}\nkendaraan {number}" for number in range(BATCH + 50)]
    vectorizer = StemVectorizer(min_df=2)
    counts = vectorizer.fit_transform(texts)
    assert counts.shape[0] == len(texts)
    for row in (0, 1, BATCH - 1, BATCH, BATCH + 49):
        assert_same(counts[[row]], vectorizer.transform([texts[row]]))
    places = dict(zip(vectorizer.get_feature_names_out(), vectorizer.document_frequency_, strict=True))
    assert places["mobil listrik"] == places["kendara"] == len(texts)
    assert places["pabrik"] == len(texts) // 2


def test_workers_change_nothing(articles: list[str]) -> None:
    serial, parallel = StemVectorizer().fit(articles[:60]), StemVectorizer(workers=2).fit(articles[:60])
    assert serial.get_feature_names_out().tolist() == parallel.get_feature_names_out().tolist()
    assert serial.words_ == parallel.words_


def test_words_lists_the_words_behind_the_terms(fitted: StemVectorizer) -> None:
    stems = set(fitted.get_feature_names_out())
    assert {stem for its_stems in fitted.words_.values() for stem in its_stems} & stems
    assert all(stems.intersection(its_stems) for its_stems in fitted.words_.values())
    assert fitted.words_["kendaraan"] == ("kendara",)


def assert_same(first: csr_array, second: csr_array) -> None:
    assert first.shape == second.shape
    assert first.indptr.tolist() == second.indptr.tolist()
    assert first.indices.tolist() == second.indices.tolist()
    assert first.data.tolist() == second.data.tolist()
