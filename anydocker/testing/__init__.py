"""
Engines for tests: a private real one, a real registry, and one that follows a script.

Nothing here touches an engine that is already there. For pytest, ``anydocker.testing.fixtures`` has fixtures
made of these: ``pytest_plugins = ["anydocker.testing.fixtures"]``.
"""

from __future__ import annotations

from anydocker.testing._connection import Request as Request
from anydocker.testing._engine import PrivateEngine as PrivateEngine
from anydocker.testing._engine import private_engine as private_engine
from anydocker.testing._kinds import EngineKind as EngineKind
from anydocker.testing._registry import Registry as Registry
from anydocker.testing._registry import local_registry as local_registry
from anydocker.testing._replay import ReplayBackend as ReplayBackend
from anydocker.testing._replies import Reply as Reply
from anydocker.testing._replies import chunked_reply as chunked_reply
from anydocker.testing._replies import json_reply as json_reply
from anydocker.testing._replies import upgraded_reply as upgraded_reply
from anydocker.testing._rootfs import BUSYBOX as BUSYBOX
from anydocker.testing._rootfs import busybox_rootfs as busybox_rootfs
from anydocker.testing._scripted import Handler as Handler
from anydocker.testing._scripted import Route as Route
from anydocker.testing._scripted import ScriptedEngine as ScriptedEngine
from anydocker.testing._scripted import scripted_engine as scripted_engine
from anydocker.testing._sweep import sweep_cancellations as sweep_cancellations
from anydocker.testing._unavailable import EngineUnavailable as EngineUnavailable

__all__ = (
    "BUSYBOX",
    "EngineKind",
    "EngineUnavailable",
    "Handler",
    "PrivateEngine",
    "Registry",
    "ReplayBackend",
    "Reply",
    "Request",
    "Route",
    "ScriptedEngine",
    "busybox_rootfs",
    "chunked_reply",
    "json_reply",
    "local_registry",
    "private_engine",
    "scripted_engine",
    "sweep_cancellations",
    "upgraded_reply",
)
