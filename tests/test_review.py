"""The labelling loop: what is picked, the files for reviewers, and a model that learned a source's own words."""

from __future__ import annotations

import csv
import io
import json
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.cells import guarded, unguarded
from data.corpus import Corpus, CorpusError, read_corpus
from data.duplicates import deduplicate, repeats
from data.sectors import Sector
from features.strings import string_array
from models.classifier import Configuration
from models.evaluation import evaluate
from models.labelled import LabelledArticle
from models.review import LONGEST_CELL, ReviewError, pick, review_files, usefulness, write_review
from predict import Prediction, Predictor
from train import Settings, train

SECTORS = ("automotive", "ev", "agro", "chemicals")
FEW = Settings(folds=2)


def labelled(predictor: Predictor, texts: Sequence[str], titles: Sequence[str] | None = None) -> list[LabelledArticle]:
    heads = titles or [""] * len(texts)
    predictions = predictor.predict(texts, heads)
    return [
        LabelledArticle(number, f"a{number}", title, text, "", prediction)
        for number, (title, text, prediction) in enumerate(zip(heads, texts, predictions, strict=True), start=1)
    ]


def made_up(id: str = "1", title: str = "", text: str = "Isi.", sectors: tuple[str, ...] = ()) -> LabelledArticle:
    shares = {sector: 0.9 if sector in sectors else 0.1 for sector in SECTORS}
    return LabelledArticle(1, id, title, text, "", Prediction(sectors, sectors[0] if sectors else None, shares, 0.9))


# Picking


def test_usefulness_is_largest_at_a_threshold_and_grows_with_unknown_words() -> None:
    thresholds = np.array([0.3, 0.5])
    probabilities = np.array([[0.3, 0.01], [0.3, 0.5], [0.4, 0.01], [0.9, 0.01], [0.001, 0.001], [0.001, 0.001]])
    coverage = np.array([0.9, 0.9, 0.9, 0.9, 0.9, 0.2])
    useful = usefulness(probabilities, coverage, thresholds)
    assert useful[0] == useful[1] == pytest.approx(1.1)
    assert useful[1] > useful[2] > useful[3] > useful[4]
    assert useful[5] == pytest.approx(useful[4] + 0.7)
    assert usefulness(np.zeros((1, 2)), np.zeros(1), thresholds).tolist() == [0]
    assert np.isfinite(usefulness(np.array([[0.0, 1.0]]), np.ones(1), np.array([0.0, 1.0]))).all()


def test_picks_are_the_same_every_time_and_no_more_than_asked(predictor: Predictor, unseen: list[str]) -> None:
    articles = labelled(predictor, unseen)
    picked = pick(articles, predictor, 10, seed=3)
    assert len(picked) == len({article.id for article in picked}) == 10
    assert pick(articles, predictor, 10, seed=3) == picked
    assert pick(articles, predictor, 4, seed=3) == picked[:4]
    assert {article.id for article in pick(articles[::-1], predictor, 10, seed=3)} == {a.id for a in picked}


def test_little_to_pick_from(predictor: Predictor, unseen: list[str]) -> None:
    assert pick([], predictor, 5) == []
    (one,) = labelled(predictor, unseen[:1])
    assert pick([one], predictor, 5) == [one]
    assert pick(labelled(predictor, ["", " ", "123 456", "---"]), predictor, 5) == []
    assert len(pick(labelled(predictor, unseen[:7]), predictor, 100)) == 7
    with pytest.raises(ValueError, match="found 0 articles to review, expected at least 1"):
        pick([one], predictor, 0)


def test_near_duplicates_are_never_both_picked(predictor: Predictor, unseen: list[str]) -> None:
    changed = [f"{text} Demikian laporan kontributor kami nomor {n}." for n, text in enumerate(unseen[:30])]
    articles = labelled(predictor, [*unseen[:30], *changed, *unseen[:30]])
    texts = [article.text for article in articles]
    n_stories = int((repeats(texts) == np.arange(len(texts))).sum())
    assert n_stories < 45
    picked = [article.text for article in pick(articles, predictor, len(articles))]
    assert (repeats(picked) == np.arange(len(picked))).all()
    assert len(picked) >= 28


def test_picks_are_uncertain_and_of_many_stories(predictor: Predictor) -> None:
    """One story told a hundred times, each time in other words, does not fill the picks."""
    rows = source(400, seed=5)
    flood = [row for row in source(3000, seed=6) if "Persigala" in row[1] or "Persigala" in row[2]][:200]
    texts, titles = [row[2] for row in [*rows, *flood]], [row[1] for row in [*rows, *flood]]
    articles = labelled(predictor, texts, titles)
    picked = pick(articles, predictor, 40)
    flooded = sum("Persigala" in article.title + article.text for article in picked)
    share = sum("Persigala" in article.title + article.text for article in articles) / len(articles)
    assert share > 0.3
    assert flooded / len(picked) < share / 2
    stories = {who for _, (who, _) in STORIES if any(name in a.title + a.text for a in picked for name in who.split())}
    assert len(stories) >= len(STORIES) - 2


@pytest.mark.slow
def test_twenty_thousand_candidates_take_seconds(predictor: Predictor, bundled: Corpus) -> None:
    draw = random.Random(0)
    sentences = [part for text in bundled.texts for part in text.split(". ")]
    probabilities = np.random.default_rng(0).random((20_000, 4))
    articles = [
        replace(
            made_up(str(n), "", ". ".join(draw.sample(sentences, 12))), prediction=Prediction((), None, shares, 0.9)
        )
        for n, shares in enumerate(dict(zip(SECTORS, row, strict=True)) for row in probabilities.tolist())
    ]
    start = time.perf_counter()
    assert len(pick(articles, predictor, 500)) == 500
    assert time.perf_counter() - start < 60  # some 10 s on an idle core


# Sheets


def sheet(path: Path, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), delimiter=delimiter))


def test_a_sheet_says_how_to_label(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    picked = [made_up("1", "Judul", "Isi", ("ev", "automotive")), made_up("2", "", "Lain")]
    assert write_review(path, picked, predictor) == (path,)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfid,sectors,")
    header, first, second = sheet(path)
    assert header == ["id", "sectors", "how_to_label", "title", "text"]
    assert [first[1], second[1]] == ["ev|automotive ?", "none ?"]
    assert all(word in first[2] for word in ("?", "none", "automotive|ev", ":1", *SECTORS))
    assert second[2] == ""


def test_what_nobody_reviewed_is_left_out_and_counted(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    write_review(path, [made_up(str(n), "", f"Isi {n}", ("ev",)) for n in range(6)], predictor)
    with pytest.raises(CorpusError, match=r"6 of 6 articles left out: 6 not reviewed, their labels still end in \?"):
        read_corpus([path], SECTORS)
    rows = sheet(path)
    for row, label in zip(rows[1:], ["ev", "ev ?", "none", "-", " ", "agro|chemicals:1"], strict=True):
        row[1] = label
    save(path, rows)
    said: list[str] = []
    corpus = read_corpus([path], SECTORS, said.append)
    assert said == [
        f"{path}: 2 of 6 articles left out: 1 not reviewed, their labels still end in ?, "
        "1 without labels: none is what says that there is no sector"
    ]
    assert corpus.levels.tolist() == [[0, 2, 0, 0], *[[0, 0, 0, 0]] * 2, [0, 0, 2, 1]]


def test_a_sheet_that_teaches_nothing_is_told_beside_others(predictor: Predictor, tmp_path: Path) -> None:
    """A run must not look as if it had learned from it."""
    own, untouched = tmp_path / "own.jsonl", tmp_path / "review.csv"
    own.write_text('{"text": "sawit", "sectors": ["agro"]}\n', encoding="utf-8")
    write_review(untouched, [made_up(str(n), "", f"Isi {n}", ("ev",)) for n in range(3)], predictor)
    with pytest.raises(CorpusError, match=r"^\S*review.csv: found no articles, .*3 of 3 articles left out: 3 not"):
        read_corpus([own, untouched], SECTORS)


def save(path: Path, rows: list[list[str]], delimiter: str = ",", bom: bool = True) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + stream.getvalue().encode())


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [True, False])
def test_a_sheet_saved_by_a_spreadsheet_program(
    predictor: Predictor, tmp_path: Path, delimiter: str, bom: bool
) -> None:
    """Another delimiter, columns moved, names begun with a capital, empty rows at the end."""
    path = tmp_path / "review.csv"
    texts = ["=1+1\nbaris; dua, tiga", '\'-kutip "dalam"\tpetik', "Biasa saja"]
    write_review(path, [made_up(f"00{n}", "@judul", text) for n, text in enumerate(texts)], predictor)
    rows = [list(reversed(row)) for row in sheet(path)]
    for row, label in zip(rows[1:], ["Ev", " Agro | EV:1 ", "None"], strict=True):
        row[3] = label
    save(path, [*rows, [""] * 5, [""] * 5], delimiter, bom)
    corpus = read_corpus([path], SECTORS)
    assert corpus.ids == ["000", "001", "002"]
    assert corpus.texts == texts
    assert corpus.titles == ["@judul"] * 3
    assert corpus.levels.tolist() == [[0, 2, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]]


def test_a_sheet_with_a_delimiter_of_its_own(predictor: Predictor, tmp_path: Path) -> None:
    write_review(tmp_path / "a.csv", [made_up(text="satu, dua")], predictor, delimiter=";")
    assert sheet(tmp_path / "a.csv", ";")[1][4] == "satu, dua"


def test_mistakes_in_a_sheet_are_named(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    write_review(path, [made_up("1", "", "satu\nbaris"), made_up("2", "", "dua")], predictor)
    rows = sheet(path)
    rows[1][1], rows[2][1] = "ev", "mobil"
    save(path, rows)
    with pytest.raises(
        CorpusError, match=r'review\.csv:4: sectors: found sector "mobil", expected automotive'
    ) as error:
        read_corpus([path], SECTORS)
    assert "\n" not in str(error.value)


def test_a_sheet_saved_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_bytes("id,text,sectors\n1,Isi “dikutip”,ev\n".encode("cp1252"))
    with pytest.raises(CorpusError, match=r"own\.csv:2: .* is not utf-8; save the sheet as CSV UTF-8"):
        read_corpus([tmp_path / "own.csv"], SECTORS)


@settings(max_examples=40, deadline=None)
@example(("=cmd|' /C calc'!A0", "'=x", "''", "007"))
@example(("1e5", "2-3", "\t", "- satu\r\ndua\rtiga"))
@given(st.tuples(*[st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)] * 4))
def test_cells_come_back_as_they_were(
    predictor: Predictor, tmp_path_factory: pytest.TempPathFactory, texts: tuple[str, ...]
) -> None:
    path = tmp_path_factory.mktemp("cells") / "review.csv"
    picked = [made_up(f"{text}{n}", text, f"{text}a") for n, text in enumerate(texts)]
    write_review(path, picked, predictor)
    rows = sheet(path)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row)
    for row in rows[1:]:
        row[1] = "none"
    save(path, rows)
    corpus = read_corpus([path], SECTORS)
    assert corpus.ids == [article.id for article in picked]
    assert corpus.titles == [article.title for article in picked]
    assert corpus.texts == [article.text for article in picked]


@given(st.text(st.sampled_from("'=-+@\t\r07.e a"), max_size=6))
def test_guarding_is_undone_by_unguarding(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert guarded(text)[:1] not in tuple("=+-@\t\r")


def test_other_tables_are_not_unguarded(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("id,text,sectors\n'7,'=kutipan,ev\n", encoding="utf-8")
    corpus = read_corpus([tmp_path / "own.csv"], SECTORS)
    assert (corpus.ids, corpus.texts) == (["'7"], ["'=kutipan"])


def test_cells_are_not_longer_than_a_spreadsheet_program_takes(predictor: Predictor, tmp_path: Path) -> None:
    write_review(tmp_path / "a.csv", [made_up(text="kata 😀 " * 10_000), made_up("2", text="a\0b")], predictor)
    _, first, second = sheet(tmp_path / "a.csv")
    assert LONGEST_CELL <= len(first[4].encode("utf-16-le")) / 2 < 32_767
    assert first[4].endswith(" [...]")
    assert second[4] == "a b"


# Tasks, and what both have in common


def test_tasks_and_their_way_back(predictor: Predictor, unseen: list[str], tmp_path: Path) -> None:
    path = tmp_path / "review.json"
    picked = pick(labelled(predictor, unseen), predictor, 5)
    assert write_review(path, picked, predictor) == (path, tmp_path / "review.xml")
    assert 'name="sectors"' in (tmp_path / "review.xml").read_text(encoding="utf-8")
    tasks = json.loads(path.read_text(encoding="utf-8"))
    for made, article in zip(tasks, picked, strict=True):
        (prediction,) = made["predictions"]
        assert 0 <= prediction["score"] <= 1
        assert prediction["result"][0]["value"]["choices"] == (list(article.prediction.sectors) or ["none"])
        result = [prediction["result"][0] | {"value": {"choices": ["agro"]}}]
        made["annotations"] = [{"result": result, "completed_by": 1, "was_cancelled": False}]
    (tmp_path / "export.json").write_text(json.dumps(tasks), encoding="utf-8")
    corpus = read_corpus([tmp_path / "export.json"], SECTORS)
    assert corpus.ids == [article.id for article in picked]
    assert corpus.texts == [article.text for article in picked]
    assert (corpus.levels == [0, 0, 2, 0]).all()


def test_files_that_cannot_be_written(predictor: Predictor, tmp_path: Path) -> None:
    for name in ("review.txt", "review"):
        with pytest.raises(ReviewError, match=r"expected \.json \(Label Studio\) or \.csv \(spreadsheet\)"):
            review_files(Path(name))
    with pytest.raises(ReviewError, match=r"cannot be written: no such file or directory"):
        write_review(tmp_path / "nowhere" / "review.csv", [made_up()], predictor)
    (tmp_path / "review.xml").write_text("mine", encoding="utf-8")
    with pytest.raises(ReviewError, match=r"review\.xml: exists"):
        write_review(tmp_path / "review.json", [made_up()], predictor)
    assert [file.name for file in tmp_path.iterdir()] == ["review.xml"]
    write_review(tmp_path / "review.json", [made_up()], predictor, overwrite=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["review.json", "review.xml"]


def test_an_article_reviewed_twice_counts_once(predictor: Predictor, tmp_path: Path) -> None:
    """As when two rounds of review pick the same one; only if they contradict each other someone has to decide."""
    for name in ("first.csv", "second.csv"):
        write_review(tmp_path / name, [made_up("7", "Judul", "Isi")], predictor)
        rows = sheet(tmp_path / name)
        rows[1][1] = "ev"
        save(tmp_path / name, rows)
    said: list[str] = []
    assert read_corpus([tmp_path / "first.csv", tmp_path / "second.csv"], SECTORS, said.append).ids == ["7"]
    assert said == [f"{tmp_path / 'second.csv'}: 1 of 1 articles left out: 1 there before"]
    rows[1][1] = "none"
    save(tmp_path / "second.csv", rows)
    with pytest.raises(CorpusError, match=r"second\.csv:2: ev: found level 0 for the very text of .*first\.csv:2"):
        read_corpus([tmp_path / "first.csv", tmp_path / "second.csv"], SECTORS)
    rows[1][4] = "Isi lain"
    save(tmp_path / "second.csv", rows)
    with pytest.raises(CorpusError, match=r'second\.csv:2: id: found "7", which .*first\.csv:2 has'):
        read_corpus([tmp_path / "first.csv", tmp_path / "second.csv"], SECTORS)


# The circle

#: Who and what each story of a drifted source is about: invented names, and a jargon that no other source uses.
STORIES = (
    (("automotive",), ("Brumaxa Gardenza Hokurindo", "rodempat karbodi gerobensin tunggangan lajumesin")),
    (("automotive",), ("Lastarindo Vexmoto Tunggalcakra", "rodadua jambulan mototron knalpoten lajumesin")),
    (("ev", "automotive"), ("Zelvora Tuanixa Wirtana", "setrumobil selpadat colokcepat batubatre rodempat")),
    (("ev", "automotive"), ("Kelviona Ampergo Strumindo", "setrumotor tukarbatre colokcepat dayapulang rodadua")),
    (("agro",), ("Tanindah Sawikara Bulirmas", "petakan bulirpadi benihan panenraya lumbungan")),
    (("agro",), ("Tambakindo Minajaya Segarlaut", "kerambaan benurwindu pakanapung asinan lumbungan")),
    (("chemicals",), ("Polikrafa Resinova Asetindo", "plastomera cairolah katalisan pelarutan reaktoran")),
    (("chemicals",), ("Klorindo Solventra Cetakimia", "asaman kaustikan pelarutan tangkikimia reaktoran")),
    ((), ("Persigala Elangputra Harimauraya", "golindah bekhanda kipermuda laganan tribunan")),
    ((), ("Sastiana Randupati Melodira", "sinetronan lagubaru panggungan konseran filmlayar")),
    ((), ("Fraksimuda Partasatu Koalindo", "kotaksuara kampanyean kursidewan dapilan bilikan")),
    ((), ("Bankarta Danasari Kreditama", "sahaman kuponobligasi tabunganku kliringan imbalan")),
    ((), ("Kliniksari Sehatindo Medikara", "vaksinan rawatinap demaman gizianak posyanduan")),
    ((), ("Polreskota Satreskrima Jaksara", "curanmoran garispolisi sidangan barangbukti borgolan")),
)
SHARES = (2, 2, 2, 2, 3, 3, 2, 2, 22, 16, 14, 12, 10, 8)  # of the stories, in per cent
PLACES = ("Bandar Kencana", "Lembah Asri", "Kota Mentari", "Teluk Permata", "Bukit Sanjaya", "Muara Indah")
TITLES = ("{who} Siapkan {what} di {where}", "{what} dari {who} Kian Diminati", "{where} Sambut {what}")
SENTENCES = (
    "{who} menambah {what} dan {more} di {where} tahun ini.",
    "Menurut juru bicara {who}, {what} akan hadir pada bulan depan.",
    "Warga {where} menyambut {what} dengan antusias, kata pengamat.",
    "Pada kesempatan itu {who} juga memperkenalkan {more} kepada awak media.",
    "Jumlah {what} di {where} naik dibandingkan dengan tahun lalu.",
    "Pemerintah kota {where} meminta {who} menjaga mutu {more}.",
    "Namun {what} belum banyak dikenal di luar {where}.",
    "Acara tersebut dihadiri sejumlah tamu undangan dan pejabat setempat.",
    "Hingga berita ini diturunkan, belum ada tanggapan dari pihak lain.",
    "Kegiatan serupa akan digelar lagi pada akhir pekan mendatang.",
)


def source(n: int, seed: int) -> list[tuple[tuple[str, ...], str, str]]:
    """Articles of the drifted source: sectors, title, text. Nothing but its own words tells what they are about."""
    draw = random.Random(seed)
    rows = []
    for sectors, (who, what) in draw.choices(STORIES, SHARES, k=n):
        body = draw.choices(SENTENCES, k=draw.randint(6, 12))
        title, *filled = [
            sentence.format(
                who=draw.choice(who.split()),
                what=draw.choice(what.split()),
                more=draw.choice(what.split()),
                where=draw.choice(PLACES),
            )
            for sentence in [draw.choice(TITLES), *body]
        ]
        rows.append((sectors, title, " ".join(filled)))
    return rows


def score(predictor: Predictor, rows: Sequence[tuple[tuple[str, ...], str, str]]) -> tuple[float, float]:
    """Macro average precision and F1."""
    levels = np.array([[2.0 if sector in row[0] else 0.0 for sector in predictor.sectors] for row in rows])
    labels = predictor.label(string_array([row[2] for row in rows]), string_array([row[1] for row in rows]))
    metrics = evaluate(levels, labels.predicted, labels.probabilities, predictor.sectors).metrics()
    return metrics["ap"], metrics["full"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "json"])
def test_the_circle(corpus: Corpus, sectors: tuple[Sector, ...], tmp_path: Path, form: str) -> None:
    """Label, pick, annotate, train again: better on articles of that source that nobody has labelled."""
    configuration = replace(Configuration(), bigram_min_df=None)

    def trained_with(*paths: Path) -> Predictor:
        files = [read_corpus([path], SECTORS) for path in paths]
        parts = [corpus, *files]
        joined = Corpus(
            ids=[id for part in parts for id in part.ids],
            titles=[title for part in parts for title in part.titles],
            texts=[text for part in parts for text in part.texts],
            levels=np.vstack([part.levels for part in parts]),
            sectors=SECTORS,
            places=[place for part in parts for place in part.places],
            styles=[style for part in parts for style in part.styles],
        )
        return Predictor(train(deduplicate(joined)[0], sectors, configuration, FEW).model)

    before = trained_with()
    pool, held_out = source(800, seed=1), source(600, seed=2)
    oracle = {f"a{number}": row[0] for number, row in enumerate(pool, start=1)}
    articles = labelled(before, [row[2] for row in pool], [row[1] for row in pool])

    picked = pick(articles, before, 50)
    review = tmp_path / f"review.{form}"
    write_review(review, picked, before)
    annotate(review, oracle)
    after = trained_with(review)

    at_random = random.Random(0).sample(articles, 50)
    drawn = tmp_path / f"drawn.{form}"
    write_review(drawn, at_random, before)
    annotate(drawn, oracle)
    instead = trained_with(drawn)

    (ap, f1), (ap_before, f1_before), (ap_random, f1_random) = (score(p, held_out) for p in (after, before, instead))
    print(f"ap {ap_before:.3f} -> {ap:.3f}, at random {ap_random:.3f}; F1 {f1_before:.3f} -> {f1:.3f}, {f1_random:.3f}")
    assert ap > ap_before + 0.3
    assert f1 > f1_before + 0.3
    assert ap > ap_random + 0.1
    assert f1 > f1_random + 0.1


def annotate(path: Path, oracle: dict[str, tuple[str, ...]]) -> None:
    """What a reviewer does with the file, who knows the answers; every tenth article stays as it was."""
    if path.suffix == ".csv":
        rows = sheet(path)
        for number, row in enumerate(rows[1:]):
            if number % 10 != 9:
                row[1] = "|".join(oracle[row[0]]) or "none"
        save(path, rows, ";")
        return
    tasks = json.loads(path.read_text(encoding="utf-8"))
    for number, made in enumerate(tasks):
        result = made["predictions"][0]["result"][0]
        choices = list(oracle[made["data"]["article_id"]]) or ["none"]
        given_annotation = {
            "completed_by": 1,
            "was_cancelled": False,
            "result": [result | {"value": {"choices": choices}}],
        }
        made["annotations"] = [given_annotation] if number % 10 != 9 else []
    path.write_text(json.dumps(tasks), encoding="utf-8")
