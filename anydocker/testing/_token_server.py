"""
A token server for a registry: ``python _token_server.py DIRECTORY``.

The registry sends whoever has no token here, with the name of what is wanted (its ``scope``). The user, by password or
by the refresh token that a login brought, is given a token for all of that; anybody else one for pulls below
``public/``. A token is a JWT, signed with a key that is made at the start; the registry knows its certificate.

A program of its own, because it has to listen where the engine is, in the engine's network namespace. It reads
``token.json`` in the directory (``user``, ``password``, ``service``), writes ``root.pem`` there, the certificate, and
says where it listens.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from base64 import b64decode, b64encode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

__all__ = ()

# Seconds a token is good for.
_VALID: Final = 300
_PUBLIC: Final = "public/"

Form = dict[str, list[str]]


class Issuer:
    """Makes tokens, and knows who may have which."""

    def __init__(self, user: str, password: str, service: str) -> None:
        self._user = user
        self._password = password
        self._service = service
        self._refresh_token = secrets.token_urlsafe()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._certify()

    def certificate(self) -> bytes:
        """The certificate to check the tokens with, in PEM."""
        return self._certificate.public_bytes(Encoding.PEM)

    def _certify(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._service)])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, self._key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return builder.sign(self._key, SHA256())

    def by_basic(self, field: str) -> str | None:
        """Who asks with this Authorization field: the user, nobody in particular (``""``), or, None, a liar."""
        if not field:
            return ""
        given = b64decode(field.removeprefix("Basic ")).decode()
        return self._user if given == f"{self._user}:{self._password}" else None

    def by_form(self, form: Form) -> str | None:
        """Who asks with this form."""
        by_password = form.get("username") == [self._user] and form.get("password") == [self._password]
        return self._user if by_password or form.get("refresh_token") == [self._refresh_token] else None

    def answer(self, who: str, form: Form) -> dict[str, object]:
        """The document with the token, and with a refresh token for a user who wants to come again."""
        scopes = " ".join(form.get("scope", [])).split()
        token = self._sign({"sub": who, "access": [_grant(who, scope) for scope in scopes]})
        document: dict[str, object] = {"token": token, "access_token": token, "expires_in": _VALID}
        if who and (form.get("offline_token") == ["true"] or form.get("access_type") == ["offline"]):
            document["refresh_token"] = self._refresh_token
        return document

    def _sign(self, claims: dict[str, object]) -> str:
        now = int(time.time())
        header = {
            "typ": "JWT",
            "alg": "ES256",
            "x5c": [b64encode(self._certificate.public_bytes(Encoding.DER)).decode()],
        }
        times = {"iat": now, "nbf": now - 10, "exp": now + _VALID}
        claims = {"iss": self._service, "aud": self._service, "jti": secrets.token_hex(), **times, **claims}
        signed = f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"
        # JWT takes the two numbers of a signature, 32 bytes each, and not the DER they come in.
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(SHA256())))
        return f"{signed}.{_base64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _grant(who: str, scope: str) -> dict[str, object]:
    kind, name, actions = _split_scope(scope)
    if not who:
        actions = [action for action in actions if action == "pull" and name.startswith(_PUBLIC)]
    return {"type": kind, "name": name, "actions": actions}


def _split_scope(scope: str) -> tuple[str, str, list[str]]:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return kind, name, actions.split(",")


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, issuer: Issuer, *args: Any) -> None:
        self._issuer = issuer
        super().__init__(*args)

    def do_GET(self) -> None:
        """By a field of the head, as it began."""
        form = parse_qs(urlsplit(self.path).query)
        self._answer(self._issuer.by_basic(self.headers.get("Authorization", "")), form)

    def do_POST(self) -> None:
        """By a form, as OAuth 2 has it."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._answer(self._issuer.by_form(form), form)

    def _answer(self, who: str | None, form: Form) -> None:
        document = {"details": "wrong user name or password"} if who is None else self._issuer.answer(who, form)
        body = json.dumps(document).encode()
        self.send_response(401 if who is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _main(directory: Path) -> None:
    issuer = Issuer(**json.loads((directory / "token.json").read_text()))
    (directory / "root.pem").write_bytes(issuer.certificate())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, issuer))
    sys.stdout.write(f"listening on 127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
