"""Encodings: what is certain is read, a guess is asked about, and nothing garbled is ever kept."""

from __future__ import annotations

import codecs

import pytest

from imports.importing import Importing
from traitbase.domain.errors import InvalidInput

TEXT = "distinct_id;Straße\r\nzoë;Ünter den Linden №1 → 😀\r\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
    ],
    ids=["utf-8", "utf-8 mark", "utf-16-le mark", "utf-16-be mark", "utf-16-le", "utf-16-be", "utf-32 mark"],
)
def test_it_reads_unicode_in_any_form(importing, content):
    assert importing.run(content).applied == 1
    assert importing.properties("zoë") == {"Straße": "Ünter den Linden №1 → 😀"}


GERMAN = ("distinct_id,Straße\n" + "".join(f"u{n},Größe Äpfel Königsstraße Müller\n" for n in range(50))).encode(
    "cp1252"
)


def test_it_names_its_guess_and_stores_nothing(importing):
    with pytest.raises(
        InvalidInput, match=r"file.csv is not valid utf-8 \(at offset 16\); it may be cp1252, and then says: '.*Größe"
    ):
        importing.run(GERMAN)
    assert importing.kinds() == {}


@pytest.mark.parametrize(
    ("lines", "encoding"),
    [
        ("Köln São", "cp1252"),
        ("Müller José François Björk Guðmundsdóttir € 5 l’été", "cp1252"),
        ("Müller", "cp1252"),
        ("Renée Orléans Besançon", "cp1252"),
        ("Привет, как дела? Москва Санкт-Петербург", "cp1251"),
        ("今日は良い天気ですね。東京都", "shift_jis"),
    ],
)
def test_it_does_not_take_umlauts_for_another_script(importing, lines, encoding):
    content = "distinct_id,text\n" + "".join(f"u{number},{word}\n" for number, word in enumerate(lines.split()))
    asked = []
    with pytest.raises(InvalidInput):
        importing.run(content.encode(encoding), ask=asked.append)
    assert (asked[0].encoding == "cp1252") == (encoding == "cp1252")
    if encoding == "cp1252":
        assert lines.split()[0] in asked[0].sample


def test_it_reads_the_encoding_it_is_told(importing):
    assert importing.run(GERMAN, encoding="cp1252").applied == 50
    assert importing.properties("u7") == {"Straße": "Größe Äpfel Königsstraße Müller"}


def test_it_notices_bad_bytes_at_the_very_end(importing):
    content = "distinct_id,name\n" + "".join(f"u{n},plain\n" for n in range(200_000)) + "zoe,Zo"
    with pytest.raises(InvalidInput, match="is not valid utf-8"):
        importing.run(content.encode() + b"\xeb\n")
    assert importing.properties("u0") is None


@pytest.mark.parametrize("answer", [True, False])
def test_it_asks_whether_the_guess_is_right(importing, answer):
    asked = []

    def ask(guess):
        asked.append(guess)
        return answer

    if answer:
        assert importing.run(GERMAN, ask=ask).applied == 50
    else:
        with pytest.raises(InvalidInput):
            importing.run(GERMAN, ask=ask)
    assert "Größe" in asked[0].sample


@pytest.mark.parametrize("name", ["klingon", "base64", "rot13", "a\0b"])
def test_it_refuses_an_encoding_that_is_none(importing, name):
    with pytest.raises(InvalidInput, match="--encoding"):
        importing.plan(b"distinct_id,a\n", encoding=name)


def test_it_refuses_an_encoding_that_does_not_fit(importing):
    with pytest.raises(InvalidInput, match="is not ascii: the bytes at offset 16"):
        importing.plan(TEXT.encode(), encoding="ascii")


def test_it_refuses_endless_lines(tmp_path, monkeypatch):
    monkeypatch.setattr("traitbase.services.imports.texts.LINE_MAX_CHARACTERS", 1000)
    with pytest.raises(InvalidInput, match="line 1 is longer than 1,000 characters"):
        Importing(tmp_path).run("x" * 5000)
