"""Containers: ``d.containers``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, final, get_args

from anydocker._wire.checks import check_text, check_type
from anydocker._wire.container import HostPort, PortKey, container_document, merge
from anydocker._wire.documents import name_at, section_at, texts_at, value_at
from anydocker._wire.jsonstream import dumps
from anydocker._wire.mount import Mount
from anydocker._wire.options import ContainerOptions
from anydocker._wire.query import Filters, encode_filters, path_segment
from anydocker.auth import Credentials
from anydocker.errors import ContainerFailed, DockerError, NotFound
from anydocker.resources._conversation import Input, check_input, converse
from anydocker.resources._created import create_container, open_created
from anydocker.resources.container import Container, exit_code_after_output
from anydocker.streams import Completed

if TYPE_CHECKING:
    from anydocker._client import Docker
    from anydocker.types import ContainerPruneResponse, ContainerSummary

__all__ = ("Containers", "Ports", "PullPolicy")

Ports: TypeAlias = Mapping[PortKey, HostPort | list[HostPort]]
"""Ports of the container, and where each is published: ``{80: None, "53/udp": 5353, 443: ("127.0.0.1", 8443)}``."""
PullPolicy: TypeAlias = Literal["missing", "always", "never"]
"""When to pull the image: if the engine does not have it, in any case, never."""


_CONFIG_LABEL: Final = "anydocker.config"


@final
class Containers:
    """The containers of an engine: ``d.containers``."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker

    def container(self, id: str) -> Container:
        """
        A handle on a container by its id or name. Nothing is sent; whether there is one shows when it is used.

        Raises:
            ValueError: It is empty, or could not stand in a path.
        """
        check_text("container", id)
        path_segment(id.removeprefix("/"), "container")
        return Container(id, docker=self._docker)

    async def get(self, id: str) -> Container:
        """
        Look up a container by its id or name: ``GET /containers/{id}/json`` (``ContainerInspect``).

        Raises:
            NotFound: There is no such container.
            ValueError: The id is empty, or could not stand in a path.
        """
        document = await self.container(id).inspect()
        return Container(name_at(document), value_at(document, "Name", kind=str).removeprefix("/"), docker=self._docker)

    async def list(
        self,
        *,
        all: bool = False,
        filters: Filters | None = None,
        limit: int | None = None,
        size: bool = False,
    ) -> list[Container]:
        """
        The containers, in one request: ``GET /containers/json`` (``ContainerList``).

        Args:
            all: Those that are not running, too.
            filters: Which ones, such as ``{"label": {"role": "db"}, "status": ["running", "paused"]}``.
            limit: Only the newest so many, running or not.
            size: Have ``SizeRw`` and ``SizeRootFs`` reckoned, which takes a while.

        Returns:
            Handles with the document of the listing as their ``summary``.
        """
        query = {"all": all, "filters": encode_filters(filters), "limit": limit, "size": size or None}
        documents = (await self._docker.request("GET", "/containers/json", query=query)).documents()
        return [self._from_summary(cast("ContainerSummary", document)) for document in documents]

    def _from_summary(self, summary: ContainerSummary) -> Container:
        for name in texts_at(summary, "Names"):
            # Links from other containers are names with a second slash.
            if name.count("/") == 1:
                return Container(name_at(summary), name[1:], summary, docker=self._docker)
        return Container(name_at(summary), None, summary, docker=self._docker)

    async def prune(self, *, filters: Filters | None = None) -> ContainerPruneResponse:
        """
        Remove every container that is not running: ``POST /containers/prune`` (``ContainerPrune``).

        Args:
            filters: Only those, such as ``{"until": "24h", "label": {"ci": None}}``.

        Returns:
            The ids, and the bytes reclaimed.

        If cancelled: the engine may go on.
        """
        query = {"filters": encode_filters(filters)}
        response = await self._docker.request("POST", "/containers/prune", query=query, own_connection=True)
        return cast("ContainerPruneResponse", response.document())

    # -- create

    async def create(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        name: str | None = None,
        entrypoint: Sequence[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        labels: Mapping[str, str] | None = None,
        user: str | None = None,
        workdir: str | None = None,
        tty: bool = False,
        stdin: bool = False,
        ports: Ports | None = None,
        mounts: Sequence[Mount] = (),
        network: str | None = None,
        platform: str | None = None,
        options: ContainerOptions | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Container:
        """
        Create a container.

        ``POST /containers/create`` (``ContainerCreate``).

        Args:
            image: The image, by name or id. It is not pulled; ``run`` and ``open_run`` do that.
            command: The words of the command. Default: the image's.
            name: A name. Default: the engine makes one up.
            entrypoint: The words before the command; empty for none. Default: the image's.
            env: Environment variables; None takes one away that the image sets. The proxies of ``config.json`` are
                added: see :func:`~anydocker.connect`.
            labels: Labels.
            user: User, or ``user:group``, by name or number. Default: the image's.
            workdir: The directory the command runs in. Default: the image's.
            tty: Give it a terminal: then all output is stdout.
            stdin: Keep standard input open for one ``open_attach(stdin=True)``.
            ports: Ports to publish: ``{80: None}`` on a free port of the host, ``{"53/udp": 5353}`` on that one,
                ``{443: ("127.0.0.1", 8443)}`` on that address; several of them in a list.
            mounts: What to mount.
            network: A network by name or id, ``"none"``, ``"host"`` or ``"container:<id>"``. Default: the bridge.
            platform: Which variant of the image, such as ``linux/arm64``. API 1.41.
            options: Everything less common: limits, restart policy, health check, devices, capabilities ...
            config: A raw document that is merged into the one made of the other arguments, and wins. It reaches
                everything the engine knows, such as ``{"HostConfig": {"Memory": 64 << 20}}``.

        Returns:
            The container. Its ``warnings`` are what the engine had to say of the arguments, such as that the kernel
            has no limit of the kind; they are logged, too, by the logger ``anydocker``.

        Raises:
            NotFound: There is no such image.
            Conflict: The name is taken.
            ConfigError: ``config.json`` cannot be read; see ``use_config_proxies`` of :func:`~anydocker.connect`.
            BadRequest: The engine did not accept the configuration.
            ValueError: An argument is out of range; the message names it.
            TypeError: An argument is of the wrong type; the message names it.

        If cancelled: there is no container. Should the engine not answer for ten seconds, it may create one later.
        """
        document = container_document(
            image,
            command,
            entrypoint=entrypoint,
            env=env,
            labels=labels,
            user=user,
            workdir=workdir,
            tty=tty,
            stdin=stdin,
            ports=ports,
            mounts=mounts,
            network=network,
            options=options,
            config=config,
        )
        return await create_container(self._docker, document, name, platform)

    async def replace(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        name: str,
        grace_seconds: int | None = None,
        entrypoint: Sequence[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        labels: Mapping[str, str] | None = None,
        user: str | None = None,
        workdir: str | None = None,
        tty: bool = False,
        stdin: bool = False,
        ports: Ports | None = None,
        mounts: Sequence[Mount] = (),
        network: str | None = None,
        platform: str | None = None,
        options: ContainerOptions | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Container:
        """
        See to it that there is a container of this name, and that it is made just so.

        One that is there stays as it is if it was made by this method with the same arguments, of the image that the
        name ``image`` stands for now. Any other one of this name is stopped and removed, and a new one created. What
        the arguments were is kept as a digest in the label ``anydocker.config``. The proxies of ``config.json`` are
        no argument: a container that was made with others stays.

        Args:
            image: As for :meth:`create`, and so is what is not explained here.
            command: The words of the command.
            name: The name.
            grace_seconds: How long the old container has to stop. Default: its own time, or ten.
            entrypoint: The words before the command.
            env: Environment variables.
            labels: Labels.
            user: User, or ``user:group``.
            workdir: The directory the command runs in.
            tty: Give it a terminal.
            stdin: Keep standard input open.
            ports: Ports to publish.
            mounts: What to mount.
            network: A network.
            platform: Which variant of the image.
            options: Everything less common.
            config: A raw document that is merged into the one made of the other arguments, and wins.

        Returns:
            The container: the one that was there, in the state it is in, or a new one, not started.

        Raises:
            NotFound: There is no such image. A container that is there stays, then.
            Conflict: Somebody else has taken the name meanwhile.

        If cancelled: there may be the old container, or none.
        """
        from hashlib import sha256  # noqa: PLC0415 - it takes OpenSSL with it

        document = container_document(
            image,
            command,
            entrypoint=entrypoint,
            env=env,
            labels=labels,
            user=user,
            workdir=workdir,
            tty=tty,
            stdin=stdin,
            ports=ports,
            mounts=mounts,
            network=network,
            options=options,
            config=config,
        )
        path_segment(name, "name")
        check_type("platform", platform, "a str", str)
        check_type("grace_seconds", grace_seconds, "an int", int)
        image_id = (await self._docker.images.get(image)).id
        digest = sha256(dumps([document, platform, image_id])).hexdigest()
        document = merge(document, {"Labels": {_CONFIG_LABEL: digest}})
        try:
            old = await self.get(name)
        except NotFound:
            return await create_container(self._docker, document, name, platform)
        if section_at(await old.inspect(), "Config", "Labels").get(_CONFIG_LABEL) == digest:
            return old
        await old.stop(grace_seconds=grace_seconds)
        await old.remove(volumes=True)
        return await create_container(self._docker, document, name, platform)

    # -- run

    async def run(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        input: Input = None,
        check: bool = True,
        pull: PullPolicy = "missing",
        auth: Credentials | None = None,
        name: str | None = None,
        entrypoint: Sequence[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        labels: Mapping[str, str] | None = None,
        user: str | None = None,
        workdir: str | None = None,
        tty: bool = False,
        ports: Ports | None = None,
        mounts: Sequence[Mount] = (),
        network: str | None = None,
        platform: str | None = None,
        options: ContainerOptions | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Completed:
        """
        Run a command in a new container to its end, and remove the container.

        Pulls the image if the engine does not have it, creates the container, attaches to it, starts it, feeds it
        and collects its output, waits for its exit, and removes it with its unnamed volumes.

        Args:
            image: The image, by name or id.
            command: The words of the command. Default: the image's.
            input: What to send to its standard input, which is closed then: bytes, or a stream of them.
            check: Raise if the exit code is not 0.
            pull: When to pull the image.
            auth: Credentials for the registry it is pulled from. Default: as for ``d.images.pull``.
            name: A name. Default: the engine makes one up.
            entrypoint: As for :meth:`create`, and so are the arguments that follow.
            env: Environment variables.
            labels: Labels.
            user: User, or ``user:group``.
            workdir: The directory the command runs in.
            tty: Give it a terminal: then all output is stdout.
            ports: Ports to publish.
            mounts: What to mount.
            network: A network.
            platform: Which variant of the image.
            options: Everything less common.
            config: A raw document that is merged into the one made of the other arguments, and wins.

        Returns:
            Its exit code and output.

        Raises:
            ContainerFailed: Its exit code is not 0; the error has its output.
            NotFound: There is no such image, nor could it be pulled; the message says both.
            BadRequest: The command cannot be started.
            TruncatedStream: The output has ended, but the container runs on: the connection was cut, or the process
                has closed both stdout and stderr.

        If cancelled: the container is removed first, for which the engine has ten seconds.
        """
        check_input(input)
        check_type("check", check, "a bool", bool)
        async with (
            self._open_pulled(
                container_document(
                    image,
                    command,
                    entrypoint=entrypoint,
                    env=env,
                    labels=labels,
                    user=user,
                    workdir=workdir,
                    tty=tty,
                    stdin=input is not None,
                    ports=ports,
                    mounts=mounts,
                    network=network,
                    options=options,
                    config=config,
                ),
                name,
                platform,
                pull,
                auth,
            ) as container,
            container.open_attach(stdin=input is not None) as stream,
            container.open_wait("next-exit") as pending,
        ):
            await container.start()
            output = await converse(stream, input)
            code = await exit_code_after_output(pending)
        if check and code != 0:
            words = " ".join(command or ())
            raise ContainerFailed(f"{image} {words}".rstrip(), code, output.stdout, output.stderr)
        return Completed(code, output.stdout, output.stderr)

    @asynccontextmanager
    async def open_run(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        pull: PullPolicy = "missing",
        auth: Credentials | None = None,
        name: str | None = None,
        entrypoint: Sequence[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        labels: Mapping[str, str] | None = None,
        user: str | None = None,
        workdir: str | None = None,
        tty: bool = False,
        stdin: bool = False,
        ports: Ports | None = None,
        mounts: Sequence[Mount] = (),
        network: str | None = None,
        platform: str | None = None,
        options: ContainerOptions | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[Container, None]:
        """
        Run a container for as long as a block lasts.

        The arguments and errors are those of :meth:`run` and :meth:`create`.

        Yields:
            The container, started. It is killed and removed with its unnamed volumes when the block ends, by any
            road; if that is cancelled, the engine has ten seconds for it.
        """
        document = container_document(
            image,
            command,
            entrypoint=entrypoint,
            env=env,
            labels=labels,
            user=user,
            workdir=workdir,
            tty=tty,
            stdin=stdin,
            ports=ports,
            mounts=mounts,
            network=network,
            options=options,
            config=config,
        )
        async with self._open_pulled(document, name, platform, pull, auth) as container:
            await container.start()
            yield container

    @asynccontextmanager
    async def _open_pulled(
        self,
        document: Mapping[str, Any],
        name: str | None,
        platform: str | None,
        pull: PullPolicy,
        auth: Credentials | None,
    ) -> AsyncGenerator[Container, None]:
        """A container for as long as a block lasts, its image pulled if need be."""
        image: str = document["Image"]
        if pull not in get_args(PullPolicy):
            msg = f"pull={pull!r}: expected one of {', '.join(map(repr, get_args(PullPolicy)))}"
            raise ValueError(msg)
        check_type("auth", auth, "Credentials", Credentials)
        if pull == "always":
            await self._docker.images.pull(image, platform=platform, auth=auth)
        async with AsyncExitStack() as stack:
            try:
                container = await stack.enter_async_context(open_created(self._docker, document, name, platform))
            except NotFound as missing:
                if pull != "missing" or not await self._is_missing(image):
                    raise
                await self._pull_missing(image, platform, auth, missing)
                container = await stack.enter_async_context(open_created(self._docker, document, name, platform))
            yield container

    async def _is_missing(self, image: str) -> bool:
        try:
            await self._docker.images.get(image)
        except NotFound:
            return True
        return False

    async def _pull_missing(
        self, image: str, platform: str | None, auth: Credentials | None, missing: NotFound
    ) -> None:
        try:
            await self._docker.images.pull(image, platform=platform, auth=auth)
        except DockerError as exc:
            message = f"{missing.message}; and it could not be pulled: {exc}"
            raise NotFound(message, missing.status, missing.method, missing.path) from exc
