"""E-mail addresses and telephone numbers as people type them and as they are compared."""

import re
import unicodedata

LONGEST = 254
_EMAIL = re.compile(r"^[^@\s,;:<>()\[\]\"\\]+@[^@\s,;:<>()\[\]\"\\]+\.[^@\s.,;:<>()\[\]\"\\]+$")


def comparable(email: str) -> str:
    """One form of an e-mail address, so that `Paula@Kuvalis.example ` and `paula@kuvalis.example` are one address."""
    return unicodedata.normalize("NFKC", email).strip().casefold()


def is_email(email: str) -> bool:
    """Whether a mail can be sent there, as far as the text tells."""
    text = email.strip()
    return len(text) <= LONGEST and text.isprintable() and ".." not in text and bool(_EMAIL.match(text))


def us_phone(text: str) -> str | None:
    """`+15552556149` of any way to write ten digits, with or without the country's 1; none otherwise."""
    if not re.fullmatch(r"[\d\s().+\-‑]*", text):
        return None
    digits = re.sub(r"\D", "", text)
    digits = digits[1:] if len(digits) == 11 and digits.startswith("1") else digits
    return f"+1{digits}" if len(digits) == 10 and digits.isascii() else None


def show_phone(number: str) -> str:
    """`(555) 255-6149` of `+15552556149`; any other text as it is."""
    found = re.fullmatch(r"(?:\+?1)?[-. ]?\(?(\d{3})\)?[-. ]?(\d{3})[-. ]?(\d{4})", number)
    return f"({found[1]}) {found[2]}-{found[3]}" if found else number


def masked_phone(number: str) -> str:
    """`(•••) •••-6149`: enough for its owner."""
    return f"(•••) •••-{number[-4:]}"
