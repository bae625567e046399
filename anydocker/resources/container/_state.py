"""Starting, stopping, changing and removing a container."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, cast, get_args

from anydocker._wire.container import PortKey, port_key
from anydocker._wire.documents import name_at, objects_at, section_at, shown, texts_at, value_at
from anydocker.errors import APIError, ProtocolError, TruncatedStream, Unhealthy
from anydocker.resources.container._base import ContainerBase
from anydocker.streams import PendingExit

if TYPE_CHECKING:
    from anydocker.types import ContainerInspectResponse, ContainerTopResponse, FilesystemChange

__all__ = ("ContainerState", "PublishedPort", "WaitCondition")

# Events behind which a container's health may be another one.
_HEALTH_EVENTS: Final = ("health_status", "die", "destroy", "start")

_PORT: Final = re.compile(r"[0-9]{1,5}")

WaitCondition: TypeAlias = Literal["not-running", "next-exit", "removed"]
"""Not running (at once if it is not), its next exit, or its removal."""


class PublishedPort(NamedTuple):
    """Where a port is published on the engine's host."""

    host: str
    """The address; ``0.0.0.0`` or ``::`` for all."""
    port: int
    """The port."""


class ContainerState(ContainerBase):
    """The part of the handle that changes the container as a whole."""

    __slots__ = ()

    async def start(self) -> bool:
        """
        Start the container.

        ``POST /containers/{id}/start`` (``ContainerStart``).

        Returns:
            False if it was running already.

        Raises:
            NotFound: There is no such container.
            BadRequest: Its command cannot be started.

        If cancelled: it may be started.
        """
        return await self._act("start")

    async def stop(self, *, signal: str | None = None, grace_seconds: int | None = None) -> bool:
        """
        Stop the container; the engine kills it when the grace period is over.

        ``POST /containers/{id}/stop`` (``ContainerStop``).

        Args:
            signal: Name or number, such as ``"SIGINT"``. Default: the container's own, or SIGTERM. API 1.42.
            grace_seconds: Whole seconds; 0 kills at once, -1 waits for ever. Default: the container's own, or ten.

        Returns:
            False if it was not running.

        Raises:
            NotFound: There is no such container.
            UnsupportedByEngine: ``signal`` is given and a lower version is spoken.

        If cancelled: the engine may go on stopping it.
        """
        if signal is not None:
            self._docker.require("1.42", "stop(signal=...)")
        return await self._act("stop", takes_long=True, signal=signal, t=grace_seconds)

    async def restart(self, *, signal: str | None = None, grace_seconds: int | None = None) -> None:
        """
        Stop the container, as :meth:`stop` does, and start it.

        ``POST /containers/{id}/restart`` (``ContainerRestart``). Arguments and errors are those of :meth:`stop`.

        If cancelled: the engine may go on; the container may be left stopped.
        """
        if signal is not None:
            self._docker.require("1.42", "restart(signal=...)")
        await self._act("restart", takes_long=True, signal=signal, t=grace_seconds)

    async def kill(self, signal: str = "SIGKILL") -> None:
        """
        Send a signal to the main process.

        ``POST /containers/{id}/kill`` (``ContainerKill``).

        Args:
            signal: Name or number.

        Raises:
            NotFound: There is no such container.
            Conflict: It is not running.
            ValueError: The signal is empty.

        If cancelled: the signal may have been sent.
        """
        if not signal:
            # An engine takes it for SIGKILL.
            raise ValueError("signal is empty: name one, such as 'SIGTERM'")
        await self._act("kill", signal=signal)

    async def pause(self) -> None:
        """
        Suspend every process: ``POST /containers/{id}/pause`` (``ContainerPause``).

        Raises:
            Conflict: It is not running, or suspended already.
        """
        await self._act("pause")

    async def unpause(self) -> None:
        """
        Let every process go on: ``POST /containers/{id}/unpause`` (``ContainerUnpause``).

        Raises:
            Conflict: It is not suspended. (Docker 20.10 answers 500: EngineFault.)
        """
        await self._act("unpause")

    async def rename(self, name: str) -> None:
        """
        Give it another name; this handle keeps the name it has.

        ``POST /containers/{id}/rename`` (``ContainerRename``).

        Raises:
            Conflict: The name is taken.
        """
        await self._act("rename", name=name)

    async def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """
        Remove the container.

        ``DELETE /containers/{id}`` (``ContainerDelete``).

        Args:
            force: Kill it first if it is running.
            volumes: Remove its unnamed volumes, too.

        Raises:
            NotFound: There is no such container.
            Conflict: It is running and ``force`` is not given, or it is being removed already.

        If cancelled: it may have been removed.
        """
        if force and self._docker.is_podman:
            # It would give the process ten seconds to heed SIGTERM. After a kill it is not done with the container yet.
            with suppress(APIError):
                await self._act("stop", t=0)
        query = {"force": force, "v": volumes}
        await self._docker.request("DELETE", self._path, query=query)

    async def wait(self, condition: WaitCondition = "not-running") -> int:
        """
        Wait for the container to end.

        ``POST /containers/{id}/wait`` (``ContainerWait``). To be sure not to miss the end, open the wait before
        the start: :meth:`open_wait`.

        Args:
            condition: What to wait for.

        Returns:
            The exit code.

        Raises:
            NotFound: There is no such container.
            StreamError: The engine could not wait; it says why.
            ValueError: The condition is none of these.

        If cancelled: nothing is left behind.
        """
        async with self.open_wait(condition) as pending:
            return await pending.exit_code()

    @asynccontextmanager
    async def open_wait(self, condition: WaitCondition = "next-exit") -> AsyncGenerator[PendingExit, None]:
        """
        Begin to wait, and do something else meanwhile, such as starting the container.

        The arguments are those of :meth:`wait`. The engine waits from the moment the block is entered.

        Yields:
            The exit to come: ``await pending.exit_code()``.
        """
        # An engine takes what it does not know for "not-running".
        if condition not in get_args(WaitCondition):
            msg = f"condition={condition!r}: expected one of {', '.join(map(repr, get_args(WaitCondition)))}"
            raise ValueError(msg)
        path = f"{self._path}/wait"
        async with self._docker.open_request("POST", path, query={"condition": condition}) as body:
            yield PendingExit(body)

    async def wait_healthy(self) -> None:
        """
        Wait until the container's health check says that it is well.

        ``GET /events`` (``SystemEvents``) and ``GET /containers/{id}/json``: each change of its health is an event, so
        nothing is asked twice.

        Raises:
            Unhealthy: It is not well after all retries, it has ended, or it has no health check; the error has what
                the last probe said.
            NotFound: There is no such container (any more).

        If cancelled: nothing is left behind.
        """
        container = name_at(await self.inspect())
        async with self._docker.open_events(filters={"type": "container", "container": container}) as events:
            while not _is_healthy(await self.inspect()):
                async for event in events:
                    if event.action.startswith(_HEALTH_EVENTS):
                        break
                else:
                    raise TruncatedStream("the engine has ended its events")

    async def port(self, port: PortKey) -> list[PublishedPort]:
        """
        Where a port of the container is published.

        Args:
            port: The port: ``80``, ``"53/udp"``.

        Returns:
            Addresses and ports of the engine's host; empty if it is not published.

        Raises:
            NotFound: There is no such container.
            ValueError: It is no port.
        """
        key = port_key(port)
        bindings = objects_at(section_at(await self.inspect(), "NetworkSettings", "Ports"), key)
        return [_published(binding) for binding in bindings]

    async def top(self, ps_args: str | None = None) -> ContainerTopResponse:
        """
        The processes of the container: ``GET /containers/{id}/top`` (``ContainerTop``).

        Args:
            ps_args: Options for ``ps``, such as ``"aux"``.

        Returns:
            ``Titles`` of the columns, and ``Processes`` with a list of texts for each.

        Raises:
            Conflict: It is not running. (Some engines answer 500: EngineFault.)
        """
        response = await self._docker.request("GET", f"{self._path}/top", query={"ps_args": ps_args})
        return cast("ContainerTopResponse", response.document())

    async def changes(self) -> list[FilesystemChange]:
        """What differs from the image: ``GET /containers/{id}/changes`` (``ContainerChanges``)."""
        response = await self._docker.request("GET", f"{self._path}/changes")
        return cast("list[FilesystemChange]", response.documents())

    async def update(self, config: Mapping[str, Any]) -> list[str]:
        """
        Change limits and restart policy of a container.

        ``POST /containers/{id}/update`` (``ContainerUpdate``).

        Args:
            config: The document with what to change, such as ``{"Memory": 64 << 20}``.

        Returns:
            Warnings.
        """
        response = await self._docker.request("POST", f"{self._path}/update", json=dict(config))
        return texts_at(response.document(), "Warnings")


def _published(binding: dict[str, Any]) -> PublishedPort:
    port = value_at(binding, "HostPort", kind=str)
    if not _PORT.fullmatch(port):
        raise ProtocolError(f"expected the number of a port at 'HostPort', not {shown(port)}")
    return PublishedPort(value_at(binding, "HostIp", kind=str), int(port))


def _is_healthy(document: ContainerInspectResponse) -> bool:
    """Whether a container is healthy; False if it still may become so."""
    # Podman sends a health of "" where there is no check.
    health = section_at(document, "State", "Health")
    status = health.get("Status") or "none"
    probes = objects_at(health, "Log")
    output = str(probes[-1].get("Output", "")) if probes else ""
    if status == "none":
        raise Unhealthy("the container has no health check: its image needs one, or its options")
    if value_at(document, "State", "Status", kind=str) in {"exited", "dead"}:
        code = value_at(document, "State", "ExitCode", kind=int)
        raise Unhealthy(f"the container has ended with exit code {code}", output)
    if status == "unhealthy":
        raise Unhealthy("the container is unhealthy", output)
    return status == "healthy"
