"""
Which engine: what ``docker`` chooses and what we choose, case by case.

Every row is tried with both: the same engine is reached, or both fail. Where they are meant to differ the row says
what the command line does and why we do something else.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from anyio.to_thread import run_sync

import anydocker
from anydocker import ConnectError, Endpoint, UnsupportedByEngine
from anydocker._wire.versions import ApiVersion
from tests.live.engines_by_name import Engines, write_context

pytestmark = [pytest.mark.anyio, pytest.mark.live]

FAILS: Final = "(fails)"
DEFAULT: Final = "unix:///var/run/docker.sock"


@attrs.frozen
class Row:
    """
    One case.

    Attributes:
        expected: The engine that is reached, by its name and the path in front of all others; the address, for a row
            that only asks for that; or FAILS.
        environ: The environment.
        host: ``-H`` and ``host=``.
        context: ``--context`` and ``context=``.
        config: What ``config.json`` holds.
        address: Ask for the address that is chosen, and do not go there.
        docker: What the command line makes of it, where that is something else.
        reason: Why we differ.
    """

    expected: str
    environ: Mapping[str, str] = attrs.field(factory=dict[str, str], kw_only=True)
    host: str | None = attrs.field(default=None, kw_only=True)
    context: str | None = attrs.field(default=None, kw_only=True)
    config: str | None = attrs.field(default=None, kw_only=True)
    address: bool = attrs.field(default=False, kw_only=True)
    docker: str | None = attrs.field(default=None, kw_only=True)
    reason: str = attrs.field(default="", kw_only=True)


def env(expected: str, host: str = "", **more: Any) -> Row:
    """A row with DOCKER_HOST; further variables are given by their lower-case names without ``DOCKER_``."""
    names = {"context", "tls_verify", "tls", "cert_path"}
    environ = {f"DOCKER_{name.upper()}": more.pop(name) for name in names & more.keys()}
    return Row(expected, environ={"DOCKER_HOST": host, **environ, **more.pop("environ", {})}, **more)


UNSET: Final = "an empty name is a variable that was not set: another engine than the one that was meant is worse"
IGNORED: Final = "what would be ignored is refused"
BROKEN: Final = "what a file that cannot be read would have chosen is unknown: another engine is worse than none"
WRITTEN: Final = "docker writes these keys in one way only"

A, B = "unix://{dir}/a.sock", "unix://{dir}/b.sock"
PLAIN, TLS, MUTUAL = (f"tcp://127.0.0.1:{{{name}}}" for name in ("plain", "tls", "mutual"))
CERTS = "{dir}/certs"
CURRENT_B: Final = '{"currentContext": "b"}'

# uvloop has no part in the choice.
every_loop = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

ROWS: Final = {
    # -- by argument, DOCKER_HOST, DOCKER_CONTEXT, config.json
    "nothing": Row(DEFAULT, address=True),
    "host": Row("a", host=A),
    "context": Row("b", context="b"),
    "host and context": Row(FAILS, host=A, context="b"),
    "host over DOCKER_HOST": Row("a", host=A, environ={"DOCKER_HOST": B}),
    "host over a bad DOCKER_HOST": Row("a", host=A, environ={"DOCKER_HOST": "nonsense://"}),
    "host over DOCKER_CONTEXT": Row("a", host=A, environ={"DOCKER_CONTEXT": "b"}),
    "host over an absent DOCKER_CONTEXT": Row("a", host=A, environ={"DOCKER_CONTEXT": "absent"}),
    "host over the current context": Row("a", host=A, config=CURRENT_B),
    "context over DOCKER_HOST": Row("b", context="b", environ={"DOCKER_HOST": A}),
    "context over DOCKER_CONTEXT": Row("b", context="b", environ={"DOCKER_CONTEXT": "plain"}),
    "context over the current one": Row("plain", context="plain", config=CURRENT_B),
    "DOCKER_HOST": env("a", A),
    "DOCKER_HOST over DOCKER_CONTEXT": env("a", A, context="b"),
    "DOCKER_HOST over an absent DOCKER_CONTEXT": env("a", A, context="absent"),
    "DOCKER_HOST over the current context": env("a", A, config=CURRENT_B),
    "DOCKER_HOST over a broken config.json": env("a", A, config="{"),
    "DOCKER_CONTEXT": Row("b", environ={"DOCKER_CONTEXT": "b"}),
    "DOCKER_CONTEXT over the current one": Row("plain", environ={"DOCKER_CONTEXT": "plain"}, config=CURRENT_B),
    "DOCKER_CONTEXT absent": Row(FAILS, environ={"DOCKER_CONTEXT": "absent"}),
    "DOCKER_CONTEXT blank": Row(FAILS, environ={"DOCKER_CONTEXT": " "}, config=CURRENT_B),
    "current context": Row("b", config=CURRENT_B),
    "current context absent": Row(FAILS, config='{"currentContext": "absent"}'),
    "current context empty": Row(DEFAULT, config='{"currentContext": ""}', address=True),
    "current context null": Row(DEFAULT, config='{"currentContext": null}', address=True),
    "current context default": Row(DEFAULT, config='{"currentContext": "default"}', address=True),
    "config.json without a current context": Row(DEFAULT, config='{"auths": {}}', address=True),
    "config.json empty": Row(DEFAULT, config="", address=True),
    "config.json broken": Row(FAILS, config="{", address=True, docker=DEFAULT, reason=BROKEN),
    "config.json not an object": Row(FAILS, config="[]", address=True, docker=DEFAULT, reason=BROKEN),
    "current context not a string": Row(
        FAILS, config='{"currentContext": 7}', address=True, docker=DEFAULT, reason=BROKEN
    ),
    "config.json with something behind it": Row(FAILS, config=CURRENT_B + "x", docker="b", reason=BROKEN),
    "current context in other letters": Row(
        DEFAULT, config='{"CURRENTCONTEXT": "b"}', address=True, docker=B, reason=WRITTEN
    ),
    # -- the context that is called default
    "context default": Row(DEFAULT, context="default", address=True),
    "context default over the current one": Row(DEFAULT, context="default", config=CURRENT_B, address=True),
    "context default and DOCKER_HOST": Row("a", context="default", environ={"DOCKER_HOST": A}),
    "DOCKER_CONTEXT default and DOCKER_HOST": env("a", A, context="default"),
    "DOCKER_CONTEXT default over the current one": Row(
        DEFAULT, environ={"DOCKER_CONTEXT": "default"}, config=CURRENT_B, address=True
    ),
    # -- DOCKER_CONFIG
    "DOCKER_CONFIG": Row("b", environ={"DOCKER_CONFIG": "{dir}/elsewhere"}),
    "DOCKER_CONFIG empty": Row("b", environ={"DOCKER_CONFIG": ""}, config=CURRENT_B),
    "DOCKER_CONFIG absent": Row(DEFAULT, environ={"DOCKER_CONFIG": "{dir}/none"}, config=CURRENT_B, address=True),
    # -- nothing named
    "DOCKER_HOST empty": env("b", "", context="b"),
    "DOCKER_CONTEXT empty": env("b", "", context="", config=CURRENT_B),
    "DOCKER_HOST blank": env(FAILS, " ", context="b", address=True, docker=DEFAULT, reason=UNSET),
    "host empty": Row(FAILS, host="", environ={"DOCKER_HOST": A}, address=True, docker=DEFAULT, reason=UNSET),
    "context empty": Row(FAILS, context="", environ={"DOCKER_CONTEXT": "b"}, docker="b", reason=UNSET),
    "unix without a path": env(FAILS, "unix://", address=True, docker=DEFAULT, reason=UNSET),
    "tcp without a host": env(FAILS, "tcp://", address=True, docker="tcp://localhost:2375", reason=UNSET),
    "tcp with a port only": env(FAILS, "tcp://:{plain}", docker="plain", reason=UNSET),
    "a port only": env(FAILS, ":{plain}", docker="plain", reason=UNSET),
    # -- contexts
    "context without the authority's certificate": Row(FAILS, context="tls"),
    "context with a certificate of the authority": Row("tls", context="ca-only"),
    "context with one of another authority": Row(FAILS, context="other-ca"),
    "context with a certificate and no key": Row("tls", context="ca-and-cert"),
    "context with certificate and key": Row("mutual", context="mutual"),
    "context that skips the verification": Row("tls", context="skip"),
    "context that skips it, with certificate and key": Row("mutual", context="skip-mutual"),
    "context with TLS files and a socket": Row("b", context="unix-tls"),
    "context on http://": Row("plain", context="http"),
    "context on https://": Row("tls", context="https"),
    "context without a scheme": Row(FAILS, context="no-scheme"),
    "context with blanks": Row(FAILS, context="blanks"),
    "context with a relative socket": Row(FAILS, context="relative"),
    "context whose file is broken": Row(FAILS, context="broken"),
    "context for something else": Row(FAILS, context="kubernetes"),
    "context whose address is a number": Row(FAILS, context="number"),
    "context without an address": Row(
        FAILS, context="no-address", address=True, docker="", reason="it names no engine: docker takes the default one"
    ),
    "context with another name in its file": Row("b", context="other-name"),
    "context with a name in other letters": Row("b", context="Up-per_1.2+x"),
    "context with a slash in its name": Row("b", context="a/b"),
    "context in other letters": Row(FAILS, context="letters", docker="b", reason=WRITTEN),
    "context absent": Row(FAILS, context="absent"),
    "TLS variables do not touch a context": Row(
        FAILS, context="tls", environ={"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": CERTS}
    ),
    # -- TLS by the environment
    "TLS verified": env("mutual", MUTUAL, tls_verify="1", cert_path=CERTS),
    "TLS verified by argument": Row(
        "mutual", host=MUTUAL, environ={"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": CERTS}
    ),
    "TLS verified: 0 is not empty": env("mutual", MUTUAL, tls_verify="0", cert_path=CERTS),
    "TLS verified: empty is nothing": env(FAILS, MUTUAL, tls_verify="", cert_path=CERTS),
    "TLS not verified": env("mutual", MUTUAL, tls="1", cert_path="{dir}/other-ca"),
    "TLS not asked for": env(FAILS, MUTUAL, cert_path=CERTS),
    "TLS, another authority": env(FAILS, MUTUAL, tls_verify="1", cert_path="{dir}/other-ca"),
    "TLS, broken file": env(FAILS, TLS, tls="1", cert_path="{dir}/broken-ca"),
    "TLS, the authority only": env("tls", TLS, tls_verify="1", cert_path="{dir}/ca-only"),
    "TLS, the authority only, mutual": env(FAILS, MUTUAL, tls_verify="1", cert_path="{dir}/ca-only"),
    "TLS, no key": env("tls", TLS, tls_verify="1", cert_path="{dir}/ca-and-cert"),
    "TLS, no authority": env(FAILS, TLS, tls="1", cert_path="{dir}/no-ca"),
    "TLS verified, no files": env(FAILS, TLS, tls_verify="1", cert_path="{dir}/empty"),
    "TLS not verified, no files": env(FAILS, TLS, tls="1", cert_path="{dir}/empty"),
    "TLS verified, no directory": env(FAILS, TLS, tls_verify="1", cert_path="{dir}/none"),
    "TLS verified, no files in the home directory": env(FAILS, TLS, tls_verify="1"),
    "TLS verified, files of the configuration": env(
        "mutual", MUTUAL, tls_verify="1", environ={"DOCKER_CONFIG": "{dir}/certs"}
    ),
    "TLS on a plain port": env(FAILS, PLAIN, tls_verify="1", cert_path=CERTS),
    "no TLS on a TLS port": env(FAILS, TLS),
    "TLS and a socket": env("a", A, tls_verify="1", cert_path=CERTS),
    "TLS and a socket, no files": env(FAILS, A, tls_verify="1"),
    "TLS and the default, no files": env(FAILS, "", tls_verify="1", address=True),
    "TLS and no address": env("tcp://localhost:2376", "", tls_verify="1", cert_path=CERTS, address=True),
    "TLS and no port": env(
        "tcp://127.0.0.1:2376",
        "tcp://127.0.0.1",
        tls_verify="1",
        cert_path=CERTS,
        address=True,
        docker="tcp://127.0.0.1:2375",
        reason="2375 is the port of engines without TLS",
    ),
    # -- addresses
    "tcp": env("plain", PLAIN),
    "tcp by name": env("plain", "tcp://localhost:{plain}"),
    "tcp with a slash": env("plain", PLAIN + "/"),
    "tcp with a path": env("plain/behind/a/proxy", PLAIN + "/behind/a/proxy"),
    "tcp with a path and a slash": env("plain/behind", PLAIN + "/behind/"),
    "tcp with blanks": env("plain", f" {PLAIN} "),
    "tcp without a port": env("tcp://127.0.0.1:2375", "tcp://127.0.0.1", address=True),
    "tcp with an empty port": env("tcp://127.0.0.1:2375", "tcp://127.0.0.1:", address=True),
    "tcp on IPv6": env("tcp://[::1]:9", "tcp://[::1]:9", address=True),
    "tcp on IPv6 without a port": env(
        "tcp://[::1]:2375", "tcp://[::1]", address=True, docker=FAILS, reason="it gets the default port, as others do"
    ),
    "IPv6 without brackets": env(
        FAILS, "::1", address=True, docker="tcp://[::1]:2375", reason="where its port would begin is a guess"
    ),
    "tcp in capitals": env(FAILS, "TCP://127.0.0.1:{plain}"),
    "tcp, port 0": env(FAILS, "tcp://127.0.0.1:0"),
    "tcp, port too high": env(FAILS, "tcp://127.0.0.1:65536"),
    "tcp, port not a number": env(FAILS, "tcp://127.0.0.1:docker"),
    "tcp with half a bracket": env(FAILS, "tcp://[::1"),
    "tcp with a blank in the host": env(FAILS, "tcp://a b:1"),
    "tcp with a user": env(FAILS, "tcp://me@127.0.0.1:{plain}", docker="plain", reason=IGNORED),
    "tcp with a password": env(FAILS, "tcp://me:secret@127.0.0.1:{plain}", docker="plain", reason=IGNORED),
    "tcp with a query": env(FAILS, PLAIN + "?query", docker="plain", reason=IGNORED),
    "tcp with a fragment": env(FAILS, PLAIN + "#fragment", docker="plain", reason=IGNORED),
    "host and port": env("plain", "127.0.0.1:{plain}"),
    "host and port by argument": Row("plain", host="127.0.0.1:{plain}"),
    "host alone": env("tcp://127.0.0.1:2375", "127.0.0.1", address=True),
    "name alone": env("tcp://localhost:2375", "localhost", address=True),
    "http": env("plain", "http://127.0.0.1:{plain}", docker=FAILS, reason="other clients take it"),
    "https without a port": env(
        "tcp://127.0.0.1:2376", "https://127.0.0.1", address=True, docker=FAILS, reason="other clients take it"
    ),
    "unix with blanks": env("a", f" {A} "),
    "unix with more slashes": env("a", "unix:////{dir}/a.sock"),
    "unix with a slash at its end": env(FAILS, A + "/"),
    "unix, percent-encoded": env(FAILS, "unix://{dir}/%61.sock"),
    "unix, relative": env(FAILS, "unix://a.sock"),
    "unix, in the home directory": env(FAILS, "unix://~/a.sock"),
    "unix without slashes": env(FAILS, "unix:a.sock"),
    "unix, nothing there": env(FAILS, "unix://{dir}/none.sock"),
    "a path": env(
        FAILS, "/run/a.sock", address=True, docker="tcp://localhost:2375/run/a.sock", reason="the unix:// is missing"
    ),
    "fd": env(FAILS, "fd://"),
    "npipe": env(FAILS, "npipe:////./pipe/docker_engine"),
    "ftp": env(FAILS, "ftp://127.0.0.1:{plain}"),
    "a proxy of the environment": env(
        FAILS,
        "tcp://engine.invalid:2375",
        environ={"HTTP_PROXY": "http://127.0.0.1:{plain}"},
        docker="plainhttp://engine.invalid:2375",
        reason="an engine is not a web site: what lies between is for ssh, or a network_backend",
    ),
}

CONTEXTS: Final[dict[str, tuple[dict[str, object], str | None]]] = {
    "b": ({"Host": B}, None),
    "plain": ({"Host": PLAIN}, None),
    "tls": ({"Host": TLS}, None),
    "mutual": ({"Host": MUTUAL}, "certs"),
    "ca-only": ({"Host": TLS}, "ca-only"),
    "ca-and-cert": ({"Host": TLS}, "ca-and-cert"),
    "other-ca": ({"Host": MUTUAL}, "other-ca"),
    "skip": ({"Host": TLS, "SkipTLSVerify": True}, None),
    "skip-mutual": ({"Host": MUTUAL, "SkipTLSVerify": True}, "no-ca"),
    "unix-tls": ({"Host": B}, "certs"),
    "http": ({"Host": "http://127.0.0.1:{plain}"}, None),
    "https": ({"Host": "https://127.0.0.1:{tls}"}, "ca-only"),
    "no-scheme": ({"Host": "127.0.0.1:{plain}"}, None),
    "blanks": ({"Host": f" {B} "}, None),
    "relative": ({"Host": "unix://b.sock"}, None),
    "number": ({"Host": 7}, None),
    "no-address": ({}, None),
    "Up-per_1.2+x": ({"Host": B}, None),
    "a/b": ({"Host": B}, None),
}
ODD_CONTEXTS: Final = {
    "broken": "{",
    "kubernetes": '{"Name": "kubernetes", "Endpoints": {"kubernetes": {"Host": "unix://{dir}/b.sock"}}}',
    "other-name": '{"Name": "a", "Endpoints": {"docker": {"Host": "unix://{dir}/b.sock"}}}',
    "letters": '{"name": "letters", "endpoints": {"docker": {"host": "unix://{dir}/b.sock"}}}',
}


def write_contexts(config: Path, engines: Engines) -> None:
    for name, (endpoint, certificates) in CONTEXTS.items():
        document = json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}})
        files = None if certificates is None else engines.directory / certificates
        write_context(config, name, engines.fill(document), files)
    for name, text in ODD_CONTEXTS.items():
        write_context(config, name, engines.fill(text), None)


@pytest.fixture(scope="session")
def engines(named_engines: Engines) -> Engines:
    """The engines, with a home directory that has contexts for them."""
    config = named_engines.directory / "home" / ".docker"
    write_contexts(config, named_engines)
    elsewhere = named_engines.directory / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "contexts").symlink_to(config / "contexts")
    (elsewhere / "config.json").write_text(CURRENT_B)
    runtime = named_engines.directory / "runtime"
    runtime.mkdir()
    (runtime / "docker.sock").symlink_to(named_engines.directory / "a.sock")
    return named_engines


@cache
def chosen_by_docker(name: str, engines: Engines) -> str:
    """What the command line makes of a row; it knows no event loops, so it is asked once."""
    row = ROWS[name]
    options = [] if row.host is None else ["--host", engines.fill(row.host)]
    options += [] if row.context is None else ["--context", row.context]
    if row.address:
        ask = ["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    else:
        ask = ["version", "--format", "{{.Server.Version}}"]
    environ = {key: os.environ[key] for key in ("PATH", "HOME", *row.environ)}
    return run_docker([*options, *ask], environ)


def run_docker(words: Sequence[str], environ: Mapping[str, str]) -> str:
    done = subprocess.run(["docker", *words], check=False, env=environ, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else FAILS


def address_of(endpoint: Endpoint) -> str:
    if endpoint.path is not None:
        # The command line knows one default place, we look into more.
        return DEFAULT if endpoint.source == "the default" else f"unix://{endpoint.path}"
    return f"tcp://{endpoint.authority}"


async def chosen_by_us(row: Row, engines: Engines) -> str:
    host = None if row.host is None else engines.fill(row.host)
    try:
        client = anydocker.connect(host, context=row.context)
        if row.address:
            return address_of(client.endpoint)
        async with client as d:
            return (await d.version())["Version"]
    except (ConnectError, ValueError):
        return FAILS


@pytest.fixture
def home_directory(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """
    A home directory with the contexts, and no word of which engine in the environment.

    Where we look for an engine by default there is one: who goes there by mistake does not fail.
    """
    for name in list(os.environ):
        if name.startswith(("DOCKER_", "XDG_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    home = engines.directory / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(engines.directory / "runtime"))
    yield home
    (home / ".docker" / "config.json").unlink(missing_ok=True)


@every_loop
@pytest.mark.parametrize("name", ROWS)
async def test_the_same_engine(
    name: str, engines: Engines, home_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ROWS[name]
    for key, value in row.environ.items():
        monkeypatch.setenv(key, engines.fill(value))
    if row.config is not None:
        (home_directory / ".docker" / "config.json").write_text(row.config)
    by_docker = row.expected if row.docker is None else row.docker
    assert await run_sync(chosen_by_docker, name, engines) == engines.fill(by_docker)
    assert await chosen_by_us(row, engines) == engines.fill(row.expected)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.docker is not None])
def test_where_we_differ_there_is_a_reason(name: str) -> None:
    assert ROWS[name].docker != ROWS[name].expected
    assert ROWS[name].reason


# -- the version


# What DOCKER_API_VERSION is set to, and why we refuse it where the command line does not.
VERSIONS: Final = {
    "": "",
    "1.41": "",
    "v1.41": "",
    "1.40": "",
    "1.50": "",
    "1.999": "",
    "1.1": "",
    "newest": "",
    " 1.41 ": "",
    "1": "",
    "1.30": "we speak 1.40 and newer",
}


@every_loop
@pytest.mark.parametrize("version", VERSIONS)
async def test_the_same_version(
    version: str, engine_host: str, home_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(home_directory), "DOCKER_HOST": engine_host}
    environ["DOCKER_API_VERSION"] = version
    words = ["version", "--format", "{{if .Server}}{{.Client.APIVersion}} {{.Client.DefaultAPIVersion}}{{end}}"]
    by_docker, _, newest = (await run_sync(run_docker, words, environ)).partition(" ")
    monkeypatch.setenv("DOCKER_API_VERSION", version)
    try:
        async with anydocker.connect(engine_host) as d:
            await d.version()
            ours = d.api_version
    except (ConnectError, UnsupportedByEngine, ValueError):
        ours = FAILS
    if not version and ApiVersion.parse(ours) > ApiVersion.parse(newest):
        # The command line is older than the engine.
        ours = newest
    assert (ours, by_docker) == ((FAILS, version) if VERSIONS[version] else (by_docker, by_docker))


# -- ssh

SSH: Final = """#!/bin/sh
printf '%s\\n' "$@" > "$0.words"
exit 255
"""
# The address, what ssh is told to do after its own options, and why that is not what the command line tells it.
TOLD: Final = {
    "ssh://box": "-- box docker system dial-stdio",
    "ssh://BOX": "-- BOX docker system dial-stdio",
    "ssh://me@box": "-l me -- box docker system dial-stdio",
    "ssh://@box": "-- box docker system dial-stdio",
    "ssh://me%40home@box": "-l me@home -- box docker system dial-stdio",
    "ssh://box:2222": "-p 2222 -- box docker system dial-stdio",
    "ssh://box:": "-- box docker system dial-stdio",
    "ssh://me@[::1]:22": "-l me -p 22 -- ::1 docker system dial-stdio",
    "ssh://box/run/x.sock": "-- box docker --host unix:///run/x.sock system dial-stdio",
    "ssh://me@box:22/run/x.sock": "-l me -p 22 -- box docker --host unix:///run/x.sock system dial-stdio",
    "ssh://box/%72un/x.sock": "-- box docker --host unix:///run/x.sock system dial-stdio",
    "ssh://": "",
    "ssh:///run/x.sock": "",
    "ssh://me:secret@box": "",
    "ssh://box?query": "",
    "ssh://box#fragment": "",
    "ssh://a b": "",
    "ssh://b%6fx": "",
    "ssh://box:port": "",
    "SSH://box": "",
}
TOLD_OTHERWISE: Final = {
    # A path of no length would name the root directory.
    "ssh://box/": ("-- box docker system dial-stdio", "-- box docker --host unix:/// system dial-stdio"),
    # The shell of the other side reads it.
    "ssh://box/a$(b).sock": (
        "-- box docker --host 'unix:///a$(b).sock' system dial-stdio",
        "-- box docker --host unix:///a$(b).sock system dial-stdio",
    ),
    # Options for ssh, if it took them for such.
    "ssh://-oX": ("", "-- -oX docker system dial-stdio"),
    "ssh://-l@box": ("", "-l -l -- box docker system dial-stdio"),
    # ssh refuses it.
    "ssh://box:0": ("", "-p 0 -- box docker system dial-stdio"),
}


def what_ssh_was_told(program: Path) -> str:
    """The words behind the options that are the same for all; nothing if ssh was not started."""
    words = program.with_name("ssh.words")
    if not words.exists():
        return ""
    told = words.read_text().splitlines()
    words.unlink()
    return " ".join(told[told.index("-T") + 1 :])


@every_loop
@pytest.mark.parametrize("address", [*TOLD, *TOLD_OTHERWISE])
async def test_the_same_ssh(
    address: str, home_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ssh"
    program.write_text(SSH)
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environ = {"PATH": path, "HOME": str(home_directory), "DOCKER_HOST": address}
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("DOCKER_HOST", address)
    ours, by_docker = TOLD_OTHERWISE[address] if address in TOLD_OTHERWISE else (TOLD[address], TOLD[address])
    assert await run_sync(run_docker, ["system", "info", "--format", "{{.ServerVersion}}"], environ) in {"", FAILS}
    assert what_ssh_was_told(program) == by_docker
    with pytest.raises((ConnectError, ValueError)):
        async with anydocker.connect():
            pytest.fail("reached an engine")
    assert what_ssh_was_told(program) == ours
