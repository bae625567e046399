"""The handle on one container, put together from its parts."""

from __future__ import annotations

from typing import final

import attrs

from anydocker.resources.container._copy import ContainerCopy
from anydocker.resources.container._exec import ContainerExec
from anydocker.resources.container._output import ContainerOutput
from anydocker.resources.container._output import exit_code_after_output as exit_code_after_output
from anydocker.resources.container._state import PublishedPort as PublishedPort
from anydocker.resources.container._state import WaitCondition as WaitCondition

__all__ = ("Container", "PublishedPort", "WaitCondition", "exit_code_after_output")


@final
@attrs.frozen
class Container(ContainerOutput, ContainerExec, ContainerCopy):
    """
    A handle on a container; made by ``d.containers``.

    Attributes:
        id: The id; for a handle from ``d.containers.container()`` what that was given.
        name: The name, without a leading slash; None where it is not known: the engine chose it on creation.
        summary: The document of the listing it comes from; None for others.
        warnings: What the engine warned of when this handle's call created the container.
    """
