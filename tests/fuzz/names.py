"""Targets: what is sent, made of what a user gives."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from urllib.parse import parse_qsl, unquote

import h11

from anydocker._wire.auth import auth_header, registry_host
from anydocker._wire.head import build_request
from anydocker._wire.query import encode_filters, encode_query, path_segment
from anydocker._wire.reference import ImageReference
from anydocker.errors import InvalidReference
from tests.fuzz.harness import Target

__all__ = ("TARGETS",)

_LONGEST = 255


def _reference(data: bytes) -> None:
    """What is read can be written, in full and in short, and means the same."""
    text = data.decode(errors="surrogateescape")
    try:
        reference = ImageReference.parse(text)
    except InvalidReference:
        return
    assert str(reference) == text
    canonical = reference.canonical
    if len(canonical) > _LONGEST:
        # In full, the name may be longer than a name can be.
        return
    assert ImageReference.parse(canonical).canonical == canonical
    assert ImageReference.parse(reference.familiar).canonical == canonical
    assert reference.with_default_tag().tag or reference.digest
    path_segment(text, "image", allow_slash=True)


def _query(data: bytes) -> None:
    """What the engine reads in a query and in a path is what was given, and nothing breaks out of its place."""
    texts = data.decode(errors="replace").split("\n")
    pairs = [(key, value) for key, _, value in (text.partition("=") for text in texts)]
    query = {key: [value for other, value in pairs if other == key] for key, _ in pairs}
    encoded = encode_query(query)
    assert sorted(parse_qsl(encoded, keep_blank_values=True)) == sorted(pairs)
    document = encode_filters({key: {value: None} for key, value in pairs})
    assert document is not None
    assert json.loads(document) == {key: [value] for key, value in pairs}
    for text in texts:
        try:
            segment = path_segment(text, "name")
        except ValueError:
            continue
        assert unquote(segment) == text
        assert "/" not in segment
        _send(f"/v1.45/x/{segment}?{encoded}")


def _send(target: str) -> None:
    server = h11.Connection(h11.SERVER)
    server.receive_data(build_request("GET", target, [("Host", "docker")]))
    event = server.next_event()
    assert isinstance(event, h11.Request)
    assert event.target.decode() == target
    assert server.trailing_data == (b"", False)


def _auth(data: bytes) -> None:
    """Credentials arrive as they were, in a field that nothing in them can end."""
    texts = data.decode(errors="replace").split("\n")
    document = {f"key{index}": text for index, text in enumerate(texts)}
    header = auth_header(document)
    assert json.loads(urlsafe_b64decode(header)) == document
    build_request("GET", "/", [("X-Registry-Auth", header)])
    host = registry_host(texts[0])
    assert "/" not in host
    assert registry_host(host) == host or "://" in texts[0]


TARGETS = {
    "reference": Target(
        _reference,
        (
            b"busybox",
            b"registry.example:5000/team/app:1.2",
            b"a@sha256:" + b"0" * 64,
            b"[::1]:5000/a__b/c.d-e:T_1",
            b"docker.io/library/localhost",
            b"library/a.b/c",
        ),
        (b"docker.io/", b"library/", b"index.docker.io/", b"localhost", b":", b"@sha256:", b"/", b"__", b"0" * 64),
    ),
    "query": Target(_query, (b"a=b\nc d=\xe4&\n/../=?#", b"x=\0\nx=y\n.\n..\n%2e"), (b"%2F", b"..", b"\n", b"=", b"&")),
    "auth": Target(_auth, (b"docker.io\nuser\npassword", b"https://index.docker.io/v1/\n\xff"), (b"://", b"/", b"\n")),
}
