"""Output of processes: frames, lines, and both directions of an attached terminal or pipe."""

from __future__ import annotations

import attrs

from anydocker._wire.frames import Frame, FrameDecoder, TextDecoder
from anydocker._wire.lines import Line, LineDecoder
from anydocker.streams._base import BodyStream, DecodedStream, Stream

__all__ = ("AttachStream", "Completed", "LineStream", "Output", "OutputStream")


@attrs.frozen
class Output:
    """
    What a process wrote.

    Attributes:
        frames: The pieces in the order in which they came.
    """

    frames: tuple[Frame, ...] = attrs.field(repr=lambda frames: f"<{len(frames)} frames>")

    @property
    def stdout(self) -> bytes:
        """All of the standard output; all there is, for a terminal."""
        return b"".join([data for stream, data in self.frames if stream == "stdout"])

    @property
    def stderr(self) -> bytes:
        """All of the standard error."""
        return b"".join([data for stream, data in self.frames if stream == "stderr"])

    def lines(self) -> list[Line]:
        """The lines, of both streams, in the order in which they were completed."""
        decoder = LineDecoder()
        return decoder.receive_frames(self.frames) + decoder.receive_eof()


@attrs.frozen
class Completed:
    """
    A process that has ended.

    Attributes:
        exit_code: Its exit code; 128 + n where signal n ended it.
        stdout: What it wrote to its standard output; everything, if it had a terminal.
        stderr: What it wrote to its standard error.
    """

    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""


class OutputStream(DecodedStream[Frame]):
    """
    Output of a process, as frames.

    ``async for`` gives :class:`Frame` values, ``async for line in stream.lines()`` gives :class:`Line` values; use
    one or the other on a stream.

    Attributes:
        tty: Whether the process has a terminal: then all its output is on ``"stdout"``.
    """

    def __init__(self, body: BodyStream, *, tty: bool) -> None:
        frames = None if tty else FrameDecoder()
        super().__init__(body, frames or TextDecoder())
        self.tty = tty
        self._fused = self._exchange.fuse_frames(frames) if frames is not None else None

    async def _receive_batch(self) -> list[Frame]:
        if self._fused is None:
            frames = await super()._receive_batch()
        else:
            frames = await self._receive_pieces()
            self._ended = not frames
        if self._exchange.filled:
            self._exchange.adapt_read_size(len(frames))
        return frames

    def lines(self) -> LineStream:
        """
        The same output as lines, decoded as UTF-8 for each stream on its own, never split inside a character.

        A line longer than 1 MiB comes in parts. The last line need not end in a line feed.
        """
        return LineStream(self)

    async def read(self) -> Output:
        """Receive everything up to the end. If cancelled, what has been received is lost."""
        frames: list[Frame] = []
        while batch := await self.receive_many():
            frames += batch
        return Output(tuple(frames))


class LineStream(Stream[Line]):
    """Lines of output; closed with the stream they come from."""

    def __init__(self, output: OutputStream) -> None:
        super().__init__()
        self._output = output
        self._decoder = LineDecoder()

    async def _receive_batch(self) -> list[Line]:
        frames = await self._output.receive_many()
        self._ended = not frames
        return self._decoder.receive_frames(frames) if frames else self._decoder.receive_eof()

    async def _close(self) -> None:
        await self._output.aclose()


class AttachStream(OutputStream):
    """
    Output of a container's main process, and its input.

    An upgraded connection has no end mark: a cut on the border of a frame looks like the end of the output. Where
    that matters, ask the engine for the state of the container before you call it an end, as ``run`` and
    ``attach`` do.
    """

    async def send(self, data: bytes) -> None:
        """
        Send to standard input. A cancelled call may have sent a part of ``data``.

        Raises:
            TruncatedStream: The engine takes no more input: the process or the connection has ended.
            BusyResourceError: Another task is sending.
        """
        await self._body.send(data)

    async def send_eof(self) -> None:
        """
        Close standard input; output still comes.

        Raises:
            DockerError: The connection is of a kind that cannot be closed in one direction.
        """
        await self._body.send_eof()
