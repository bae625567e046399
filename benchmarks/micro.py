"""
The parsers alone, fed the same bytes, with no socket: ``python -m benchmarks.micro [quick]``.

Each case takes recorded items apart, cut into the pieces that reads would have brought. A parser of a peer is driven
the way the peer drives it: aiodocker's, and aiohttp's below it, inside a running event loop, docker-py's and those of
the standard library below it from a file. What is shown is the best of several rounds, since nothing here waits.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from typing import Any, Final, TypeAlias

import attrs

from anydocker._wire.chunked import ChunkedDecoder
from anydocker._wire.frames import FrameDecoder
from anydocker._wire.jsonstream import JSONDecoder
from benchmarks import micro_peers as peers
from benchmarks.recordings import Recording, chunk

__all__ = ("main",)

Pieces: TypeAlias = Sequence[bytes]
Parser: TypeAlias = Callable[[Pieces], int]

_BYTES: Final = 2_000_000
_QUICK_BYTES: Final = 400_000
_ROUNDS: Final = 5
_LONG_READ: Final = 64 * 1024
_SHORT_READ: Final = 1000
_SPLITS: Final = ("64 KiB reads", "a read for each", "1000 B reads")


# -- ours


def _feed(decoder: Any, pieces: Pieces) -> int:
    count = 0
    for piece in pieces:
        count += len(decoder.receive_data(piece))
    decoder.receive_eof()
    return count


def _frames(pieces: Pieces) -> int:
    return _feed(FrameDecoder(), pieces)


def _documents(pieces: Pieces) -> int:
    return _feed(JSONDecoder(), pieces)


def _chunks(pieces: Pieces) -> int:
    return _feed(ChunkedDecoder(), pieces)


def _chunked(inner: Callable[[], Any]) -> Parser:
    """Chunks, and what is in them, one read after the other, as a stream does it."""

    def parse(pieces: Pieces) -> int:
        outer, decoder = ChunkedDecoder(), inner()
        count = 0
        for piece in pieces:
            parts = outer.receive_data(piece)
            if parts:
                count += len(decoder.receive_data(parts[0] if len(parts) == 1 else b"".join(parts)))
        outer.receive_eof()
        return count + len(decoder.receive_eof())

    return parse


# -- the cases


@attrs.frozen
class Case:
    """
    Bytes to take apart, and who does it.

    Attributes:
        title: Its name.
        recording: Where the items come from.
        chunked: Whether each item is in a chunk of its own.
        ours: Our parser.
        aiodocker: aiodocker's, and aiohttp's.
        docker_py: docker-py's, and the standard library's.
    """

    title: str
    recording: str
    chunked: bool
    ours: Parser
    aiodocker: Parser
    docker_py: Parser


def _cases() -> Iterator[Case]:
    for size in (20, 200, 4096, 16384):
        yield Case(f"frames, {size} B", f"exec-{size}", False, _frames, peers.exec_frames, peers.file_frames)
    for size in (20, 200, 4096, 16384):
        yield Case(f"chunks, {size} B", f"logs-{size}", True, _chunks, peers.aiohttp_chunks, peers.http_client_chunks)
    for size in (20, 200, 4096, 16384):
        logs = _chunked(FrameDecoder)
        yield Case(f"frames in chunks, {size} B", f"logs-{size}", True, logs, peers.log_frames, peers.file_log_frames)
    for name in ("pull", "events", "stats"):
        yield Case(f"documents, {name}", name, False, _documents, peers.line_documents, peers.split_documents)


def _cut(case: Case, split: str, size: int) -> tuple[int, list[bytes]]:
    """How many items there are, and the bytes as reads bring them."""
    recording = Recording.load(case.recording)
    items = [chunk(piece) for piece in recording.pieces] if case.chunked else list(recording.pieces)
    count = max(len(items), size // (sum(map(len, items)) // len(items)))
    encoded = list(islice(cycle(items), count))
    if case.chunked:
        encoded.append(peers.LAST_CHUNK)
    if split == "a read for each":
        return count, encoded
    data = b"".join(encoded)
    step = _LONG_READ if split == "64 KiB reads" else _SHORT_READ
    return count, [data[at : at + step] for at in range(0, len(data), step)]


# -- measuring


def _best(parser: Parser, pieces: Pieces, count: int, *, exact: bool) -> float:
    """Microseconds for an item, in the best round."""
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        found = parser(pieces)
        best = min(best, time.perf_counter() - started)
        if exact and found != count:
            raise AssertionError(f"{parser.__name__} found {found} items of {count}")
    return best * 1e6 / count


async def _measure(cases: Sequence[Case], size: int) -> list[dict[str, Any]]:
    # The peers' parsers want a running loop around them; none of them waits for it.
    results: list[dict[str, Any]] = []
    for case in cases:
        for split in _SPLITS:
            count, pieces = _cut(case, split, size)
            # A chunk has no meaning: where a long one is cut, its parts are handed out.
            exact = not case.title.startswith("chunks")
            parsers = {"anydocker": case.ours, "aiodocker": case.aiodocker, "docker-py": case.docker_py}
            each = {name: _best(parser, pieces, count, exact=exact) for name, parser in parsers.items()}
            results.append({"title": case.title, "split": split, **each})
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro", description="The parsers alone.")
    parser.add_argument("quick", nargs="?", choices=["quick"], help="fewer bytes")
    parser.add_argument("--json", metavar="FILE", help="write what was measured")
    options = parser.parse_args(arguments)
    results = asyncio.run(_measure(list(_cases()), _QUICK_BYTES if options.quick else _BYTES))
    print(_table(results))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)
    return 0


def _table(results: Sequence[dict[str, Any]]) -> str:
    columns = ("anydocker us", "aiodocker us", "docker-py us", "x aiodocker", "x docker-py")
    lines = ["Microseconds for an item, and how many times as fast anydocker's parser is", ""]
    lines.append(f"{'':44}" + "".join(f"{name:>14}" for name in columns))
    for result in results:
        mine = result["anydocker"]
        peers_cost = (result["aiodocker"], result["docker-py"])
        cells = (mine, *peers_cost, *(cost / mine for cost in peers_cost))
        title = f"{result['title']:28}{result['split']:16}"
        lines.append(title + "".join(f"{cell:14.2f}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
