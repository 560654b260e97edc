"""E-mail addresses and telephone numbers as people type them and as they are compared."""

import re

LONGEST = 254
_EMAIL = re.compile(r"^[^@\s,;:<>()\[\]\"\\]+@[^@\s,;:<>()\[\]\"\\]+\.[^@\s.,;:<>()\[\]\"\\]+$")


def comparable(email: str) -> str:
    """One form of an e-mail address, so that `Paula@Kuvalis.example ` and `paula@kuvalis.example` are one address.

    Whatever `wrong_with` refuses is nobody's address: it stays as it is, but for its length.
    """
    text = email.strip()[: LONGEST + 1]
    return text.lower() if text.isascii() else text


def wrong_with(email: str) -> str:
    """What keeps a mail from being sent there, in words for the field and as far as the text tells; empty when nothing does."""
    text = email.strip()
    # What is compared is what is mailed: `straße.example` and `strasse.example` are two mailboxes that a wider comparison takes for one.
    if not text.isascii():
        return "Use letters from a to z, digits and signs. A domain with other letters has a form that begins with xn--"
    fine = len(text) <= LONGEST and text.isprintable() and ".." not in text and _EMAIL.match(text)
    return "" if fine else "Enter a complete e-mail, like name@company.com"


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
