"""Cleaning: what goes, what stays, and that nothing is slow or left to chance."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.corpus import Corpus
from features.clean import LONGEST_LINE, _kind, clean, clean_batch, clean_text
from features.strings import string_array
from features.tokens import split, split_batch

TITLE = "Harga Gabah Naik di Karawang"
OPENING = "Petani di Karawang menikmati harga gabah yang naik sejak awal bulan ini, kata pengurus kelompok tani."
ENDING = "Pedagang berharap pasokan dari daerah lain segera datang supaya harga di penggilingan tidak terus naik."

BOILERPLATE = [
    "Baca juga: Jadwal KRL Hari Ini",
    "BACA JUGA : Jadwal KRL Hari Ini",
    "**Baca juga: [Jadwal KRL Hari Ini](https://example.com/read/2025/jadwal-krl)**",
    "__Baca Juga__: Jadwal KRL Hari Ini",
    "- Simak juga Video: Jadwal KRL Hari Ini",
    "Lihat juga: Jadwal KRL Hari Ini",
    "Simak Video 'Antrean di Stasiun':",
    "Baca berita tanpa iklan. Gabung sekarang",
    "Baca: Jadwal KRL Hari Ini",
    "Next: Jadwal KRL Hari Ini",
    "Artikel terkait: Jadwal KRL Hari Ini",
    "Pilihan Editor: Jadwal KRL Hari Ini",
    "Editor : Sri W",
    "Penulis: Budi Santoso | Editor: Sri W",
    "(Sumber: Antara/Budi Santoso)",
    "Pewarta: Budi Santoso",
    "Oleh: Budi Santoso",
    "By Budi Santoso",
    "Laporan Wartawan Tribun, Budi Santoso",
    'author: "Budi Santoso"',
    'urlshort: "http://exm.pl/AbC"',
    "Foto: Budi Santoso/Antara",
    "FOTO: Budi Santoso",
    "Dok. Humas Pemprov",
    "Ilustrasi/Antara",
    "Kredit foto: Budi Santoso",
    "(Foto: Budi Santoso)",
    "COPYRIGHT © ANTARA 2025",
    "ADVERTISEMENT",
    "Iklan",
    "SCROLL TO CONTINUE WITH CONTENT",
    "Scroll untuk melanjutkan membaca",
    "Lanjutkan membaca",
    "Halaman selanjutnya",
    "Halaman",
    "Halaman 1 dari 3",
    "[img.2]",
    r"\[img.2\]",
    r"**\[video.1\]\**",
    "[Gambas:Video 20detik]",
    "[Gambas:Instagram]",
    "Beranda > Berita > Nasional",
    "Nasional",
    "Tags: gabah, beras, Karawang",
    "Bagikan artikel ini",
    "Share on Facebook",
    "Facebook Twitter WhatsApp",
    "Salin link",
    "Ikuti kami di Google News",
    "Dapatkan update berita pilihan setiap hari. Gabung grup Telegram.",
    "Download aplikasi berita kami sekarang",
    "Subscribe",
    "Berlangganan sekarang",
]

TAILS = [
    "Artikel Terkait",
    "Berita Terkini",
    "BERITA LAINNYA",
    "TERPOPULER",
    "Rekomendasi untuk Anda",
    "Most Popular",
    "You may also like",
    "Jangan Lewatkan",
    "Komentar",
]


def words(text: str) -> str:
    """The words of an article that cleaning leaves, numbers too, with single spaces."""
    tokens = split(clean(string_array([text])))
    return " ".join(tokens.distinct[number] for number in tokens.numbers)


def plain(*lines: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in " ".join(lines).lower()).split())


@pytest.mark.parametrize("line", BOILERPLATE + TAILS)
def test_boilerplate_on_a_line_of_its_own_goes(line: str) -> None:
    assert words("\n".join([TITLE, OPENING, line, ENDING, OPENING])) == plain(TITLE, OPENING, ENDING, OPENING)
    assert words("\n".join([line, TITLE, OPENING])) == plain(TITLE, OPENING)
    assert words("\r\n\r\n".join([TITLE, OPENING, f"  • {line}  "])) == plain(TITLE, OPENING)


@pytest.mark.parametrize(
    "line",
    [
        "Sumber dari kementerian mengatakan harga naik",
        "Foto udara memperlihatkan sawah yang menguning",
        "Baca label sebelum membeli",
        "Editor senior majalah itu membantah",
        "Berita itu dibantah pemerintah",
        "Kredit: Rp 5 triliun untuk petani",
        "Artikel 33 mengatur air dan tanah",
        "Unduh aplikasi PLN Mobile untuk mencari SPKLU",
        "Ikuti jejak petani muda",
        "Halaman rumah itu penuh kendaraan",
        "Nasional Demokrat menang",
        "Pilihan petani jatuh pada jagung",
        "Simak tips merawat aki",
        "Terpopuler di kalangan petani adalah jagung",
        "Komentar petani beragam",
        "Harga (foto lama dipakai lagi) beredar",
        "Video: ia tertawa",
        "Byline bukan nama mobil",
        "KONTAN.CO.ID - JAKARTA. Harga gabah naik",
    ],
)
def test_an_ordinary_line_stays(line: str) -> None:
    assert words("\n".join([TITLE, OPENING, line, ENDING])) == plain(TITLE, OPENING, line, ENDING)


@pytest.mark.parametrize("opening", ["Baca juga: ", "Foto: ", "Editor: ", "Sumber: "])
def test_a_long_paragraph_that_opens_like_boilerplate_stays(opening: str) -> None:
    paragraph = opening + ("harga gabah naik. " * LONGEST_LINE)
    kept = words("\n".join([TITLE, paragraph, OPENING]))
    assert kept.count("harga gabah naik") >= LONGEST_LINE - 1
    assert kept.endswith(plain(OPENING))
    short = opening + "x" * (LONGEST_LINE - len(opening) - 1)  # with its newline as long as may be
    assert words("\n".join([TITLE, short, OPENING])) == plain(TITLE, OPENING)


LINK = "baca juga: harga beras di pasar"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"harga naik. {LINK}\nlalu turun", "harga naik lalu turun"),
        (f"harga naik. {LINK}. lalu turun", "harga naik lalu turun"),
        (f"harga naik. {LINK}? lalu turun", "harga naik lalu turun"),
        (f"harga naik. {LINK} Rp2.500 sekilo. lalu turun", "harga naik lalu turun"),
        (f'"harga naik. {LINK}" katanya', "harga naik katanya"),
        (f"“harga naik. {LINK}” katanya", "harga naik katanya"),
        ('harga naik. baca juga: "harga beras di pasar" lalu turun', "harga naik lalu turun"),
        ("harga naik. baca juga : “harga beras” lalu turun", "harga naik lalu turun"),
        (f"harga naik ({LINK}) lalu" + " x" * 30, "harga naik" + " x" * 15),
        ("naik baca juga: " + " ".join(f"k{n}" for n in range(30)), "naik " + " ".join(f"k{n}" for n in range(20, 30))),
        ("naik baca juga " + " ".join(f"k{n}" for n in range(30)), "naik " + " ".join(f"k{n}" for n in range(20, 30))),
        (f"harga naik. {LINK} {LINK}. lalu turun", "harga naik lalu turun"),
        ("harga naik.Baca juga: harga beras. lalu turun", "harga naik lalu turun"),
        ("harga naiBaca juga: harga beras. lalu turun", "harga nai lalu turun"),
        ("ia membaca juga harga beras", "ia membaca juga harga beras"),
        ("ia baca jugaan harga beras", "ia baca jugaan harga beras"),
        ("naik **Baca juga: [Beras](https://example.com/a.b?c=d.e) lalu**. turun", "naik turun"),
        ("naik. baca juga", "naik"),
    ],
)
def test_a_glued_related_link_goes_to_the_end_of_line_sentence_quotation_or_twenty_words(text: str, left: str) -> None:
    assert words(f"{OPENING} {text}") == f"{plain(OPENING)} {left}"


@pytest.mark.parametrize("heading", TAILS)
def test_a_tail_cuts_the_rest_only_on_a_line_of_its_own_past_sixty_percent(heading: str) -> None:
    rest = "Wuling Buka Diler di Palu\nHarga Cabai Meroket"
    late = [TITLE, OPENING, ENDING, OPENING]
    assert words("\n".join([*late, heading, rest])) == plain(*late)
    assert words("\n".join([*late, f"# {heading}:", rest])) == plain(*late)
    early = [TITLE, heading, OPENING, ENDING, rest]
    assert words("\n".join(early)) == plain(TITLE, OPENING, ENDING, rest)
    inline = [*late, f"Bagian {heading} ada di bawah", rest]
    assert words("\n".join(inline)) == plain(*inline)


def test_a_tail_stays_within_its_document() -> None:
    page = "\n".join([TITLE, OPENING, ENDING, "Berita Terkini", "Harga Cabai Meroket"])
    cleaned = clean(string_array([page, TITLE + "\n" + OPENING]))
    assert cleaned[1].as_py() == clean_text(TITLE + "\n" + OPENING)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("harga <b>gabah</b> naik", "harga gabah naik"),
        ("harga<br>gabah<br/>naik", "harga gabah naik"),
        ("harga&nbsp;gabah &amp; beras &#8220;naik&#x201D;", "harga gabah beras naik"),
        ("R&D dan S&P naik; lalu P&G; turun", "r d dan s p naik lalu p g turun"),
        ("3 < 4 dan 5 > 2 & naik", "3 4 dan 5 2 naik"),
        ("harga <script>var a = '<b>';</script>naik<style>p {}</style><!-- iklan\nbaris --> lagi", "harga naik lagi"),
        ("<script> tanpa akhir", "tanpa akhir"),
        ("harga <!--[if !IE]><!--> gabah <!--<![endif]--> naik", "harga gabah naik"),
        ("harga <script>s='<!--'</script> gabah <!-- iklan --> naik", "harga gabah naik"),
        ("<!-- <script> --> harga <script>x()</script> naik", "harga naik"),
        ("<title><![CDATA[Harga gabah]]></title> naik<!-->.", "harga gabah naik"),
        (
            "pasar <rabu lesu,\n\ndan masih lama sesudah itu kata pedagang gabah laba >5 persen",
            "pasar rabu lesu dan masih lama sesudah itu kata pedagang gabah laba 5 persen",
        ),
        ("<?xml version='1.0'?>harga", "harga"),
        ('<a href="https://example.com/?a=b&c=d" class="x">harga</a> naik', "harga naik"),
        ("lihat https://example.com/a-b_c?d=e#f, harga naik", "lihat harga naik"),
        ("lihat (www.example.com/x) harga [di sini](http://example.com) naik", "lihat harga di sini naik"),
        ("![Sawah di Karawang](https://example.com/" + "x" * 5000 + ".jpg) naik", "sawah di karawang naik"),
        ("situs example.com naik", "situs example com naik"),
        ("panen di Karawang. (Foto: ANTARA/Budi) harga", "panen di karawang harga"),
        ("panen (dok. Kementan) dan [Gambas:Video 20detik] harga", "panen dan harga"),
        (r"\[img.3\]Harga naik", "harga naik"),
        ("panen (foto: tanpa akhir\nharga", "panen foto tanpa akhir harga"),
        ("“harga” – ‘naik’ • lagi…  €5", "harga naik lagi 5"),
        ("emisi CO₂ 5 m² dan mobil–mobil", "emisi co₂ 5 m² dan mobil mobil"),
        ("harga\tnaik\x00lagi\x0b\x1flalu\x7fturun", "harga naik lagi lalu turun"),
    ],
)
def test_markup_links_credits_and_symbols_go(text: str, left: str) -> None:
    assert words(f"{OPENING} {text}") == f"{plain(OPENING)} {left}"


def test_block_tags_end_lines_and_others_do_not() -> None:
    page = f"<html><h1>{TITLE}</h1><p>{OPENING} <i>Baca</i> label.</p><p>Baca <b>juga</b>: KRL</p><div>{ENDING}</div>"
    assert [" ".join(line.split()) for line in clean_text(page).split("\n") if line.strip()] == [
        TITLE.lower(),
        f"{OPENING} Baca label.".lower(),
        ENDING.lower(),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Baca juga: Harga Beras Naik",
        "Foto: Sawah\nEditor: Budi",
        "https://example.com/harga-beras",
        "Berita Terkini",
        "<p>Iklan</p>",
        "ADVERTISEMENT\n2025\n😂",
    ],
)
def test_cleaning_never_empties_an_article(text: str) -> None:
    assert any(map(str.isalpha, clean_text(text)))
    assert words(text).split()[0] in text.lower()
    assert clean(string_array([TITLE, text]))[1].as_py() == clean_text(text)


def test_documents_without_words_stay_without() -> None:
    assert clean(string_array(["", "\n", " ", None])).to_pylist() == ["\n", "\n\n", " \n", "\n"]


def test_empty_null_and_sliced_arrays() -> None:
    assert clean(string_array([])).to_pylist() == []
    assert clean(pa.array([], pa.string()), pa.array([], pa.string())).to_pylist() == []
    titles, texts = string_array([TITLE, None, "Judul", None]), string_array([OPENING, "Isi", None, None])
    both = clean(titles, texts).to_pylist()
    assert clean(titles.slice(1, 2), texts.slice(1, 2)).to_pylist() == both[1:3]
    assert clean(texts, titles).to_pylist() == [
        f"{TITLE}\n{OPENING}\n".lower(),
        "\nisi\n",
        "judul\n\n",
        "\n\n",
    ]


snippets = st.one_of(
    st.sampled_from(
        [*BOILERPLATE, *TAILS, TITLE, OPENING, ENDING, LINK, "<p>", "</p>", "<!--", "-->", "<script>", "&amp;"]
    ),
    st.sampled_from(["\n", "\r\n", " ", ". ", '"', "”", "(", "]", "https://", "www.", "(foto:", "[img.", "\\", "*"]),
    st.text(max_size=8),
)
articles = st.lists(snippets, max_size=12).map("".join)


@given(st.lists(articles, max_size=5))
def test_a_document_does_not_depend_on_its_neighbours(texts: list[str]) -> None:
    cleaned = clean(string_array(texts)).to_pylist()
    assert cleaned == [clean_text(text) for text in texts]
    assert clean(string_array(texts[::-1])).to_pylist() == cleaned[::-1]


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u65e5", "\U0001f600"])
@pytest.mark.parametrize("link", ["{0}www.contoh.id {1}", "baca juga: {0}{1}", "{1} baca juga: {0}"])
def test_no_character_is_cut_in_two(letter: str, link: str) -> None:
    """Not where the bytes end among which a rule looks for its end."""
    for before in range(4):
        text = link.format("x" * before + letter * 600, letter * 3)
        cleaned = clean_text(f"{OPENING}\n{text}\n{ENDING}")  # raises UnicodeDecodeError if it is
        assert cleaned.splitlines()[0] == OPENING.lower()
        assert set(cleaned.splitlines()[1]) <= {*"xbacjug: ", letter}


def test_a_line_that_came_before_is_judged_once() -> None:
    _kind.cache_clear()
    page = string_array([f"{TITLE}\n{OPENING}\nEditor: Sinta Rahayu\n{ENDING}"] * 3)
    first = clean(page)
    judged = _kind.cache_info().misses
    assert judged > 0
    assert clean(page).equals(first)
    assert _kind.cache_info().misses == judged


@given(st.lists(articles, max_size=5))
def test_a_batch_splits_as_its_documents_do(texts: list[str]) -> None:
    """Though it knows its line ends and hyphens from before what was cut out of it, and blanked."""
    batch = clean_batch(string_array(texts))
    assert batch.array().equals(clean(string_array(texts)))
    apart, together = split(batch.array()), split_batch(batch)
    assert together.distinct == apart.distinct
    for positions in ("numbers", "starts", "lengths", "offsets", "titles"):
        assert getattr(together, positions).tolist() == getattr(apart, positions).tolist()


def test_a_carriage_return_ends_a_line() -> None:
    batch = clean_batch(string_array(["Harga gabah\rPetani di Jawa panen.\rEditor: Budi\rLagi kata."]))
    assert batch.array().to_pylist()[0].split() == ["harga", "gabah", "petani", "di", "jawa", "panen.", "lagi", "kata."]
    assert split_batch(batch).titles.tolist() == [2]


@given(articles, articles)
def test_a_title_is_the_first_line(title: str, text: str) -> None:
    apart = clean(string_array([text]), string_array([title]))
    together = clean(string_array([f"{title}\n{text}"]))
    assert apart.equals(together)
    assert split(apart).titles == split(together).titles


@given(articles)
def test_a_document_ends_in_a_newline_and_keeps_a_letter(text: str) -> None:
    cleaned = clean_text(text)
    assert cleaned.endswith("\n")
    assert cleaned.isascii() is False or cleaned == cleaned.lower()
    assert not any(map(str.isalpha, text)) or any(map(str.isalpha, cleaned))


@pytest.mark.parametrize("neighbour", ["apa", "", "1 2 3", "\n\nbumi", "zzz " * 500 + "a", "zzz " * 500])
def test_what_is_left_of_a_document_does_not_depend_on_its_neighbours(neighbour: str) -> None:
    """Of a byline alone the name stays; the letters that count are its own."""
    texts = ["Editor: Budi", neighbour, "Editor: Sri\n" + "zzz " * 500 + "a", neighbour, "Editor: Budi"]
    assert clean(string_array(texts)).to_pylist() == [clean_text(text) for text in texts]
    assert "budi" in clean_text(texts[0])
    assert "sri" not in clean_text(texts[2])


def test_ordinary_written_articles_lose_nothing(bundled: Corpus) -> None:
    """Few of the bundled articles but the scraped ones have boilerplate; of the others every line stays."""
    written = bundled.select(number for number, style in enumerate(bundled.styles) if style != "scraped")
    articles = [article for article in written.articles() if "<" not in article and "&" not in article]
    whole = 0
    for article, cleaned in zip(articles, clean(string_array(articles)).to_pylist(), strict=True):
        cut = [
            before
            for before, after in zip(article.split("\n"), cleaned.split("\n"), strict=False)
            if before.strip() and not after.strip()
        ]
        assert all(len(line) < 150 for line in cut)
        whole += not cut
    assert whole > 0.95 * len(articles)


HOSTILE = {
    "one long word": ("a" * 5_000_000, 1),
    "related links": ("baca juga " * 200_000, 400_000),  # nothing else: stays uncleaned
    "related links on lines": ("baca juga: x\n" * 100_000, 300_000),
    "glued related links": ("baca juga" * 200_000, 200_001),
    "open brackets": ("<" * 1_000_000, 0),
    "open comments": ("<!--" * 100_000, 0),
    "scripts and comments": ("<script <!-- -->" * 100_000, 100_000),
    "open tags and entities": ("<a &amp; " * 100_000, 100_000),
    "ampersands": ("&" * 1_000_000, 0),
    "addresses": ("http://" * 200_000, 200_000),
    "one long address": ("kata http://" + "a" * 5_000_000, 1),
    "credits": ("(foto:" * 200_000, 200_000),
    "round brackets": ("(f" * 1_000_000, 1_000_000),
    "newlines": ("\n" * 1_000_000, 0),
    "tails": ("terpopuler\n" * 100_000, 100_000),
    "quotation marks": ("“" * 500_000, 0),
    "NULs": ("\x00" * 1_000_000, 0),
    "lone surrogates": ("\ud800" * 100_000, 0),
    "emoji": ("😂" * 500_000, 1),
    "hyphens": ("-" * 1_000_000, 0),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_settled(name: str) -> None:
    text, n_words = HOSTILE[name]
    tokens = split(clean(string_array([TITLE, text, TITLE])))
    sizes = (tokens.offsets[1:] - tokens.offsets[:-1]).tolist()
    assert sizes[0] == sizes[2] == len(TITLE.split())
    assert abs(sizes[1] - n_words) <= 0.5 * n_words
