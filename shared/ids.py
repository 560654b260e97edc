"""Identifiers: UUIDv7, so that ids made later sort later and index pages stay warm."""

import os
import time
import uuid


def new() -> str:
    """A new UUIDv7 (RFC 9562) as text: 48 bits of milliseconds, then random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def derived(*parts: object) -> str:
    """The same id for the same parts, for records whose identity is decided by what they are about."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "\x1f".join(map(str, parts))))
