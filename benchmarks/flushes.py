"""
Many writes, each as an engine flushes it, at less than a system call for each.

A server in Python takes longer for a ``send`` than the clients here for what it carries, and would be what is measured.
``sendmmsg(2)`` sends a thousand messages at once. To the reader there is no difference: each is a write of its own to
the kernel, and wakes up who waits.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Sequence
from typing import Final

__all__ = ("Flushes",)

# What Linux takes at a time.
_MOST: Final = 1024


class _Part(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """``struct msghdr``."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("parts", ctypes.POINTER(_Part)),
        ("part_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """``struct mmsghdr``."""

    _fields_ = (("header", _Header), ("sent", ctypes.c_uint))


class Flushes:
    """Writes that are ready to be sent, each on its own."""

    def __init__(self, writes: Sequence[bytes]) -> None:
        self._count = len(writes)
        self._parts = (_Part * len(writes))(*[_Part(write, len(write)) for write in writes])
        self._messages = (_Message * len(writes))()
        for index, message in enumerate(self._messages):
            message.header.parts = ctypes.pointer(self._parts[index])
            message.header.part_count = 1
        self._libc = ctypes.CDLL(None, use_errno=True)

    def send(self, sock: socket.socket) -> None:
        """Send them all, on a blocking socket; raises OSError."""
        done = 0
        while done < self._count:
            begin = ctypes.byref(self._messages, done * ctypes.sizeof(_Message))
            sent = self._libc.sendmmsg(sock.fileno(), begin, min(_MOST, self._count - done), 0)
            if sent < 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
            done += sent
