"""The root filesystem of a small image, made from this machine's own busybox: no network needed."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from anydocker.testing._unavailable import SEARCH_PATH, EngineUnavailable

__all__ = ("BUSYBOX", "busybox_rootfs")

BUSYBOX: Final = "busybox:latest"
"""The name under which the test fixtures import :func:`busybox_rootfs`."""

_CANDIDATES: Final = ("busybox.static", "busybox")
_DIRECTORIES: Final = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "proc": 0o755,
    "root": 0o700,
    "sys": 0o755,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "var": 0o755,
}
_FILES: Final = {
    "etc/passwd": (
        b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"
    ),
    "etc/group": b"root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n",
}

# Where an ELF file keeps the offset, and the size and number, of its program headers, by its class.
_ELF_LAYOUT: Final = {1: ((0x1C, "I"), (0x2A, "HH")), 2: ((0x20, "Q"), (0x36, "HH"))}
_PT_INTERP: Final = 3


def busybox_rootfs() -> bytes:
    """
    A tar of a minimal root filesystem: the static busybox of this machine, and links for all its applets.

    The same busybox gives the same bytes. It reads a few megabytes and runs busybox once, so an async program
    calls it in a worker thread.

    Returns:
        An uncompressed tar, for :meth:`Images.import_` or ``docker import``.

    Raises:
        EngineUnavailable: There is no busybox on this machine, or only one that needs shared libraries.
    """
    busybox = _static_busybox()
    listing = subprocess.run((busybox, "--list"), check=True, capture_output=True, text=True)
    applets = sorted({*listing.stdout.split()} - {"busybox"})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, data in _members(busybox.read_bytes(), applets):
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _members(busybox: bytes, applets: list[str]) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for name, mode in _DIRECTORIES.items():
        yield _member(name, tarfile.DIRTYPE, mode), b""
    for name, data in _FILES.items():
        yield _member(name, tarfile.REGTYPE, 0o644), data
    yield _member("bin/busybox", tarfile.REGTYPE, 0o755), busybox
    for applet in applets:
        yield _link(f"bin/{applet}"), b""
    yield _link("usr/bin/env"), b""


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = kind, mode
    return member


def _link(name: str) -> tarfile.TarInfo:
    member = _member(name, tarfile.SYMTYPE, 0o777)
    member.linkname = "/bin/busybox"
    return member


def _static_busybox() -> Path:
    found = [path for name in _CANDIDATES if (path := shutil.which(name, path=SEARCH_PATH)) is not None]
    for path in found:
        if _is_static(Path(path).read_bytes()):
            return Path(path)
    reason = f"{', '.join(found)} needs shared libraries" if found else "there is no busybox"
    raise EngineUnavailable(
        f"no static busybox on this machine ({reason}); on Debian or Ubuntu, as root: apt-get install busybox-static"
    )


def _is_static(program: bytes) -> bool:
    if program[:4] != b"\x7fELF" or program[4] not in _ELF_LAYOUT:
        return False
    order = "<" if program[5] == 1 else ">"
    (start_at, start_format), (table_at, table_format) = _ELF_LAYOUT[program[4]]
    (start,) = struct.unpack_from(order + start_format, program, start_at)
    size, count = struct.unpack_from(order + table_format, program, table_at)
    kinds = (struct.unpack_from(order + "I", program, start + n * size)[0] for n in range(count))
    return _PT_INTERP not in kinds
