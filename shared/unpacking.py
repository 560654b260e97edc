"""Compressed batches unpack within an allowance: 8 MiB from a publisher may hold gigabytes, and whoever dies of them meets them again.

The client library unpacks a batch whole, whatever it comes to; its functions for that are replaced here, for the whole process.
"""

from collections.abc import Callable
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Any

import cramjam
from aiokafka.errors import CorruptRecordException
from aiokafka.record import default_records, legacy_records
from aiokafka.record._crecords import default_records as compiled
from aiokafka.record._crecords import legacy_records as compiled_legacy

from shared.events import MAX_INGRESS_BYTES

MOST = 4 * MAX_INGRESS_BYTES  # bytes of one batch, and of what is taken at once
XERIAL, XERIAL_HEADER = b"\x82SNAPPY\x00", 16  # snappy of Java's clients: blocks with their lengths in front


class Allowance:
    """How many bytes batches may still unpack to, none once one of them came to more; a `Reader` renews it whenever it reads."""

    left = 0

    def renew(self) -> None:
        self.left = MOST


ALLOWANCE = Allowance()


def _bounded(unpack_into: Callable[[Any, Any], int]) -> Callable[[Any], bytes]:
    def unpack(packed: Any) -> bytes:
        room = mmap(-1, max(1, ALLOWANCE.left), MAP_PRIVATE | MAP_ANONYMOUS)  # takes memory for what is written alone
        ALLOWANCE.left = 0
        try:
            size = unpack_into(memoryview(packed), memoryview(room))
        except cramjam.DecompressionError as error:
            raise CorruptRecordException(f"it does not unpack into {len(room)} bytes: {error}") from None
        ALLOWANCE.left = len(room) - size
        return room[:size]

    return unpack


def _snappy(packed: memoryview, room: memoryview) -> int:
    if packed[: len(XERIAL)] != XERIAL:
        return int(cramjam.snappy.decompress_raw_into(packed, room))
    at, used = XERIAL_HEADER, 0
    while at < len(packed):
        block = at + 4
        at = block + int.from_bytes(packed[at:block])
        used += cramjam.snappy.decompress_raw_into(packed[block:at], room[used:])
    return used


for _module in (default_records, legacy_records, compiled, compiled_legacy):
    for _name, _into in (
        ("gzip_decode", cramjam.gzip.decompress_into),
        ("snappy_decode", _snappy),
        ("lz4_decode", cramjam.lz4.decompress_into),
        ("zstd_decode", cramjam.zstd.decompress_into),
    ):
        setattr(_module, _name, _bounded(_into))
