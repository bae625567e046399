"""Executing commands in a container."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

from anydocker.errors import ExecFailed
from anydocker.resources._conversation import Input, check_input, converse
from anydocker.resources.container._base import ContainerBase
from anydocker.resources.exec import ExecStream, OnCancel, exec_document, open_exec
from anydocker.streams import Completed

__all__ = ("ContainerExec",)


class ContainerExec(ContainerBase):
    """The part of the handle that executes commands."""

    __slots__ = ()

    async def exec(
        self,
        command: Sequence[str],
        *,
        input: Input = None,
        check: bool = True,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
        workdir: str | None = None,
        tty: bool = False,
        privileged: bool = False,
        on_cancel: OnCancel = "kill",
    ) -> Completed:
        """
        Execute a command in the container, to its end.

        ``POST /containers/{id}/exec`` (``ContainerExec``), ``POST /exec/{id}/start`` (``ExecStart``).

        Args:
            command: The words of the command.
            input: What to send to its standard input, which is closed then: bytes, or a stream of them.
            check: Raise if the exit code is not 0.
            env: Environment variables, beside those of the container.
            user: User, or ``user:group``, by name or number. Default: the container's.
            workdir: The directory to run it in. Default: the container's.
            tty: Give it a terminal: then all output is stdout.
            privileged: Give it all capabilities.
            on_cancel: What becomes of it if the call is cancelled: it is killed, or left alone.

        Returns:
            Its exit code and output. A command that does not exist has 126 or 127, and the engine's words as output.

        Raises:
            NotFound: There is no such container.
            Conflict: It is not running.
            ExecFailed: The exit code is not 0.
            TruncatedStream: The output has ended, but the command runs on.

        If cancelled: what has been received is lost. The command and what it has started are found by a variable in
        their environment (``ANYDOCKER_EXEC``) and killed, for which the engine has ten seconds. That takes ``sh`` and
        ``grep`` in the container: where the image has none, the command goes on. So does, mostly, what has changed
        its user.
        """
        check_input(input)
        async with self.open_exec(
            command,
            env=env,
            user=user,
            workdir=workdir,
            tty=tty,
            stdin=input is not None,
            privileged=privileged,
            on_cancel=on_cancel,
        ) as stream:
            output = await converse(stream, input)
            code = await stream.wait()
        if check and code != 0:
            raise ExecFailed(f"exec {list(command)!r}", code, output.stdout, output.stderr)
        return Completed(code, output.stdout, output.stderr)

    @asynccontextmanager
    async def open_exec(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
        workdir: str | None = None,
        tty: bool = False,
        stdin: bool = True,
        privileged: bool = False,
        detach_keys: str | None = None,
        on_cancel: OnCancel = "kill",
    ) -> AsyncGenerator[ExecStream, None]:
        """
        Execute a command in the container, and talk to it.

        The arguments are those of :meth:`exec`, and:

        Args:
            command: The words of the command.
            env: Environment variables.
            user: User, or ``user:group``.
            workdir: The directory to run it in.
            tty: Give it a terminal.
            stdin: Connect its standard input; otherwise it has none.
            privileged: Give it all capabilities.
            detach_keys: The keys that end the connection, such as ``"ctrl-p,ctrl-q"``. Only with a terminal.
            on_cancel: What becomes of it if an exception or a cancellation ends the block: it is killed, or left
                alone. If the block ends by itself, the command is left alone.

        Yields:
            The running command: ``send``, ``send_eof``, ``async for``, ``wait``, ``resize``. Like every upgraded
            connection it has no end mark; ``wait`` asks the engine whether the end of the output was one.

        Raises:
            NotFound: There is no such container.
            Conflict: It is not running.
        """
        document = exec_document(
            command,
            env=env,
            user=user,
            workdir=workdir,
            tty=tty,
            stdin=stdin,
            privileged=privileged,
            detach_keys=detach_keys,
        )
        async with open_exec(self._docker, self._path, document, on_cancel) as stream:
            yield stream
