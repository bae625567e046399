"""The client: which engine, which version, and raw access to every endpoint."""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias, cast, final, get_args

import attrs
from anyio import ClosedResourceError, get_cancelled_exc_class

from anydocker._concurrency import CLEANUP_SECONDS, finish_within
from anydocker._endpoint import Endpoint, TLSConfig, resolve
from anydocker._proxies import find_proxies
from anydocker._transport.messages import Request, Response
from anydocker._wire.auth import registry_host
from anydocker._wire.jsonstream import dumps
from anydocker._wire.query import Filters, QueryValue, encode_filters, encode_query, encode_timestamp, nanoseconds
from anydocker._wire.status import api_error
from anydocker._wire.versions import CEILING, FLOOR, ApiVersion, negotiate
from anydocker.auth import Credentials
from anydocker.errors import APIError, ConnectError, ProtocolError, UnsupportedByEngine
from anydocker.resources.containers import Containers
from anydocker.resources.distribution import Distribution
from anydocker.resources.images import Images
from anydocker.resources.networks import Networks
from anydocker.resources.volumes import Volumes
from anydocker.streams import BodyStream, EventStream
from anydocker.streams._base import warn_if_dropped
from anydocker.streams._resumed import EventHistory, open_resumed

if TYPE_CHECKING:
    import ssl

    import httpcore

    from anydocker._transport.exchange import Exchange
    from anydocker._transport.pool import Transport
    from anydocker.types import SystemDataUsageResponse, SystemInfo, SystemVersion

__all__ = ("Docker", "Ping", "Statistics", "connect")

# Bytes of the body of a refusal.
_MAX_REFUSAL: Final = 1024 * 1024
_USER_AGENT: Final = "anydocker"

DiskUse: TypeAlias = Literal["container", "image", "volume", "build-cache"]
"""What takes up the disk of an engine."""


@attrs.frozen
class Ping:
    """
    What an engine says of itself to whoever asks.

    Attributes:
        api_version: The newest API version it speaks.
        os: The operating system of its containers: ``"linux"`` or ``"windows"``.
        builder: The builder it suggests: ``"2"`` for BuildKit, ``"1"`` for the classic one, ``""`` if it does not say.
        experimental: Whether experimental features are on.
        swarm: Its state in a swarm, such as ``"inactive"`` or ``"active/manager"``; ``""`` if it does not say.
        podman: Whether it is Podman.
    """

    api_version: str
    os: str = "linux"
    builder: str = ""
    experimental: bool = False
    swarm: str = ""
    podman: bool = False


@attrs.frozen
class Statistics:
    """
    The connections a client holds at the moment.

    Attributes:
        idle_connections: Those that are kept for the next calls.
        open_streams: Those that streams hold, and calls that have a connection of their own.
    """

    idle_connections: int
    open_streams: int


def connect(
    host: str | None = None,
    *,
    context: str | None = None,
    tls: TLSConfig | ssl.SSLContext | None = None,
    api_version: str | None = None,
    use_config_proxies: bool = True,
    network_backend: httpcore.AsyncNetworkBackend | None = None,
) -> Docker:
    """
    Find an engine, and make a client of it: ``async with anydocker.connect() as d``.

    Which engine it is, is decided here, in the order of the ``docker`` command line: ``host`` or ``context``,
    ``DOCKER_HOST``, ``DOCKER_CONTEXT``, the current context of ``config.json`` (under ``DOCKER_CONFIG``), the first
    default socket that exists. It is called when the block is entered.

    Args:
        host: The address of the engine: ``unix:///path/to/docker.sock``, ``tcp://HOST:PORT``, ``ssh://USER@HOST``.
            What has no scheme is taken for a TCP host.
        context: The name of a context (``docker context ls``), instead of an address. ``"default"`` is the engine
            that ``DOCKER_HOST`` names, or else that of the default socket.
        tls: How to trust each other, over TCP. Default: as ``DOCKER_TLS_VERIFY``, ``DOCKER_TLS`` and
            ``DOCKER_CERT_PATH`` say, or the context.
        api_version: The API version to speak, such as ``"1.45"``. Default: ``DOCKER_API_VERSION``, or the newest that
            both sides know.
        use_config_proxies: Give containers and builds the proxies that ``config.json`` has for them, as variables, as
            the command line does. ``env`` and ``buildargs`` win.
        network_backend: Opens the connections instead of ours: any ``httpcore.AsyncNetworkBackend``.

    Returns:
        The client, to be entered once.

    Raises:
        ValueError: The address or the version is malformed, or the version is none that anydocker speaks.
        ConnectError: There is no such context.
    """
    version, source = api_version, "api_version"
    if version is None and os.environ.get("DOCKER_API_VERSION"):
        version, source = os.environ["DOCKER_API_VERSION"].removeprefix("v"), "DOCKER_API_VERSION"
    pinned = None if version is None else _pin(version, source)
    endpoint = resolve(host, context=context, tls=tls, environ=os.environ, home=Path.home())
    return Docker(endpoint, pinned, network_backend, use_config_proxies=use_config_proxies)


def _pin(version: str, source: str) -> ApiVersion:
    try:
        pinned = ApiVersion.parse(version)
    except ValueError as exc:
        raise ValueError(f"{source}={exc}") from None
    if not FLOOR <= pinned <= CEILING:
        raise ValueError(f"{source}={version!r}: anydocker speaks {FLOOR} to {CEILING}")
    return pinned


@final
class Docker:
    """
    A client of one engine, made by :func:`connect`.

    It may be used by many tasks at a time. Calls share up to 32 connections that are kept alive; every stream has
    a connection of its own, so streams never keep a call waiting. Nothing runs in the background.

    Attributes:
        endpoint: Where the engine listens, and where that choice came from.
        containers: The containers.
        images: The images.
        distribution: The registries.
        networks: The networks.
        volumes: The volumes.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        pinned: ApiVersion | None = None,
        network_backend: httpcore.AsyncNetworkBackend | None = None,
        *,
        use_config_proxies: bool = True,
    ) -> None:
        self.endpoint: Final = endpoint
        self.containers: Final = Containers(self)
        self.images: Final = Images(self)
        self.distribution: Final = Distribution(self)
        self.networks: Final = Networks(self)
        self.volumes: Final = Volumes(self)
        self._pinned = pinned
        self._network_backend = network_backend
        self._transport: Transport | None = None
        self._version: ApiVersion | None = None
        self._podman = False
        self._proxies: Mapping[str, str] | None = None if use_config_proxies else {}
        self._entered = False

    async def __aenter__(self) -> Self:
        """
        Reach the engine and agree on a version.

        Raises:
            ConnectError: No engine answers there.
            UnsupportedByEngine: There is no version that both sides speak.
        """
        from anydocker._transport.pool import Transport  # noqa: PLC0415 - the import costs more than a first call

        if self._entered:
            raise RuntimeError("a client can be entered once: call connect() again")
        self._entered = True
        self._transport = Transport(self.endpoint, self._network_backend)
        try:
            self._version = await self._negotiate()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if getattr(self, "_transport", None) is not None:
            _warn(f"unclosed {self!r}: use it as `async with`", ResourceWarning, source=self)

    def __repr__(self) -> str:
        return f"<Docker {self.endpoint.url}>"

    def statistics(self) -> Statistics:
        """Count the connections that are held at the moment: none before the block is entered and after it."""
        transport = self._transport
        if transport is None:
            return Statistics(0, 0)
        return Statistics(transport.idle_connections, transport.open_streams)

    # -- version

    @property
    def api_version(self) -> str:
        """The API version that is spoken, such as ``"1.45"``; known once the block is entered."""
        return str(self._spoken)

    @property
    def is_podman(self) -> bool:
        """Whether the engine is Podman; known once the block is entered."""
        return self._podman

    @property
    def _spoken(self) -> ApiVersion:
        if self._version is None:
            raise RuntimeError("the client has not been entered: use it as `async with`")
        return self._version

    def speaks(self, version: str) -> bool:
        """Whether the version that is spoken is at least ``version``."""
        return self._spoken >= ApiVersion.parse(version)

    def require(self, version: str, what: str) -> None:
        """
        Insist on a version.

        Raises:
            UnsupportedByEngine: A lower one is spoken. Nothing was sent.
        """
        if not self.speaks(version):
            msg = f"{what} needs API {version}, and {self.endpoint.url} is spoken to in {self._spoken}"
            raise UnsupportedByEngine(msg)

    async def _negotiate(self) -> ApiVersion:
        floor = None
        try:
            ping = await self.ping()
            engine = ApiVersion.parse(ping.api_version)
            if engine > CEILING or self._pinned is not None:
                floor = await self._engine_floor()
        except ProtocolError as exc:
            raise ConnectError(self.endpoint.failure(exc)) from exc
        except APIError as exc:
            raise ConnectError(self.endpoint.failure(f"what answers there is no engine: {exc}")) from exc
        self._podman = ping.podman
        if self._pinned is None:
            return negotiate(engine, floor)
        if self._pinned > engine or (floor is not None and self._pinned < floor):
            oldest = f"{floor} to " if floor is not None else "at most "
            msg = f"api_version={str(self._pinned)!r} was asked for; {self.endpoint.url} speaks {oldest}{engine}"
            raise UnsupportedByEngine(msg)
        return self._pinned

    async def _engine_floor(self) -> ApiVersion | None:
        document = (await self._exchange("GET", "/version")).json()
        try:
            floor = document.get("MinAPIVersion")
            return ApiVersion.parse(floor) if floor else None
        except (AttributeError, TypeError, ValueError) as exc:
            raise ProtocolError("it does not say, as an engine does, which versions it speaks") from exc

    # -- the engine

    async def ping(self) -> Ping:
        """
        Ask the engine whether it is there.

        ``HEAD /_ping`` (``SystemPingHead``), and ``GET`` for what does not know that.

        Raises:
            ConnectError: It is not.
            ProtocolError: Something else is there.
        """
        try:
            answer = await self._exchange("HEAD", "/_ping")
        except APIError:
            answer = await self._exchange("GET", "/_ping")
        headers = answer.headers
        version = headers.get("api-version", "")
        try:
            ApiVersion.parse(version)
        except ValueError as exc:
            raise ProtocolError("it answers in HTTP, but not as an engine does: no Api-Version") from exc
        return Ping(
            api_version=version,
            os=headers.get("ostype", "linux"),
            builder=headers.get("builder-version", ""),
            experimental=headers.get("docker-experimental", "").lower() == "true",
            swarm=headers.get("swarm", ""),
            podman="libpod-api-version" in headers,
        )

    async def version(self) -> SystemVersion:
        """The versions of the engine and its parts: ``GET /version`` (``SystemVersion``)."""
        return cast("SystemVersion", (await self.request("GET", "/version")).document())

    async def info(self) -> SystemInfo:
        """The state of the engine as a whole: ``GET /info`` (``SystemInfo``)."""
        return cast("SystemInfo", (await self.request("GET", "/info")).document())

    async def df(self, *, types: Sequence[DiskUse] = (), verbose: bool = False) -> SystemDataUsageResponse:
        """
        What takes up the disk of the engine: ``GET /system/df`` (``SystemDataUsage``).

        Args:
            types: Reckon these only: ``"container"``, ``"image"``, ``"volume"``, ``"build-cache"``. Default: all,
                which may take a while. API 1.42.
            verbose: With every single object in the ``Items`` of ``ImageUsage``, ``ContainerUsage``, ... API 1.52.

        Returns:
            The engine's document. Below API 1.52 it has ``Images``, ``Containers``, ``Volumes`` and ``BuildCache``,
            with every single object; from then on ``ImageUsage`` and so forth.

        Raises:
            UnsupportedByEngine: An argument needs a newer version than is spoken.
            ValueError: One of the types is none.
            TypeError: ``types`` is one str.
        """
        if isinstance(types, str):
            raise TypeError("types is a sequence, not one str: df(types=[...])")
        if not set(types) <= set(get_args(DiskUse)):
            msg = f"types={types!r}: expected some of {', '.join(map(repr, get_args(DiskUse)))}"
            raise ValueError(msg)
        if types:
            self.require("1.42", "df(types=...)")
        if verbose:
            self.require("1.52", "df(verbose=True)")
        query = {"type": types, "verbose": verbose or None}
        response = await self.request("GET", "/system/df", query=query, own_connection=True)
        return cast("SystemDataUsageResponse", response.document())

    async def login(self, registry: str, *, username: str, password: str) -> Credentials:
        """
        Have the engine check credentials with a registry.

        ``POST /auth`` (``SystemAuth``). Nothing is kept, by the engine or here: use what is returned as ``auth=``.

        Args:
            registry: The registry's host, such as ``registry.example:5000``; ``docker.io`` for Docker Hub.
            username: The user name.
            password: The password, or an access token that stands in for one.

        Returns:
            The credentials, with the identity token instead of the password if the registry gives one.

        Raises:
            Unauthorized: They are wrong. Engines before 28 answer 500: EngineFault.
            EngineFault: The engine does not reach the registry.
        """
        server = "https://index.docker.io/v1/" if registry_host(registry) == "docker.io" else registry
        given = Credentials(username=username, password=password, server=server)
        response = await self.request("POST", "/auth", json=given.document(), own_connection=True)
        token = response.document().get("IdentityToken") if response.body else None
        return Credentials(identity_token=token, server=server) if token else given

    async def config_proxies(self) -> Mapping[str, str]:
        """
        The proxies that containers and builds are given: what ``config.json`` has for this engine, or by default.

        The file is read once, when they are first wanted.

        Returns:
            Variables by name, such as ``HTTP_PROXY`` and ``http_proxy``; empty with ``use_config_proxies=False``.

        Raises:
            ConfigError: ``config.json`` cannot be read, or what it says of proxies is malformed.
        """
        if self._proxies is None:
            self._proxies = await find_proxies(self.endpoint.url)
        return self._proxies

    @asynccontextmanager
    async def open_events(
        self,
        *,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        filters: Filters | None = None,
        reconnect: bool = False,
    ) -> AsyncGenerator[EventStream, None]:
        """
        Follow what happens in the engine.

        ``GET /events`` (``SystemEvents``). Events are sent from the moment the block is entered. An engine does not
        wait for a reader for ever: dockerd keeps 1024 events for one that lags, and then drops some without saying so.

        With ``reconnect``, a connection that is lost, by a restart of the engine or on the way, is no error: the next
        read opens another one and goes on behind the last event, with none twice. It tries at once, then after pauses
        of 0.1 seconds, doubled up to 5, until it succeeds, the caller's cancel scope ends it, or the engine refuses
        with a status below 500, which is raised. It dials in the task that reads, so give a read the time to. The
        first connection is made, or fails, when the block is entered.

        What the engine still knows is not missed. That is dockerd's last 256 events, of all kinds and before filters,
        and none from before its own start: what happens while it stops or starts is lost. Where that may be so ``gaps``
        goes up, and it is time to look at the containers themselves. It may go up with nothing missing, too, where
        nothing that was followed has happened for long. A machine that vanishes without a word is not noticed.

        Args:
            since: Begin with events of the past: Unix seconds, or a datetime with a time zone.
            until: End at that time, instead of never.
            filters: Which events, such as ``{"type": "container", "event": ["start", "die"]}``.
            reconnect: Go on where the connection was lost.

        Yields:
            Events, as :class:`~anydocker.Event` values.

        Raises:
            TypeError: A filter or a time is of the wrong type.
            ValueError: A datetime has no time zone.
            BadRequest: The engine does not know a filter.

        If a read is cancelled: nothing is lost, nor while it dials; the next one goes on.
        """
        begin = None if since is None else encode_timestamp(since, "since")
        end = None if until is None else encode_timestamp(until, "until")
        query = {"until": end, "filters": encode_filters(filters)}

        def open_since(begin: str | None) -> AbstractAsyncContextManager[BodyStream]:
            return self.open_request("GET", "/events", query={"since": begin, **query})

        if reconnect:
            history = EventHistory(
                since=None if begin is None else nanoseconds(begin), until=None if end is None else nanoseconds(end)
            )
            async with open_resumed(open_since, history) as events:
                yield events
        else:
            async with open_since(begin) as body, aclosing(EventStream(body)) as events:
                yield events

    # -- raw access

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, QueryValue] | None = None,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        body: bytes | AsyncIterable[bytes] | None = None,
        own_connection: bool = False,
        undo: Callable[[Response], Awaitable[object]] | None = None,
    ) -> Response:
        """
        Make any call and take the whole answer.

        Args:
            method: The HTTP method.
            path: The path without the version, such as ``/containers/json``, percent-encoded where needed.
            query: The parameters: None is left out, bools are ``1`` and ``0``, a sequence repeats its key.
            headers: Further fields.
            json: A document to send.
            body: Bytes to send, or a stream of them, instead of ``json``.
            own_connection: Do not take one of the connections that calls share: for calls that take long.
            undo: For a call that creates something. If the call is cancelled when the engine may already have
                acted, the answer is waited for, ten seconds at the most, and given to this before the
                cancellation goes on.

        Returns:
            The answer; its status is below 400.

        Raises:
            APIError: The status is 400 or above; a subclass for the common ones.
            ConnectError: The engine could not be reached.
            TruncatedStream: The connection ended before the answer did.
            ProtocolError: What came is no answer an engine gives, such as a redirect.
            ValueError: The path is malformed.

        If cancelled: the engine may have acted or not. The connection is closed.
        """
        path = f"/v{self._spoken}{_checked_path(path)}"
        return await self._exchange(method, path, query, headers, json, body, own_connection=own_connection, undo=undo)

    @asynccontextmanager
    async def open_request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, QueryValue] | None = None,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        body: bytes | AsyncIterable[bytes] | None = None,
        upgrade: str | None = None,
    ) -> AsyncGenerator[BodyStream, None]:
        """
        Make any call and receive the answer as it comes, on a connection of its own.

        Args:
            method: The HTTP method.
            path: The path without the version.
            query: The parameters, as for :meth:`request`.
            headers: Further fields.
            json: A document to send.
            body: Bytes to send, or a stream of them, instead of ``json``. They are sent before the block begins.
            upgrade: Ask for another protocol, such as ``"tcp"``, and have both directions to yourself then.

        Yields:
            The body. Leaving the block closes the connection at once, wherever the body is.

        Raises:
            APIError: The status is 400 or above.
            ConnectError: The engine could not be reached.
            TruncatedStream: The connection ended before the head of the answer did.
            ValueError: The path is malformed.
        """
        fields = dict(headers or {})
        if upgrade is not None:
            fields |= {"Connection": "Upgrade", "Upgrade": upgrade}
        path = f"{self.endpoint.prefix}/v{self._spoken}{_checked_path(path)}"
        request = _make_request(method, path, query, fields, json, body)
        async with self._open_transport.open(request) as exchange:
            await exchange.receive_head()
            if exchange.status >= 400:
                raise _refusal(exchange.status, await exchange.read(_MAX_REFUSAL), request)
            async with aclosing(BodyStream(exchange)) as stream:
                with warn_if_dropped(stream):
                    yield stream

    @property
    def _open_transport(self) -> Transport:
        if self._transport is None:
            if self._entered:
                raise ClosedResourceError
            raise RuntimeError("the client has not been entered: use it as `async with`")
        return self._transport

    async def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, QueryValue] | None = None,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        body: bytes | AsyncIterable[bytes] | None = None,
        *,
        own_connection: bool = False,
        undo: Callable[[Response], Awaitable[object]] | None = None,
    ) -> Response:
        request = _make_request(method, f"{self.endpoint.prefix}{path}", query, headers, json, body)
        if undo is not None:
            response = await self._exchange_or_undo(request, undo)
        elif own_connection:
            async with self._open_transport.open(request) as exchange:
                response = await _receive_response(exchange)
        else:
            response = await self._open_transport.call(request)
        if response.status >= 400:
            raise _refusal(response.status, response.body, request)
        return response

    async def _exchange_or_undo(self, request: Request, undo: Callable[[Response], Awaitable[object]]) -> Response:
        answered: list[Response] = []
        try:
            async with self._open_transport.open(request) as exchange:

                async def receive() -> None:
                    answered.append(await _receive_response(exchange))

                try:
                    await receive()
                except get_cancelled_exc_class():
                    await finish_within(CLEANUP_SECONDS, receive)
                    raise
        except get_cancelled_exc_class():
            # Also where it was the closing of the connection that was cancelled, with the answer in hand.
            if answered and answered[0].status < 400:
                await finish_within(CLEANUP_SECONDS, partial(undo, answered[0]))
            raise
        return answered[0]


def _make_request(
    method: str,
    path: str,
    query: Mapping[str, QueryValue] | None,
    headers: Mapping[str, str] | None,
    json: object,
    body: bytes | AsyncIterable[bytes] | None,
) -> Request:
    fields = {"User-Agent": _USER_AGENT, **(headers or {})}
    if json is not None:
        if body is not None:
            raise ValueError("json= and body= are two ways to say what is sent: give one of them")
        body = dumps(json)
        fields["Content-Type"] = "application/json"
    encoded = encode_query(query) if query else ""
    return Request(method, f"{path}?{encoded}" if encoded else path, tuple(fields.items()), body)


def _checked_path(path: str) -> str:
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or not _PLAIN.isdisjoint(path):
        msg = f"path={path!r}: a path begins with a slash, is percent-encoded, and leaves the query to query="
        raise ValueError(msg)
    return path


_PLAIN: Final = frozenset(" ?#")


def _refusal(status: int, body: bytes, request: Request) -> APIError:
    return api_error(status, body, request.method, request.target.partition("?")[0])


async def _receive_response(exchange: Exchange) -> Response:
    from anydocker._transport.pool import MAX_ANSWER  # noqa: PLC0415 - see __aenter__

    await exchange.receive_head()
    return Response(exchange.status, exchange.headers, await exchange.read(MAX_ANSWER))
