"""git's binary patches: base85 lines, zlib, literal and delta (gitformat-pack, "Deltified representation").

Invariants: nothing is inflated beyond the size that the patch states, and all stated sizes of one patch together
stay under a budget; a delta yields exactly the size that it states, or is malformed.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib

from lonelycat.changes.formats.patch_reader import PatchReader
from lonelycat.errors import InputError
from lonelycat.patterns import late_pattern

MARK = b"GIT binary patch"
_SIZE = late_pattern(rb"(literal|delta) ([0-9]{1,12})")
_LINE_BYTES = 52
_FOLLOWERS = (b"diff --git ", b"--- ", b"-- ", b"From ")
"""How a line may begin that follows the forward half and does not begin the reverse one."""
_ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_LENGTHS = {letter: index for index, letter in enumerate(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 1)}


class Budget:
    """How many bytes one patch may still unpack to."""

    def __init__(self, limit: int) -> None:
        self._limit = self._left = limit

    def take(self, size: int) -> None:
        """Count ``size`` bytes.

        Raises:
            InputError: ``PATCH_TOO_LARGE``.
        """
        self._left -= size
        if self._left < 0:
            raise InputError(
                "PATCH_TOO_LARGE",
                f"the patch unpacks to over {self._limit} bytes",
                "Propose the change by git range, which streams large files.",
            )


def read_binary(reader: PatchReader, budget: Budget) -> tuple[bool, bytes]:
    """Read what follows ``GIT binary patch``; the reverse half is read, checked and dropped.

    Returns:
        Whether the data is a delta, and the inflated data.

    Raises:
        InputError: ``PATCH_MALFORMED`` or ``PATCH_TOO_LARGE``.
    """
    reader.advance()
    forward = _read_half(reader, budget)
    if reader.line and not reader.line.startswith(_FOLLOWERS):
        _read_half(reader, budget)
    return forward


def _read_half(reader: PatchReader, budget: Budget) -> tuple[bool, bytes]:
    at = reader.number
    found = _SIZE.fullmatch(reader.line or b"")
    if found is None:
        raise reader.malformed("expected 'literal SIZE' or 'delta SIZE'")
    size = int(found[2])
    budget.take(size)
    reader.advance()
    packed: list[bytes] = []
    while reader.line:
        packed.append(_decode_line(reader, reader.line))
        reader.advance()
    if reader.line is None:
        raise reader.malformed("the patch ends in the middle of binary data")
    reader.advance()
    return found[1] == b"delta", _inflate(reader, b"".join(packed), size, at)


def _decode_line(reader: PatchReader, line: bytes) -> bytes:
    length = _LENGTHS.get(line[0], 0)
    if not length or len(line) - 1 != -(-length // 4) * 5:
        raise reader.malformed("a base85 line has the wrong length")
    try:
        return base64.b85decode(line[1:])[:length]
    except ValueError as error:
        raise reader.malformed("a base85 line has a character or value that base85 lacks") from error


def _inflate(reader: PatchReader, packed: bytes, size: int, at: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, size + 1)
        if len(data) <= size and not stream.eof:
            data += stream.flush()
    except zlib.error as error:
        raise reader.malformed("the compressed data is damaged", line=at) from error
    if len(data) != size or not stream.eof or stream.unused_data:
        raise reader.malformed("the compressed data does not have the stated size", line=at)
    return data


def encode_literal(data: bytes) -> bytes:
    """Return the ``literal`` half of a binary patch for ``data``, with its closing empty line."""
    packed = zlib.compress(data)
    whole = packed + b"\0" * (-len(packed) % 4)
    digits = bytearray(len(whole) // 4 * 5)
    words = struct.unpack(f">{len(whole) // 4}I", whole)
    for place, power in enumerate((85**4, 85**3, 85**2, 85, 1)):
        digits[place::5] = bytes([_ALPHABET[word // power % 85] for word in words])
    parts = [b"literal %d\n" % len(data)]
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    for start in range(0, len(packed), _LINE_BYTES):
        length = min(_LINE_BYTES, len(packed) - start)
        begin = start // 4 * 5
        parts.append(letters[length - 1 : length] + bytes(digits[begin : begin + -(-length // 4) * 5]) + b"\n")
    return b"".join(parts) + b"\n"


def apply_delta(delta: bytes, old: bytes, budget: Budget) -> bytes:
    """Return ``old`` with a pack delta applied.

    Raises:
        ValueError: the delta is damaged or was made against bytes of another size.
        InputError: ``PATCH_TOO_LARGE``.
    """
    old_size, index = _varint(delta, 0)
    new_size, index = _varint(delta, index)
    if old_size != len(old):
        raise ValueError("the delta was made against a file of another size")
    budget.take(new_size)
    out = bytearray()
    while index < len(delta):
        command = delta[index]
        index += 1
        if command & 0x80:
            offset, size, index = _copy_arguments(delta, command, index)
            piece = old[offset : offset + size]
        elif command:
            size = command
            piece = delta[index : index + size]
            index += size
        else:
            raise ValueError("the delta holds the reserved command 0")
        if len(piece) != size or len(out) + size > new_size:
            raise ValueError("the delta reaches outside its data")
        out += piece
    if len(out) != new_size:
        raise ValueError("the delta yields another size than it states")
    return bytes(out)


def _varint(delta: bytes, index: int) -> tuple[int, int]:
    value = shift = 0
    while index < len(delta) and shift < 63:
        byte = delta[index]
        index += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, index
    raise ValueError("the delta's header is damaged")


def _copy_arguments(delta: bytes, command: int, index: int) -> tuple[int, int, int]:
    value = 0
    for bit in range(7):
        if command >> bit & 1:
            if index >= len(delta):
                raise ValueError("the delta ends in the middle of a command")
            value |= delta[index] << (8 * bit)
            index += 1
    return value & 0xFFFFFFFF, value >> 32 or 0x10000, index


def blob_id(data: bytes, like: str) -> str:
    """Return git's object id of ``data`` as a blob: SHA-1 or SHA-256, by the length of ``like``."""
    algorithm = hashlib.sha1 if len(like) == 40 else hashlib.sha256
    digest = algorithm(b"blob %d\0" % len(data), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()
