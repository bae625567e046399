"""Fuzz one target until its time is over: ``python -m tests.fuzz.one TARGET [libFuzzer's arguments]``."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

# It brings no types.
atheris: Any = import_module("atheris")

# What is to be watched has to be imported here; what the harness compares it with need not be.
with atheris.instrument_imports(include=["anydocker"], enable_loader_override=False):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name, *arguments = sys.argv[1:]
    atheris.Setup([f"fuzz {name}", *arguments], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
