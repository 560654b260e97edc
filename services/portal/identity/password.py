"""The password rule (EP-06) and how passwords and answers are kept: argon2id, always as slow for nobody as for somebody."""

import asyncio
import re
import unicodedata
from pathlib import Path
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 8, 72
REMEMBERED = 4
TOO_LONG = f"Use no more than {LONGEST} characters"
WORDS = f"Use {SHORTEST} to {LONGEST} characters, with a lower-case letter, an upper-case letter and a digit"
COMMON = frozenset((Path(__file__).parent / "common.txt").read_text().split())
_TYPED = 4 * LONGEST  # what composes to more than that is longer than LONGEST in any case: no character is written as more than four
_EXTRA = 5  # so many characters around a common word do not make it uncommon: a year and a sign
_LEET = str.maketrans("0134578@$!", "oleastbasi")
_hasher = PasswordHasher()
_NOBODY = _hasher.hash("nobody's password")


def problem(password: str, email: str = "") -> str | None:
    """What is wrong with a new password, in words for the field; none when it can be taken."""
    text = _same(password)
    if len(text) < SHORTEST:
        return f"Use at least {SHORTEST} characters"
    if len(text) > LONGEST:
        return TOO_LONG
    missing = [
        words
        for words, there in (
            ("a lower-case letter", any(each.islower() for each in text)),
            ("an upper-case letter", any(each.isupper() for each in text)),
            ("a digit", any(each.isdecimal() for each in text)),
        )
        if not there
    ]
    if missing:
        return f"Add {' and '.join([', '.join(missing[:-1]), missing[-1]] if missing[:-1] else missing)}"
    if is_common(text):
        return "This password is among the first that others try. Choose a less common one"
    if email and len(email.partition("@")[0]) >= SHORTEST - _EXTRA and _is_mostly(text.casefold(), email.partition("@")[0].casefold()):
        return "Choose a password that is not your e-mail address"
    return None


def is_common(password: str) -> bool:
    """Whether the password is a common one, or a common word dressed up with a few digits and signs."""
    text = password.casefold()
    bare = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", text)
    plain = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", text.translate(_LEET))
    if text in COMMON or text.translate(_LEET) in COMMON:
        return True
    return any(word in COMMON and len(text) - len(word) <= _EXTRA for word in (bare, plain))


def _is_mostly(text: str, word: str) -> bool:
    return word in text and len(text) - len(word) <= _EXTRA


async def hash_of(secret: str) -> str:
    """The argon2id hash to keep."""
    return await asyncio.to_thread(_hasher.hash, _same(secret))


async def fits(secret: str, kept: str | None) -> bool:
    """Whether the secret is the kept one. With nothing kept the answer is no, and takes as long."""
    right = await asyncio.to_thread(_verify, kept or _NOBODY, _same(secret))
    return right and kept is not None


async def fits_any(secret: str, kept: list[str]) -> bool:
    """Whether the secret is one of the newest kept ones."""
    return any([await fits(secret, each) for each in kept[:REMEMBERED]])


def plain_answer(answer: str) -> str:
    """An answer to a security question as it is compared: letters and digits, whatever the case and the spaces."""
    return re.sub(r"[\W_]+", "", _normal("NFKC", answer).casefold())


def _verify(kept: str, secret: str) -> bool:
    try:
        return _hasher.verify(kept, secret)
    except (VerificationError, InvalidHashError):
        return False


def _same(secret: str) -> str:
    # One keyboard composes é, another sends e and an accent: both are the same password.
    return _normal("NFC", secret)


def _normal(form: Literal["NFC", "NFKC"], text: str) -> str:
    """The text in one form of Unicode. Text that is too long for a secret stays as it is: a row of accents takes the square of its length."""
    return unicodedata.normalize(form, text) if len(text) <= _TYPED else text
