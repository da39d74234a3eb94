"""What tells a number that means somebody from any other number: checksums, ranges, lengths."""

import ipaddress
import re

# The letters and digits of an IBAN, by country (SWIFT's registry of IBAN formats, ISO 13616).
IBAN_LENGTHS = {
    "AD": 24,
    "AE": 23,
    "AL": 28,
    "AT": 20,
    "AZ": 28,
    "BA": 20,
    "BE": 16,
    "BG": 22,
    "BH": 22,
    "BI": 27,
    "BR": 29,
    "BY": 28,
    "CH": 21,
    "CR": 22,
    "CY": 28,
    "CZ": 24,
    "DE": 22,
    "DJ": 27,
    "DK": 18,
    "DO": 28,
    "EE": 20,
    "EG": 29,
    "ES": 24,
    "FI": 18,
    "FK": 18,
    "FO": 18,
    "FR": 27,
    "GB": 22,
    "GE": 22,
    "GI": 23,
    "GL": 18,
    "GR": 27,
    "GT": 28,
    "HN": 28,
    "HR": 21,
    "HU": 28,
    "IE": 22,
    "IL": 23,
    "IQ": 23,
    "IS": 26,
    "IT": 27,
    "JO": 30,
    "KW": 30,
    "KZ": 20,
    "LB": 28,
    "LC": 32,
    "LI": 21,
    "LT": 20,
    "LU": 20,
    "LV": 21,
    "LY": 25,
    "MC": 27,
    "MD": 24,
    "ME": 22,
    "MK": 19,
    "MN": 20,
    "MR": 27,
    "MT": 31,
    "MU": 30,
    "NI": 28,
    "NL": 18,
    "NO": 15,
    "OM": 23,
    "PK": 24,
    "PL": 28,
    "PS": 29,
    "PT": 25,
    "QA": 29,
    "RO": 24,
    "RS": 22,
    "RU": 33,
    "SA": 24,
    "SC": 31,
    "SD": 18,
    "SE": 24,
    "SI": 19,
    "SK": 24,
    "SM": 27,
    "SO": 23,
    "ST": 25,
    "SV": 28,
    "TL": 23,
    "TN": 24,
    "TR": 26,
    "UA": 29,
    "VA": 22,
    "VG": 24,
    "XK": 20,
    "YE": 30,
}
# First digits and lengths of the cards in use (ISO/IEC 7812). Maestro's lengths are free within the standard's.
_CARDS = (
    (re.compile(r"4"), (13, 16, 19)),  # Visa
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),  # Mastercard
    (re.compile(r"3[47]"), (15,)),  # American Express
    (re.compile(r"30[0-5]|3[689]"), (14, 16)),  # Diners Club
    (re.compile(r"6011|64[4-9]|65|62|81"), (16, 17, 18, 19)),  # Discover, UnionPay
    (re.compile(r"35"), (16, 17, 18, 19)),  # JCB, which has 3528 to 3589
    (re.compile(r"1800|2131"), (15,)),  # JCB of old
    (re.compile(r"50|5[6-8]|6(0[1-9]|3|7)|0604"), tuple(range(12, 20))),  # Maestro
)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if index % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_card(digits: str) -> bool:
    """Whether digits are a card's number: an issuer's first digits, a length of its, the check digit."""
    known = any(begins.match(digits) and len(digits) in lengths for begins, lengths in _CARDS)
    return known and len(set(digits)) > 1 and luhn(digits)


def is_iban(letters: str) -> bool:
    """Whether letters and digits without spaces are an IBAN: the country's length, and 1 modulo 97 (ISO 7064)."""
    letters = letters.upper()
    if len(letters) != IBAN_LENGTHS.get(letters[:2]):
        return False
    moved = letters[4:] + letters[:4]
    return int("".join(str(int(sign, 36)) for sign in moved)) % 97 == 1


def is_ssn(area: str, group: str, serial: str) -> bool:
    """Whether a US social security number of these parts can have been given out."""
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_ip(text: str) -> bool:
    """Whether a text is an address of IPv4 or IPv6 that can be somebody's."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_loopback)
