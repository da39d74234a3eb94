"""Where structured personal data stands in a text: e-mail, phone, card, IBAN, US SSN, IP address, URL.

Each pattern finds candidates generously and each check then says how sure it is, from 0 (not at all) to 1 (a checksum
fits). Every repetition is bounded, so that no text takes long. These take the place of presidio's own recognizers for
the seven types: those know few countries' phones, want upper case in an IBAN, and look up domain endings on the
network.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from preceptor.feedback.hygiene.pii.checks import IBAN_LENGTHS, is_card, is_iban, is_ip, is_ssn

Check = Callable[[re.Match[str]], tuple[int, int, float] | None]
CONTEXT_CHARACTERS = 50  # before a candidate, in which a word may speak for it
# Two-letter endings are countries; of the longer ones these are the common. "file.py" and "node.js" are no addresses,
# so countries count only behind a scheme, "www." or a second level as in "co.uk".
_ENDINGS = "com|org|net|edu|gov|mil|int|info|biz|name|online|site|shop|app|dev|blog|tech|cloud|xyz"
_SECOND = "(?:com?|ac|org|net|gov|edu)"


@dataclass(frozen=True)
class Pattern:
    """A type of personal data: the candidates, and the check that gives start, end and certainty, or None."""

    type: str
    candidates: re.Pattern[str]
    check: Check

    def find(self, text: str) -> Iterator[tuple[int, int, float]]:
        """Start, end and certainty of each."""
        for candidate in self.candidates.finditer(text):
            found = self.check(candidate)
            if found is not None:
                yield found


def _before(found: re.Match[str]) -> str:
    return found.string[max(0, found.start() - CONTEXT_CHARACTERS) : found.start()].lower()


# e-mail and URL ----------------------------------------------------------------------------------


def _email(found: re.Match[str]) -> tuple[int, int, float] | None:
    return None if ".." in found[0] else (*found.span(), 1.0)


def _url(found: re.Match[str]) -> tuple[int, int, float] | None:
    text = found[0].rstrip(".,;:!?'\"*_")
    for opening, closing in ("()", "[]"):  # a bracket that is closed but not opened belongs to the sentence
        while text.endswith(closing) and text.count(closing) > text.count(opening):
            text = text[:-1].rstrip(".,;:!?'\"*_")
    return found.start(), found.start() + len(text), 0.9


# numbers with a checksum -------------------------------------------------------------------------


def _card(found: re.Match[str]) -> tuple[int, int, float] | None:
    return (*found.span(), 1.0) if is_card(re.sub(r"\D", "", found[0])) else None


def _iban(found: re.Match[str]) -> tuple[int, int, float] | None:
    """Letters and digits, single spaces or hyphens between, as many as the country's IBAN has."""
    text, wanted = found.string, IBAN_LENGTHS.get(found[0][:2].upper(), 0)
    signs, position = "", found.start()
    while len(signs) < wanted and position < len(text):
        sign = text[position]
        if sign.isascii() and sign.isalnum():
            signs += sign
        elif sign not in " -" or not text[position - 1].isalnum():
            return None
        position += 1
    ends = not text[position : position + 1].isalnum()
    return (found.start(), position, 1.0) if wanted and ends and is_iban(signs) else None


def _ssn(found: re.Match[str]) -> tuple[int, int, float] | None:
    area, separator, group, serial = found.groups()
    if not is_ssn(area, group, serial):
        return None
    spoken_of = re.search(r"social security|\bssns?\b|\bss ?#", _before(found)) is not None
    if separator == "-":
        return (*found.span(), 0.85)
    return (*found.span(), 0.8) if spoken_of else None


def _ip(found: re.Match[str]) -> tuple[int, int, float] | None:
    if re.search(r"(?:version|release|\bv\.?|section|chapter)\s*$", _before(found)):
        return None
    text = found[0]
    if ":" in text and len(re.findall(r"[0-9A-Fa-f]+", text)) < 3:  # "a::b" is how programs write names
        return None
    return (*found.span(), 0.95) if is_ip(text) else None


# phone numbers -----------------------------------------------------------------------------------

_CALL = re.compile(
    r"phone|\btel\b|\btel[.:]|\bcall|\bmobil|\bcell|\bfax|\bdial|\bcontact|\breach|whats ?app|\bsms\b|"
    r"\btext me|\bring me|\bmessages? to\b|\banswering at\b|telefon|t[ée]l[ée]phone|tel[ée]fono|\bhandy|"
    r"\u7535\u8bdd|\u624b\u673a|\u96fb\u8a71"
)
_OTHER_NUMBER = re.compile(
    r"(?:order|invoice|ticket|case|isbn|serial|account|licen[sc]e|passport|zip|postal|code|\bid)\W{1,3}(?:\w+\W){0,2}$"
)
_DATE = re.compile(
    r"(?<!\d)(?:(?:1[89]|20)\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:[0-2]?\d|3[01])"
    r"|\d{1,2}([-/.])\d{1,2}\1(?:1[89]|20)\d\d)(?!\d)"
)
_SHORT_DATE = re.compile(r"\d{1,2}([-/. ])\d{1,2}\1\d\d")
_BRACKETS = re.compile(r"[^()]*(?:\(\d{1,5}\)[^()]*)?")  # none, or the area code in a pair
_YEARS = re.compile(r"(?:1[0-9]|20)\d\d ?[-/ ] ?(?:(?:1[0-9]|20)\d\d|\d\d)")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:[ .]\d{3})+")
# Digits in each half of a number in two groups. Others, as in "17151 2450 Crown St", are mostly no phones.
_HALVES = {(3, 4), (4, 4), (4, 5), (4, 6), (4, 7), (5, 5), (5, 6), (3, 6), (3, 7), (2, 7), (2, 8)}


def _phone(found: re.Match[str]) -> tuple[int, int, float] | None:
    """A number as people write those that they call.

    With a country's code it is one. In groups it is one unless it reads as a date, years, thousands, the beginning of
    an address or another sort of number. A word before it that speaks of calling outweighs that; a bare number needs
    one.
    """
    number, before = found["number"], _before(found)
    groups = re.findall(r"\d+", number)
    digits = sum(map(len, groups))
    called = _CALL.search(before) is not None
    if [len(group) for group in groups] == [3, 2, 4] and "-" in number:  # a US SSN, or made up to look like one
        return None
    if number.startswith(("+", "00")) and 8 <= digits <= 17:
        return (*found.span(), 0.8)
    if not 7 <= digits <= 13 or max(map(len, groups)) > 12 or len(groups) > 6 or not _BRACKETS.fullmatch(number):
        return None
    if _DATE.search(number) or _SHORT_DATE.fullmatch(number) or _YEARS.fullmatch(number):
        return None
    if min(map(len, groups[1:]), default=2) < 2 or number.count("/") > 1:
        return None
    if called:
        return (*found.span(), 0.7)
    if len(groups) == 1 or _THOUSANDS.fullmatch(number) or max(map(len, groups)) > 8 or _OTHER_NUMBER.search(before):
        return None
    if len(groups) == 2 and ("(" not in number or "." in number):
        address = re.match(r" [^\W\d_]", found.string[found.end() : found.end() + 2])
        if address or (len(groups[0]), len(groups[1])) not in _HALVES:
            return None
    return (*found.span(), 0.6)


PATTERNS = (
    Pattern(
        "EMAIL_ADDRESS",
        re.compile(r"(?<![\w.+%-])\w[\w.+%-]{0,63}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w-])"),
        _email,
    ),
    Pattern(
        "URL",
        re.compile(
            r"(?<![\w@])(?:(?:https?|ftp)://[^\s<>\"{}|\\^`]{2,2000}"
            r"|www\.[\w-]{1,63}\.[^\s<>\"{}|\\^`]{2,2000}"
            rf"|(?:[^\W_](?:[\w-]{{0,61}}[^\W_])?\.){{1,5}}(?:{_ENDINGS}|{_SECOND}\.[a-z]{{2}})(?![\w@-])(?:[:/?#][^\s<>\"{{}}|\\^`]{{0,2000}})?)",
            re.IGNORECASE,
        ),
        _url,
    ),
    Pattern("CREDIT_CARD", re.compile(r"(?<![\w.-])\d(?:[ -]?\d){11,18}(?![\w-]|[.,]\d)"), _card),
    Pattern("IBAN_CODE", re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9])"), _iban),
    Pattern("US_SSN", re.compile(r"(?<![\w.-])(\d{3})([- ]?)(\d{2})\2(\d{4})(?![\w-]|[.,]\d)"), _ssn),
    Pattern(
        "IP_ADDRESS",
        re.compile(
            r"(?<![\w.:])(?:(?:\d{1,3}\.){3}\d{1,3}(?![\w:]|\.\d)|(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?![\w:]))"
        ),
        _ip,
    ),
    Pattern(
        "PHONE_NUMBER",
        re.compile(
            r"(?<![\w.@#$\u20ac\u00a3/+-])(?<!\d[ :,])(?P<number>(?:\+ ?|\()?\d(?:[ ./()-]{0,3}\d){5,16})"
            r"(?: ?(?:x|ext\.?|#) ?\d{1,6})?(?![\w@%]|[-.,:/]\d)",
            re.IGNORECASE,
        ),
        _phone,
    ),
)
