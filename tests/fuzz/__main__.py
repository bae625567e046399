"""
Fuzz the decoders: ``python -m tests.fuzz [--seconds N] [TARGET ...] [-libFuzzer-argument ...]``.

One target after the other, each in a process of its own. What is found on the way is kept in ``.fuzz/``, and is where
the next run begins; an input that breaks something is kept there, too. To see it again, run its target on it::

    python -m tests.fuzz chunked .fuzz/chunked-crash-...
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS

KEPT = Path(".fuzz")
# Seconds for one input, and MiB of the process: no input of 4 KiB may take more.
LIMITS = ("-timeout=10", "-rss_limit_mb=2048", "-max_len=4096")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the decoders.")
    parser.add_argument("--seconds", type=int, default=20, help="for each target (default: 20)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"default: all of {', '.join(TARGETS)}")
    given, arguments = parser.parse_known_args()
    names = [name for name in given.targets if name in TARGETS]
    arguments += [name for name in given.targets if name not in TARGETS]
    failed = [name for name in names or TARGETS if not fuzz(name, given.seconds, arguments)]
    print(f"FAILED: {', '.join(failed)}" if failed else "nothing was found")
    return bool(failed)


def fuzz(name: str, seconds: int, arguments: list[str]) -> bool:
    """Fuzz one target; return whether nothing was found."""
    corpus = KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(TARGETS[name].seeds):
        (corpus / f"seed-{number}").write_bytes(data)
    words = KEPT / f"{name}.words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in TARGETS[name].words))
    command = [sys.executable, "-m", "tests.fuzz.one", name, *LIMITS, f"-max_total_time={seconds}"]
    command += [f"-dict={words}", f"-artifact_prefix={KEPT}/{name}-", "-print_final_stats=1", *arguments]
    if not any(Path(argument).is_file() for argument in arguments):
        command.append(str(corpus))
    print(f"-- {name}", flush=True)
    return subprocess.run(command, check=False).returncode == 0


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
