"""
The process that a client lives in: ``python -m benchmarks.worker CLIENT``.

It takes jobs as JSON documents on standard input and answers each with one on standard output. Each client has a
process of its own, so that no client pays for the modules, the garbage or the event loop policy of another.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import attrs

__all__ = ("main",)


def main() -> None:
    """Do jobs until standard input ends."""
    # Peers leave things unclosed; that is their own affair.
    warnings.simplefilter("ignore")
    name, plain = sys.argv[1].removesuffix("+fast"), not sys.argv[1].endswith("+fast")
    if plain:
        # What is not there cannot be used: this is the client without its extra.
        sys.modules["msgspec"] = None  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
    from benchmarks.clients import make_client  # noqa: PLC0415 - after the line above

    client = make_client(name)
    for line in sys.stdin:
        print(json.dumps(_answer(client, json.loads(line))), flush=True)


def _answer(client: Any, document: dict[str, Any]) -> dict[str, Any]:
    from benchmarks.job import Job, Unsupported, perform  # noqa: PLC0415 - see main

    if document.pop("keep"):
        document["kept"] = []
    try:
        return attrs.asdict(perform(client, Job(**document)))
    except Unsupported:
        return {"unsupported": True}
    except Exception as exc:  # noqa: BLE001 - the driver has to know
        return {"error": f"{type(exc).__name__}: {exc}"}


if __name__ == "__main__":
    main()
