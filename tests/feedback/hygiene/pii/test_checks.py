"""Checksums and ranges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.feedback.hygiene.pii.checks import IBAN_LENGTHS, is_card, is_iban, is_ip, is_ssn, luhn


def with_check_digit(digits: str) -> str:
    return next(digits + check for check in "0123456789" if luhn(digits + check))


def iban(country: str, rest: str) -> str:
    number = int("".join(str(int(sign, 36)) for sign in f"{rest}{country}00"))
    return f"{country}{98 - number % 97:02d}{rest}"


@given(st.from_regex(r"[0-9]{11,18}", fullmatch=True), st.data())
def test_one_wrong_digit_is_seen(digits: str, data: st.DataObject) -> None:
    good = with_check_digit(digits)
    at = data.draw(st.integers(0, len(good) - 1))
    wrong = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != good[at]]))
    assert luhn(good)
    assert not luhn(good[:at] + wrong + good[at + 1 :])


@given(st.sampled_from(sorted(IBAN_LENGTHS)), st.data())
def test_an_iban_has_its_countrys_length_and_leaves_one(country: str, data: st.DataObject) -> None:
    size = IBAN_LENGTHS[country] - 4
    rest = data.draw(st.from_regex(rf"[0-9A-Z]{{{size}}}", fullmatch=True))
    good = iban(country, rest)
    assert is_iban(good)
    assert is_iban(good.lower())
    assert not is_iban(good + "0")
    at = data.draw(st.integers(4, len(good) - 1))
    others = "0123456789" if good[at].isdigit() else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    wrong = data.draw(st.sampled_from([sign for sign in others if sign != good[at]]))
    assert not is_iban(good[:at] + wrong + good[at + 1 :])


@pytest.mark.parametrize(
    "number", ["4111111111111111", "378282246310005", "5555555555554444", "3530111333300000", "6011111111111117"]
)
def test_the_card_numbers_that_are_printed_in_handbooks_are_cards(number: str) -> None:
    assert is_card(number)


@pytest.mark.parametrize("number", ["4111111111111112", "0000000000000000", "1234567890123452", "41111111111111"])
def test_other_numbers_are_no_cards(number: str) -> None:
    assert not is_card(number)


def test_ranges() -> None:
    assert is_ssn("123", "45", "6789")
    assert not any(is_ssn(*parts) for parts in [("000", "45", "6789"), ("666", "45", "6789"), ("900", "45", "6789")])
    assert not any(is_ssn(*parts) for parts in [("123", "00", "6789"), ("123", "45", "0000")])
    assert is_ip("93.184.216.34")
    assert is_ip("2001:db8::1")
    assert not any(map(is_ip, ["256.1.1.1", "127.0.0.1", "::", "1.2.3"]))
