"""
The client's side of a WebSocket: messages in, frames out.

The framing is wsproto's, which the extra ``anydocker[websocket]`` brings. This module is imported by whoever needs it,
when it is needed. The handshake (RFC 6455, section 4) is ours, because the exchange that it is a part of is.
"""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from collections.abc import Mapping
from hashlib import sha1
from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

from anydocker.errors import ProtocolError, TruncatedStream

__all__ = ("WebSocketDecoder",)

# Answers to pings that wait for the other side to take them. Then the older ones are dropped: RFC 6455, section 5.5.3,
# is content with an answer to the last ping.
_MAX_ANSWERS: Final = 16
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Codes that say that all was said: a normal closure, going away, and a close frame that gives none.
_CLEAN_CODES: Final = frozenset({1000, 1001, 1005})


class WebSocketDecoder:
    """
    One WebSocket, from its handshake on.

    Args:
        nonce: 16 random bytes, which the other side has to answer.

    Attributes:
        fields: The fields of the request that ask for it, beside those of any upgrade.
        closed: Whether the other side has said that it is done.
        error: What is wrong behind the content already decoded.
    """

    def __init__(self, nonce: bytes) -> None:
        key = b64encode(nonce)
        self.fields = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key.decode("ascii")}
        self.closed = False
        self.error: ProtocolError | None = None
        self._accept = b64encode(sha1(key + _GUID, usedforsecurity=False).digest()).decode("ascii")
        self._connection = Connection(ConnectionType.CLIENT)
        self._answers: deque[bytes] = deque(maxlen=_MAX_ANSWERS)

    def receive_head(self, status: int, headers: Mapping[str, str]) -> None:
        """
        Take the head of the answer to the handshake.

        Raises:
            ProtocolError: What answers does not speak WebSocket.
        """
        upgraded = status == 101 and headers.get("upgrade", "").lower() == "websocket"
        if not upgraded or headers.get("sec-websocket-accept") != self._accept:
            raise ProtocolError(f"a WebSocket was asked for, and the answer, with status {status}, is none")

    def receive_data(self, data: bytes) -> list[bytes]:
        """Decode a piece: the content of the messages in it, as far as it has come."""
        self._check()
        content: list[bytes] = []
        if not self.closed:
            self._connection.receive_data(data)
            for event in self._connection.events():
                self._take(event, content)
        if not content:
            self._check()
        return content

    def receive_eof(self) -> list[bytes]:
        """
        Learn that the connection has ended.

        Raises:
            TruncatedStream: The other side had not said that it was done.
        """
        self._check()
        if not self.closed:
            raise TruncatedStream("the connection ended before the WebSocket was closed")
        return []

    @property
    def has_answers(self) -> bool:
        """Whether there is something to send of which the caller knows nothing."""
        return bool(self._answers)

    def take_answers(self) -> bytes:
        """Take what answers pings and the close."""
        answers = b"".join(self._answers)
        self._answers.clear()
        return answers

    def encode(self, data: bytes) -> bytes:
        """The frame of a message."""
        return self._connection.send(BytesMessage(data))

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def _take(self, event: Event, content: list[bytes]) -> None:
        match event:
            case BytesMessage() if event.data:
                content.append(bytes(event.data))
            case TextMessage() if event.data:
                content.append(event.data.encode())
            case Ping():
                self._answers.append(self._connection.send(event.response()))
            case CloseConnection():
                self._close(event)
            case _:
                # An empty message, or a pong nobody asked for.
                return

    def _close(self, event: CloseConnection) -> None:
        if self._connection.state is not ConnectionState.REMOTE_CLOSING:
            # This is how wsproto says that a frame is none.
            self.error = ProtocolError(f"what came is no WebSocket frame: {event.reason}")
        elif event.code in _CLEAN_CODES:
            self.closed = True
            self._answers.append(self._connection.send(event.response()))
        else:
            self.error = ProtocolError(f"the WebSocket was closed with code {event.code} {event.reason or ''}".rstrip())
