"""
Processors that do not go to sleep while something is measured.

A processor with nothing to do sleeps, and on a virtual machine it takes tens of microseconds to wake it: as long as a
small call, for every client. A loop of the lowest priority on each keeps them awake and yields to everything else, as
the kernel's own ``idle=poll`` does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

__all__ = ("keep_awake",)

_SPIN = """\
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        continue
"""


@contextmanager
def keep_awake() -> Generator[None, None, None]:
    """Keep every processor awake for the length of the block (Linux)."""
    with ExitStack() as stack:
        for processor in sorted(os.sched_getaffinity(0)):
            spinning = subprocess.Popen((sys.executable, "-c", _SPIN, str(processor)))
            stack.callback(spinning.wait)
            stack.callback(spinning.kill)
        yield
