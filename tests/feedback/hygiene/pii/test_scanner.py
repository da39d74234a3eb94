"""Personal data in texts: each type, what looks like it, and what is done with it."""

import socket
from pathlib import Path

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import InputError
from preceptor.feedback.hygiene.pii.scanner import Finding, Scanner, redact


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner()


def found(scanner: Scanner, text: str) -> list[tuple[str, str]]:
    return [(one.type, text[one.start : one.end]) for one in scanner.find(text)]


@pytest.mark.parametrize(
    ("kind", "before", "value", "after"),
    [
        ("EMAIL_ADDRESS", "mail ", "j.doe+x@mail.example.co.uk", "."),
        ("EMAIL_ADDRESS", "<", "zo\u00eb@example.org", ">"),
        ("PHONE_NUMBER", "", "+44 7700 900123", ""),
        ("PHONE_NUMBER", "call me on ", "(212) 555-0123", "!"),
        ("PHONE_NUMBER", "", "212-555-0123 x45", " at noon"),
        ("PHONE_NUMBER", "tel: ", "2125550123", ""),
        ("PHONE_NUMBER", "Mobil ", "0171 2345678", ""),
        ("PHONE_NUMBER", "\u6211\u7684\u7535\u8bdd\uff1a", "13800138000", "\u3002"),
        ("CREDIT_CARD", "card ", "4111 1111 1111 1111", ","),
        ("CREDIT_CARD", "", "378282246310005", " expired"),
        ("IBAN_CODE", "to ", "DE89 3704 0044 0532 0130 00", " please"),
        ("IBAN_CODE", "", "gb82west12345698765432", ""),
        ("US_SSN", "my number: ", "123-45-6789", ""),
        ("US_SSN", "social security number ", "123456789", ""),
        ("IP_ADDRESS", "host ", "93.184.216.34", " is down"),
        ("IP_ADDRESS", "", "2001:db8:85a3::8a2e:370:7334", ""),
        ("URL", "see ", "https://example.com/a_(b)?c=d", ")."),
        ("URL", "", "www.example.de", ", and"),
        ("URL", "at ", "example.co.uk/x", ""),
    ],
)
def test_each_type_is_found_whole(scanner: Scanner, kind: str, before: str, value: str, after: str) -> None:
    assert (kind, value) in found(scanner, before + value + after)


@pytest.mark.parametrize(
    "text",
    [
        "On 2024-05-17 and 17/05/2024, from 1998-2003 (1603-1868), at 12:30:45",
        "328 239 523 people, 1,234,567.89 dollars, pi is 3.14159265358979",
        "ISBN 978-3-16-148410-0, CAS 9000-59-3, version 10.0.19.41, order 1234567",
        "4111 1111 1111 1112 is no card and DE89 3704 0044 0532 0130 01 is no account",
        "000-12-3456 and 666-12-3456 are nobody's",
        "std::vector<int> a::b, main.py, node.js, e.g. this, a@b",
        "1 2 3 4 5 6 7 8 9, 2 + 2 = 4, 10-20-30",
        "The address is 17151 2450 Crown Street",
        "127.0.0.1 and 999.999.999.999",
    ],
)
def test_what_only_looks_like_it_is_left(scanner: Scanner, text: str) -> None:
    assert found(scanner, text) == []


def test_findings_do_not_overlap_and_the_surer_one_stays(scanner: Scanner) -> None:
    assert found(scanner, "write to ann@example.com") == [("EMAIL_ADDRESS", "ann@example.com")]
    assert found(scanner, "call 4111 1111 1111 1111") == [("CREDIT_CARD", "4111 1111 1111 1111")]


@given(st.text(st.sampled_from("0123456789 -.()+/@:abxAB\n"), max_size=60))
def test_findings_are_in_order_and_inside(scanner: Scanner, text: str) -> None:
    findings = scanner.find(text)
    reached = 0
    for one in findings:
        assert reached <= one.start < one.end <= len(text)
        reached = one.end
    length = len(text) + sum(len(f"<{one.type}>") - (one.end - one.start) for one in findings)
    assert len(redact(text, findings)) == length


def test_what_is_redacted_is_not_found_again(scanner: Scanner) -> None:
    text = "Call +1 650-636-4884, mail bob@example.com, pay DE89 3704 0044 0532 0130 00."
    cleaned = redact(text, scanner.find(text))
    assert cleaned == "Call <PHONE_NUMBER>, mail <EMAIL_ADDRESS>, pay <IBAN_CODE>."
    assert scanner.find(cleaned) == []


def test_long_texts_take_no_square_of_time(scanner: Scanner) -> None:
    for text in (
        "a" * 200_000,
        "1" * 200_000,
        "1 " * 100_000,
        "a.b" * 60_000,
        "a@" * 60_000,
        "::" * 60_000,
        "www." * 50_000,
    ):
        scanner.find(text)


def test_nothing_touches_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert found(Scanner(), "mail ann@example.com, http://example.com") != []


def test_a_spacy_model_adds_persons_and_places(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns(  # type: ignore[attr-defined]
        [
            {"label": "PERSON", "pattern": "Ada Lovelace"},
            {"label": "GPE", "pattern": "London"},
            {"label": "ORG", "pattern": "ACME"},
        ]
    )
    nlp.to_disk(tmp_path / "model")
    scanner = Scanner(str(tmp_path / "model"))
    wanted = [("PERSON", "Ada Lovelace"), ("LOCATION", "London"), ("EMAIL_ADDRESS", "ada@example.com")]
    assert found(scanner, "Ada Lovelace of London, at ACME: ada@example.com") == wanted


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no spaCy model can be loaded"):
        Scanner(str(tmp_path))


def test_patterns_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "recognizers:\n- name: staff\n  supported_entity: STAFF_ID\n  supported_language: en\n"
        "  patterns:\n  - {name: staff, regex: 'S-[0-9]{6}', score: 0.9}\n"
    )
    assert found(Scanner(recognizers=path), "I am S-123456") == [("STAFF_ID", "S-123456")]
    path.write_text("recognizers: [{name: x}]")
    with pytest.raises(InputError, match="no list of presidio's recognizers"):
        Scanner(recognizers=path)


def test_redact_keeps_what_is_between() -> None:
    assert redact("ab cd ef", [Finding("X", 0, 2, 1.0), Finding("Y", 6, 8, 1.0)]) == "<X> cd <Y>"
