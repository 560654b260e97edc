"""Values that only the notifier may read: sealed with its public key, opened with its private one (NaCl sealed boxes)."""

import base64
import binascii
from typing import Annotated, Any

import msgspec
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError


class CannotOpen(ValueError):
    """The sealed text was made for another key, was changed on the way, or is no sealed text at all."""


def new_keys() -> tuple[str, str]:
    """A fresh pair (public key, private key), both as base64 text."""
    private = PrivateKey.generate()
    return _text(bytes(private.public_key)), _text(bytes(private))


def seal(public_key: str, value: dict[str, Any]) -> str:
    """The value as base64 text that only the holder of the private key can read. Two seals of one value differ."""
    return _text(SealedBox(PublicKey(_key(public_key))).encrypt(msgspec.json.encode(value)))


def open_sealed(private_key: str, text: str) -> dict[str, Any]:
    """The value inside; raises CannotOpen, which never carries any of it."""
    try:
        plain = SealedBox(PrivateKey(_key(private_key))).decrypt(base64.b64decode(text, validate=True))
    except (CryptoError, binascii.Error, ValueError):
        raise CannotOpen("This value was sealed for another key, or was changed") from None
    return msgspec.json.decode(plain, type=dict[str, Any])


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("A sealing key is 32 bytes written as base64") from None
    if len(key) != 32:
        raise ValueError("A sealing key is 32 bytes written as base64")
    return key


def _checked(text: str) -> str:
    try:
        _key(text)
    except ValueError as error:
        raise PydanticCustomError("key", str(error)) from None
    return text


Key = Annotated[str, AfterValidator(_checked)]
"""Of either kind, as a setting."""


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
