"""
TLS over a byte stream.

Why not anyio's TLS stream: it cannot close one direction. TLS can: a ``close_notify`` ends what we send, and what the
other side sends still comes (RFC 8446, section 6.1). Without that, the standard input of a container could not be ended
over TLS while its output is read. And here the end is one only if the other side has said so: a connection that is just
closed was cut, by whomever.

Everything read and not yet handed out is kept in the two buffers of the TLS object, so a cancelled ``receive`` loses
nothing. A record that is sent in part breaks the connection, so what a cancelled ``send`` leaves of one is kept, too,
and goes first the next time.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, Lock
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from anydocker._transport.sockets import SocketStream

__all__ = ("TLSStream", "tls_failure")

# What OpenSSL calls the common failures, and what to do about each.
_ADVICE: Final = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS: is this its plain port?",
    "HTTP_REQUEST": "it does not speak TLS: is this its plain port?",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the engine wants a client certificate: give TLSConfig(cert=..., key=...)",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the engine does not accept the client certificate, or wants one",
    "TLSV1_ALERT_UNKNOWN_CA": "the engine does not trust the authority of the client certificate",
}

# The verifier's numbers (X509_V_ERR_...) for who issued a certificate, and for whom.
_UNKNOWN_ISSUER: Final = frozenset({18, 19, 20, 21})
_OTHER_NAME: Final = frozenset({62, 64})

# Bytes to read from the connection at a time: four of the longest records.
_READ_SIZE: Final = 64 * 1024


class TLSStream(ByteStream):
    """The client's side of TLS."""

    def __init__(self, stream: SocketStream, context: ssl.SSLContext, host: str) -> None:
        self._stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._unsent = memoryview(b"")
        self._flushing = Lock(fast_acquire=True)
        self._ended = False
        self._sent_eof = False

    async def handshake(self) -> None:
        """Shake hands; raises ssl.SSLError, or what the connection raises."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError:
                await self._flush()
                raise
            else:
                await self._flush()
                return

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Receive what there is, or wait for it. A cancelled call has taken nothing."""
        await checkpoint()
        while not self._ended:
            try:
                data = self._tls.read(max_bytes)
            except ssl.SSLWantReadError:
                # Who reads must not wait for room to send: the other side may wait for the reader.
                if not self._unsent:
                    await self._flush()
                await self._fill()
            except ssl.SSLZeroReturnError:
                self._ended = True
            except ssl.SSLEOFError as exc:
                raise BrokenResourceError("the connection was cut: its end was not announced") from exc
            except ssl.SSLError as exc:
                raise BrokenResourceError(tls_failure(exc)) from exc
            else:
                if data:
                    return data
                self._ended = True
        raise EndOfStream

    async def send(self, item: bytes) -> None:
        """Send all of ``item``. A cancelled call may have sent a part of it, and the next call sends the rest."""
        if self._sent_eof:
            raise ClosedResourceError
        await checkpoint_if_cancelled()
        rest = memoryview(item)
        while rest:
            rest = rest[self._tls.write(rest) :]
        await self._flush()

    async def send_eof(self) -> None:
        """Announce the end of what is sent; receiving goes on."""
        if not self._sent_eof:
            self._sent_eof = True
            try:
                self._tls.unwrap()
            except (ssl.SSLWantReadError, ssl.SSLSyscallError):
                # The other side has not announced its end; it need not.
                await checkpoint()
        await self._flush()

    async def aclose(self) -> None:
        """Close the connection at once, without a word to the other side."""
        await self._stream.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Those of the connection below."""
        return self._stream.extra_attributes

    async def _flush(self) -> None:
        if not self._outgoing.pending and not self._unsent:
            return
        async with self._flushing:
            while True:
                data = self._outgoing.read()
                if data:
                    self._unsent = memoryview(bytes(self._unsent) + data if self._unsent else data)
                if not self._unsent:
                    return
                sent = await self._stream.send_some(self._unsent)
                self._unsent = self._unsent[sent:]

    async def _fill(self) -> None:
        try:
            self._incoming.write(await self._stream.receive(_READ_SIZE))
        except EndOfStream:
            self._incoming.write_eof()


def tls_failure(exc: ssl.SSLError) -> str:
    """What went wrong, and what to do about it."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        advice = ""
        if exc.verify_code in _UNKNOWN_ISSUER:
            advice = " (is TLSConfig(ca=...) the authority it was issued by?)"
        elif exc.verify_code in _OTHER_NAME:
            advice = " (reach it by a name that its certificate is for)"
        return f"its certificate is not to be trusted: {exc.verify_message.rstrip('.')}{advice}"
    reason = exc.reason or str(exc)
    return f"TLS failed: {_ADVICE.get(reason, reason)}"
