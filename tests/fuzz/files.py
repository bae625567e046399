"""Targets: archives, their names, and what stays out of them."""

from __future__ import annotations

import io
import os.path
import tarfile
from base64 import b64encode
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from typing import Any

from anydocker._wire import tar
from anydocker._wire.archive import parse_archive_info
from anydocker._wire.copy_paths import absolute, leads_out, path_inside
from anydocker._wire.ignore import IgnoreRules
from anydocker._wire.tar import MemberEnd, TarReader
from anydocker.errors import ArchiveError, ContextError, DockerError, ProtocolError
from tests.fuzz.harness import Target, each_way, smaller

__all__ = ("TARGETS",)

_BLOCK = tarfile.BLOCKSIZE


def _tar(data: bytes) -> None:
    stream, ways = each_way(data)
    stream = _with_checksums(stream)
    ways = [_alike(way, stream) for way in ways]
    with smaller(tar, _MAX_HEAD=4096):
        whole, *others = [_read(way) for way in ways]
    for other in others:
        assert other == whole
    members, error = whole
    if error is None and (expected := _by_tarfile(stream)) is not None:
        assert [(name, content) for name, _, content in members] == expected


def _with_checksums(stream: bytes) -> bytes:
    """The stream with the checksum of whatever looks like a header put right, which is hard to find by chance."""
    blocks = [stream[i : i + _BLOCK] for i in range(0, len(stream), _BLOCK)]
    return b"".join(
        block[:148] + b"%06o\0 " % _checksum(block) + block[156:]
        if len(block) == _BLOCK and block[257:262] == b"ustar"
        else block
        for block in blocks
    )


def _checksum(block: bytes) -> int:
    """The sum of a header's bytes, with spaces where the checksum itself stands."""
    return sum(block[:148]) + 8 * ord(" ") + sum(block[156:])


def _alike(pieces: list[bytes], stream: bytes) -> list[bytes]:
    """The stream in pieces of these lengths."""
    ends = [0]
    for piece in pieces:
        ends.append(ends[-1] + len(piece))
    return [stream[start:stop] for start, stop in pairwise(ends)]


def _read(pieces: list[bytes]) -> tuple[list[tuple[str, bytes, bytes]], type | None]:
    reader = TarReader()
    found: list[tuple[str, bytes, bytes]] = []
    try:
        for piece in pieces:
            for event in reader.receive_data(piece):
                match event:
                    case tarfile.TarInfo():
                        found.append((event.name, event.type, b""))
                    case MemberEnd.MEMBER_END:
                        continue
                    case _:
                        name, kind, content = found[-1]
                        found[-1] = name, kind, content + event
        reader.receive_eof()
    except DockerError as exc:
        return found, type(exc)
    return found, None


def _by_tarfile(stream: bytes) -> list[tuple[str, bytes]] | None:
    """What the standard library reads, where it reads it all: it ends a tar at a header it cannot use."""
    found: list[tuple[str, bytes]] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(stream), mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
            for info in archive:
                if info.sparse is not None or info.type not in tarfile.SUPPORTED_TYPES or archive.pax_headers:
                    return None
                content = archive.extractfile(info) if info.isreg() else None
                found.append((info.name, content.read() if content else b""))
            return found if stream[archive.offset : archive.offset + _BLOCK].count(0) == _BLOCK else None
    except (tarfile.TarError, ValueError, OverflowError, OSError):
        return None


def _names(data: bytes) -> None:
    """No name and no link leads out of the directory that it is unpacked in."""
    name, _, target = data.decode(errors="surrogateescape").partition("\n")
    top = "/srv/top"
    try:
        parts = path_inside(name)
    except ArchiveError:
        return
    path = os.path.join(top, *parts)
    assert os.path.normpath(path) == path
    assert os.path.commonpath([top, path]) == top
    assert "\0" not in path
    if target and not leads_out(path, target, top):
        reached = os.path.normpath(os.path.join(os.path.dirname(path), target))
        assert os.path.commonpath([top, reached]) == top
    if target:
        assert os.path.normpath(absolute(target)) == absolute(target)


def _ignore(data: bytes) -> None:
    """A .dockerignore is read or refused; without exceptions, what is in an ignored directory is ignored, too."""
    text, _, path = data.partition(b"\0")
    try:
        rules = IgnoreRules.parse(text)
    except ContextError:
        return
    name = os.path.normpath("/" + path.decode(errors="surrogateescape")).strip("/")
    ignored = rules.matches(name)
    if ignored and not any(line.strip().startswith(b"!") for line in text.splitlines()) and name:
        assert rules.matches(f"{name}/below")
    assert not rules.matches(".")


def _archive_info(data: bytes) -> None:
    """What an engine says of a path: with every field of its type, or refused."""
    for header in (data.decode("latin-1"), b64encode(data).decode()):
        try:
            info: Any = parse_archive_info(header)
        except ProtocolError:
            continue
        assert all(type(text) is str for text in (info.name, info.modified, info.link_target))
        assert type(info.size) is int
        assert 0 <= info.mode < 1 << 16
        assert isinstance(info.is_directory, bool)
        with suppress(ProtocolError):
            assert isinstance(info.modified_at, datetime)


def _small_tar(style: int) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=style) as archive:
        for name, content, kind in (
            ("d", b"", tarfile.DIRTYPE),
            ("d/f", b"hello", tarfile.REGTYPE),
            ("n" * 60 + "/" + "m" * 60, b"x", tarfile.REGTYPE),
            ("d/l", b"", tarfile.SYMTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "f" if kind == tarfile.SYMTYPE else ""
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue().rstrip(b"\0") + bytes(2048 - len(data.getvalue().rstrip(b"\0")) % 512)


_TARS = tuple(_small_tar(style) for style in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT))
_STAT = (
    b'{"name":"f","size":3,"mode":420,"mtime":"2026-11-21T09:16:50.123456789Z","linkTarget":""}',
    b'{"name":"l","size":3,"mode":134218239,"mtime":"2026-11-21T09:16:50+01:00","linkTarget":"f"}',
)

TARGETS = {
    "tar": Target(
        _tar,
        tuple(prefix + data for data in _TARS for prefix in (b"\0", b"\2\x55\xaa")),
        (b"ustar\x0000", b"ustar  \0", b"././@LongLink", b"././@PaxHeader", b"11 path=a\n", b"9 size=-1\n", b"\x80"),
    ),
    "names": Target(_names, (b"d/f", b"../x", b"a/./b\n../c", b"a//b\n/etc"), (b"../", b"./", b"//", b"\n", b"\0")),
    "ignore": Target(
        _ignore,
        (b"*.pyc\n!a.pyc\n\0a.pyc", b"# c\n**/x/[a-z]?\n\0d/x/ab", b"a\\*b\n[^a]\\\n\0a*b", b"a/**/b\0a/c/b"),
        (b"**/", b"**", b"*", b"?", b"[a-z]", b"[^a]", b"!", b"\\", b"\n", b"#", b"\0"),
    ),
    "archive_info": Target(
        _archive_info,
        (*_STAT, b64encode(_STAT[0])),
        (b'"name":', b'"size":', b'"mode":', b'"mtime":', b'"linkTarget":', b"1e999"),
    ),
}
