"""Raw connections: what is never lost, what ends what, and which errors come out."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpcore
import pytest
from anyio import BrokenResourceError, CancelScope, ClosedResourceError, EndOfStream, create_task_group, fail_after
from anyio.abc import SocketAttribute
from anyio.lowlevel import checkpoint

from anydocker._transport.network import Backend, RawStream, SocketConnection
from anydocker._transport.sockets import SocketStream, connect_tcp, connect_unix

pytestmark = pytest.mark.anyio

native = pytest.mark.parametrize("anyio_backend", ["asyncio", ("asyncio", {"use_uvloop": True})])


def socket_pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    return ours, theirs


@asynccontextmanager
async def pair() -> AsyncGenerator[tuple[SocketStream, socket.socket], None]:
    """A stream, and the socket at its other end."""
    ours, theirs = socket_pair()
    with theirs:
        async with SocketStream(ours) as stream:
            with fail_after(10):
                yield stream, theirs


def fill(sock: socket.socket) -> int:
    """Send until the buffers are full; return how many bytes that took."""
    size = 0
    try:
        while True:
            size += sock.send(bytes(65536))
    except BlockingIOError:
        return size


def drain(sock: socket.socket) -> int:
    size = 0
    try:
        while data := sock.recv(1 << 20):
            size += len(data)
    except BlockingIOError:
        pass
    return size


# -- receive


async def test_receive_returns_what_is_there() -> None:
    async with pair() as (stream, theirs):
        theirs.send(b"some")
        assert await stream.receive() == b"some"
        theirs.send(b"more")
        assert await stream.receive(3) == b"mor"
        assert await stream.receive(3) == b"e"


async def test_receive_waits_for_what_comes() -> None:
    async with pair() as (stream, theirs), anyio.create_task_group() as group:

        async def send_later() -> None:
            await anyio.wait_all_tasks_blocked()
            theirs.send(b"late")

        group.start_soon(send_later)
        assert await stream.receive() == b"late"


async def test_the_end_is_told_again_and_again() -> None:
    async with pair() as (stream, theirs):
        theirs.send(b"last")
        theirs.shutdown(socket.SHUT_WR)
        assert await stream.receive() == b"last"
        for _ in range(3):
            with pytest.raises(EndOfStream):
                await stream.receive()


@pytest.mark.parametrize("size", [1, 100, 65536])
async def test_a_receive_that_is_cancelled_takes_nothing(size: int) -> None:
    data = bytes(number % 251 for number in range(20 * size))
    async with pair() as (stream, theirs):
        received = b""
        sent = 0
        while len(received) < len(data):
            sent += theirs.send(data[sent : sent + 2 * size])
            with CancelScope() as scope:
                scope.cancel()
                received += await stream.receive(size)
            if len(received) < sent:
                received += await stream.receive(size)
    assert received == data


async def test_what_comes_as_a_receive_is_cancelled_is_not_lost() -> None:
    """The data and the cancellation arrive in the same round of the event loop, in either order."""
    async with pair() as (stream, theirs):
        received = b""
        for round_ in range(200):
            with CancelScope() as scope:

                async def interfere(scope: CancelScope = scope, data_first: bool = bool(round_ % 2)) -> None:
                    for _ in range(round_ % 7):  # noqa: B023 - run before the next round
                        await checkpoint()
                    if data_first:
                        theirs.send(b"x")
                    scope.cancel()
                    if not data_first:
                        theirs.send(b"x")

                async with anyio.create_task_group() as group:
                    group.start_soon(interfere)
                    received += await stream.receive()
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(EndOfStream):
            while True:
                received += await stream.receive()
    assert received == b"x" * 200


class Hooked(socket.socket):
    """A socket that does something right after every read of it."""

    hook: Callable[[], object] = checkpoint

    def recv(self, *args: int) -> bytes:
        try:
            return super().recv(*args)
        finally:
            self.hook()


def hooked_pair() -> tuple[Hooked, socket.socket]:
    ours, theirs = socket_pair()
    return Hooked(ours.family, ours.type, ours.proto, ours.detach()), theirs


def before_it_wakes(act: Callable[[], object]) -> Callable[[], object]:
    """Has the event loop do something between a read and the wake-up of the task that waits for it."""
    return lambda: asyncio.get_running_loop().call_soon(act)


@native
async def test_a_task_cancelled_with_its_data_in_hand_keeps_it_for_the_next() -> None:
    ours, theirs = hooked_pair()
    ours.setblocking(False)
    with theirs:
        async with SocketStream(ours) as stream:
            task = asyncio.create_task(stream.receive())
            ours.hook = before_it_wakes(task.cancel)
            await checkpoint()
            theirs.send(b"data")
            received = b""
            try:
                received += await task
            except asyncio.CancelledError:
                ours.hook = int
                received += await stream.receive()
            assert received == b"data"


@native
async def test_a_reset_seen_by_a_cancelled_task_is_not_an_end_for_the_next() -> None:
    ours, theirs = hooked_pair()
    ours.setblocking(False)
    async with SocketStream(ours) as stream:
        task = asyncio.create_task(stream.receive())
        ours.hook = before_it_wakes(task.cancel)
        await checkpoint()
        ours.send(b"never read")
        theirs.close()
        with pytest.raises((asyncio.CancelledError, BrokenResourceError)) as caught:
            await task
        ours.hook = int
        if isinstance(caught.value, asyncio.CancelledError):
            with pytest.raises(BrokenResourceError):
                await stream.receive()


async def test_a_reset_is_broken_not_ended() -> None:
    async with pair() as (stream, theirs):
        await stream.send(b"never read")
        theirs.close()
        with pytest.raises(BrokenResourceError, match=os.strerror(errno.ECONNRESET)):
            await stream.receive()


async def test_what_came_before_a_reset_is_received() -> None:
    """An engine that refuses an upload answers, and closes without having read it all."""
    async with pair() as (stream, theirs), anyio.create_task_group() as group:

        async def refuse() -> None:
            await anyio.wait_all_tasks_blocked()
            theirs.send(b"first")
            theirs.send(b"then")
            theirs.close()

        group.start_soon(refuse)
        with pytest.raises(BrokenResourceError):
            await stream.send(bytes(10_000_000))
        received = await stream.receive(5)
        assert received == b"first"
        assert await stream.receive() == b"then"
        with pytest.raises(BrokenResourceError):
            await stream.receive()


async def test_two_exchanges_on_a_socket_that_was_in_error() -> None:
    """A read registered with the event loop does not outlive what ended the registration."""
    async with pair() as (stream, theirs):
        theirs.send(b"a registration is made")
        await stream.receive()
        fill(stream.extra(SocketAttribute.raw_socket))
        theirs.send(b"answer")
        theirs.close()
        assert await stream.receive(3) == b"ans"
        assert await stream.receive(3) == b"wer"
        with pytest.raises(BrokenResourceError):
            await stream.receive()


# -- send


async def test_send_waits_until_all_is_taken() -> None:
    data = bytes(5_000_000)
    async with pair() as (stream, theirs):
        size = 0

        async def take() -> None:
            nonlocal size
            while size < len(data):
                await anyio.wait_readable(theirs)
                size += drain(theirs)

        async with anyio.create_task_group() as group:
            group.start_soon(take)
            await stream.send(data)
        assert size == len(data)


async def test_a_cancelled_send_stops() -> None:
    async with pair() as (stream, theirs):
        with anyio.move_on_after(0.01) as scope:
            await stream.send(bytes(50_000_000))
        assert scope.cancelled_caught
        assert 0 < drain(theirs) < 50_000_000
        await stream.send(b"on")


async def test_nothing_is_sent_in_a_cancelled_task() -> None:
    async with pair() as (stream, theirs):
        with CancelScope() as scope:
            scope.cancel()
            await stream.send(b"never")
        assert drain(theirs) == 0


async def test_to_send_to_nobody_is_broken() -> None:
    async with pair() as (stream, theirs):
        theirs.close()
        with pytest.raises(BrokenResourceError, match=os.strerror(errno.EPIPE)):
            await stream.send(b"data")


async def test_both_directions_at_once() -> None:
    async with pair() as (stream, theirs), anyio.create_task_group() as group:

        async def answer() -> None:
            await anyio.wait_all_tasks_blocked()
            drain(theirs)
            theirs.send(b"answer")

        group.start_soon(answer)
        group.start_soon(stream.send, bytes(fill(stream.extra(SocketAttribute.raw_socket))))
        assert await stream.receive() == b"answer"
        group.cancel_scope.cancel()


# -- the end of one direction, and of all


async def test_send_eof_leaves_the_other_direction_open() -> None:
    async with pair() as (stream, theirs):
        await stream.send(b"last words")
        await stream.send_eof()
        assert theirs.recv(100) == b"last words"
        assert theirs.recv(100) == b""
        theirs.send(b"reply")
        assert await stream.receive() == b"reply"
        await stream.send_eof()
        with pytest.raises(BrokenResourceError):
            await stream.send(b"more")


async def test_a_closed_stream_is_closed() -> None:
    async with pair() as (stream, theirs):
        await stream.aclose()
        await stream.aclose()
        assert theirs.recv(1) == b""
        for use in (stream.receive, stream.send_eof, lambda: stream.send(b"x")):
            with pytest.raises(ClosedResourceError):
                await use()


@pytest.mark.parametrize("direction", ["receive", "send"])
async def test_closing_wakes_up_who_waits(direction: str) -> None:
    async with pair() as (stream, _):
        fill(stream.extra(SocketAttribute.raw_socket))

        async def wait() -> None:
            with pytest.raises(ClosedResourceError):
                await (stream.receive() if direction == "receive" else stream.send(b"x"))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await stream.aclose()


async def test_closing_works_in_a_cancelled_task() -> None:
    async with pair() as (stream, theirs):
        with CancelScope() as scope:
            scope.cancel()
            await stream.aclose()
        assert theirs.recv(1) == b""


# -- connecting


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    path = str(tmp_path / "d.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen(1)
        sock.setblocking(False)
        yield path, sock


async def test_connect_unix(listener: tuple[str, socket.socket]) -> None:
    path, sock = listener
    async with await connect_unix(path) as stream:
        accepted, _ = sock.accept()
        with accepted:
            await stream.send(b"hello")
            assert accepted.recv(5) == b"hello"


async def test_connect_unix_waits_for_a_place_in_the_backlog(listener: tuple[str, socket.socket]) -> None:
    path, sock = listener
    streams: list[SocketStream] = []
    accepted: list[socket.socket] = []

    async def connect() -> None:
        streams.append(await connect_unix(path))

    with fail_after(10):
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(connect)
            while not streams:
                await checkpoint()
            await anyio.wait_all_tasks_blocked()
            assert len(streams) < 10
            while len(streams) < 10:
                try:
                    accepted.append(sock.accept()[0])
                except BlockingIOError:
                    await checkpoint()
    for stream in streams:
        await stream.aclose()
    for end in accepted:
        end.close()


async def test_a_connect_that_is_cancelled_leaves_no_socket(listener: tuple[str, socket.socket]) -> None:
    path, _ = listener
    with CancelScope() as scope:
        scope.cancel()
        await connect_unix(path)
    # A socket left open would be a ResourceWarning, which fails the test.
    assert scope.cancelled_caught


@pytest.mark.parametrize("kind", ["absent", "file"])
async def test_connect_unix_to_no_socket(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "d.sock"
    if kind == "file":
        path.touch()
    expected = FileNotFoundError if kind == "absent" else ConnectionRefusedError
    with pytest.raises(expected):
        await connect_unix(str(path))


@pytest.fixture(params=["127.0.0.1", "localhost"])
def tcp_listener(request: pytest.FixtureRequest) -> Iterator[tuple[str, int, socket.socket]]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(5)
        yield request.param, sock.getsockname()[1], sock


async def test_connect_tcp(tcp_listener: tuple[str, int, socket.socket]) -> None:
    host, port, sock = tcp_listener
    async with await connect_tcp(host, port) as stream:
        accepted, _ = sock.accept()
        with accepted:
            await stream.send(b"hello")
            assert accepted.recv(5) == b"hello"
            ours = stream.extra(SocketAttribute.raw_socket)
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_connect_tcp_refused() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            await connect_tcp("127.0.0.1", port)


async def test_connect_tcp_to_no_host() -> None:
    with pytest.raises(socket.gaierror):
        await connect_tcp("no-such-host.invalid", 80)


# -- as httpcore sees them


async def test_the_end_is_no_bytes_for_httpcore() -> None:
    async with pair() as (stream, theirs):
        raw = RawStream(stream)
        theirs.send(b"last")
        theirs.shutdown(socket.SHUT_WR)
        assert await raw.read(100) == b"last"
        assert await raw.read(100) == b""


async def test_errors_are_httpcores() -> None:
    async with pair() as (stream, theirs):
        raw = RawStream(stream)
        await raw.write(b"never read")
        theirs.close()
        with pytest.raises(httpcore.ReadError):
            await raw.read(100)
        with pytest.raises(httpcore.WriteError):
            await raw.write(b"more")


@pytest.mark.parametrize("kind", [RawStream, SocketConnection])
async def test_a_stale_connection_is_readable(kind: type[RawStream]) -> None:
    async with pair() as (stream, theirs):
        raw = kind(stream)
        assert raw.get_extra_info("socket") is stream.extra(SocketAttribute.raw_socket)
        assert raw.get_extra_info("something else") is None
        assert raw.get_extra_info("is_readable") is False
        theirs.close()
        assert raw.get_extra_info("is_readable") is True
        await raw.aclose()
        assert raw.get_extra_info("is_readable") is True


@pytest.mark.parametrize(
    "sizes", [[3], [3, 5, 2], [0, 3, 0], [1, 300_000, 2], [200_000, 200_000, 200_000], [2_000_000]]
)
async def test_parts_are_sent_as_if_they_were_one(sizes: list[int]) -> None:
    parts = [os.urandom(size) for size in sizes]
    received = b""
    with fail_after(5):
        async with pair() as (stream, theirs), create_task_group() as tg:
            tg.start_soon(SocketConnection(stream).write_parts, parts)
            while len(received) < sum(sizes):
                await anyio.wait_readable(theirs)
                received += theirs.recv(100_000)
            assert received == b"".join(parts)


async def test_parts_to_nobody_are_an_error() -> None:
    async with pair() as (stream, theirs):
        theirs.close()
        with pytest.raises(httpcore.WriteError):
            await SocketConnection(stream).write_parts([b"one", b"two"])


async def test_the_backend_dials(listener: tuple[str, socket.socket]) -> None:
    path, sock = listener
    raw = await Backend().connect_unix_socket(path)
    with sock.accept()[0] as accepted:
        await raw.send_eof()
        assert accepted.recv(1) == b""
    await raw.aclose()
    await Backend().sleep(0)
