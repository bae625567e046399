"""
Small engines that say who they are: what reaches one of them can tell which.

They answer a ping and ``/version``, whose ``Version`` is the engine's name and what stood in front of the request's
own path. They do so in threads: the ``docker`` command line and a client in any event loop talk to the same ones.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import attrs
import trustme

__all__ = ("Engines", "engines_by_name", "write_context")

_OWN_PATH: Final = re.compile(r"(/v[0-9.]+/version|/_ping)$")
FILES: Final = ("ca.pem", "cert.pem", "key.pem")


@attrs.frozen
class Engines:
    """
    The engines, and the files to reach them with.

    Attributes:
        directory: Has the sockets ``a.sock`` and ``b.sock``, and the directories ``certs`` (as for
            ``DOCKER_CERT_PATH``), ``ca-only``, ``ca-and-cert``, ``no-ca``, ``other-ca``, ``broken-ca`` and ``empty``.
        plain: The port of the engine ``plain``, without TLS.
        tls: The port of the engine ``tls``, which shows a certificate and asks for none.
        mutual: The port of the engine ``mutual``, which demands one.
    """

    directory: Path
    plain: int
    tls: int
    mutual: int

    def fill(self, text: str) -> str:
        """``text`` with ``{dir}``, ``{plain}``, ``{tls}`` and ``{mutual}`` filled in."""
        for name, value in {"dir": self.directory, "plain": self.plain, "tls": self.tls, "mutual": self.mutual}.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Any = self.server
        prefix = _OWN_PATH.sub("", self.path)
        document = {"Version": f"{server.called}{prefix}", "ApiVersion": "1.45", "MinAPIVersion": "1.24", "Os": "linux"}
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Api-Version", "1.45")
        self.send_header("Ostype", "linux")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def address_string(self) -> str:
        return "a client"  # one on a Unix socket has no address

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def __init__(self, called: str, address: Any) -> None:
        self.called = called
        super().__init__(address, _Answers)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: that clients fail here is what is tested."""


class _UnixServer(_Server):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)


@contextmanager
def engines_by_name(directory: Path) -> Generator[Engines, None, None]:
    """Run them for the length of the block."""
    authority = trustme.CA()
    _write_certificates(directory, authority)
    with ExitStack() as stack:
        for name in "ab":
            _serve(stack, _UnixServer(name, str(directory / f"{name}.sock")))
        plain = _serve(stack, _Server("plain", ("127.0.0.1", 0)))
        tls = _serve(stack, _secured(_Server("tls", ("127.0.0.1", 0)), authority, ssl.CERT_NONE))
        mutual = _serve(stack, _secured(_Server("mutual", ("127.0.0.1", 0)), authority, ssl.CERT_REQUIRED))
        yield Engines(directory, plain, tls, mutual)


def _serve(stack: ExitStack, server: _Server) -> int:
    stack.enter_context(server)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    stack.callback(thread.join)
    stack.callback(server.shutdown)
    return 0 if isinstance(server, _UnixServer) else server.server_address[1]


def _secured(server: _Server, authority: Any, client: ssl.VerifyMode) -> _Server:  # Any: trustme's types are partial
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = client
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


def _write_certificates(directory: Path, authority: trustme.CA) -> None:
    certs = directory / "certs"
    certs.mkdir()
    issued = authority.issue_cert("client@example.org")
    authority.cert_pem.write_to_path(str(certs / "ca.pem"))
    issued.private_key_pem.write_to_path(str(certs / "key.pem"))
    (certs / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    parts = {"ca-only": FILES[:1], "ca-and-cert": FILES[:2], "no-ca": FILES[1:], "other-ca": FILES[1:], "broken-ca": ()}
    for name, files in {**parts, "empty": ()}.items():
        (directory / name).mkdir()
        for file in files:
            shutil.copy(certs / file, directory / name / file)
    trustme.CA().cert_pem.write_to_path(str(directory / "other-ca" / "ca.pem"))
    (directory / "broken-ca" / "ca.pem").write_text("no certificate")


def write_context(config: Path, name: str, document: Mapping[str, object] | str, certificates: Path | None) -> None:
    """Store a context as the command line does: its document, or what stands in its place, and its TLS files."""
    identity = sha256(name.encode()).hexdigest()
    meta = config / "contexts" / "meta" / identity
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(document if isinstance(document, str) else json.dumps(document))
    if certificates is not None:
        shutil.copytree(certificates, config / "contexts" / "tls" / identity / "docker")
