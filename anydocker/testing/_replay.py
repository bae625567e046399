"""An engine in memory: it replays answers, and fails, on demand, at any byte of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, final
from urllib.parse import unquote, urlsplit

import h11
import httpcore
from anyio import BusyResourceError, ClosedResourceError, sleep, sleep_forever
from anyio.lowlevel import checkpoint

from anydocker.testing._replies import Reply, json_reply

__all__ = ("ReplayBackend",)

