"""The exit of a container that is waited for."""

from __future__ import annotations

from typing import Any

from anydocker._wire.documents import section_at, shown, value_at
from anydocker._wire.jsonstream import JSONDecoder
from anydocker.errors import StreamError, TruncatedStream
from anydocker.streams._base import BodyStream, DecodedStream

__all__ = ("PendingExit",)


class PendingExit:
    """An exit to come: the engine is waiting for it."""

    def __init__(self, body: BodyStream) -> None:
        self._stream: DecodedStream[Any] = DecodedStream(body, JSONDecoder())
        self._document: Any = None

    async def exit_code(self) -> int:
        """
        Wait for the exit. Can be called again, after a cancellation and after the exit.

        Returns:
            The exit code.

        Raises:
            StreamError: The engine could not wait; it says why.
            TruncatedStream: The connection ended first.
        """
        while self._document is None:
            batch = await self._stream.receive_many()
            if not batch:
                raise TruncatedStream("the connection ended before the container did")
            self._document = batch[0]
        return _exit_code(self._document)


def _exit_code(document: object) -> int:
    code = value_at(document, "StatusCode", kind=int)
    message = section_at(document, "Error").get("Message")
    if message:
        raise StreamError(message if isinstance(message, str) else shown(message), code)
    return code
