from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydocker._wire.reference import ImageReference
from anydocker.errors import DockerError, InvalidReference

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"

alphanumeric = st.text("abcxyz0189", min_size=1, max_size=5)


def joined(parts: st.SearchStrategy[str], separators: list[str], most: int) -> st.SearchStrategy[str]:
    more = st.lists(st.tuples(st.sampled_from(separators), parts).map("".join), max_size=most)
    return st.tuples(parts, more.map("".join)).map("".join)


component = joined(alphanumeric, [".", "_", "__", "-", "---"], 2)
path = joined(component, ["/"], 3)
host = joined(st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,4}[a-zA-Z0-9])?", fullmatch=True), ["."], 2)
port = st.sampled_from(["", ":0", ":443", ":5000"])
domain = st.sampled_from(["docker.io", "index.docker.io", "localhost", "[::1]", "[fe80::1]:5000"]) | (
    st.tuples(host, port).map("".join).filter(lambda text: text != text.lower() or "." in text or ":" in text)
)
tag = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True)
digest = st.from_regex(r"(sha256|sha512|multi\+hash|a-b_c\.d):[0-9a-fA-F]{32,64}", fullmatch=True)


@st.composite
def references(draw: st.DrawFn) -> str:
    name, repository = draw(st.none() | domain), draw(path)
    first, slash, _ = repository.partition("/")
    if name is None and slash and ("." in first or first == "localhost"):
        name = "example.com"
    text = repository if name is None else f"{name}/{repository}"
    with_tag, with_digest = draw(st.none() | tag), draw(st.none() | digest)
    text += "" if with_tag is None else f":{with_tag}"
    text += "" if with_digest is None else f"@{with_digest}"
    return text


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("busybox", (None, "busybox", None, None)),
        ("busybox:1.36", (None, "busybox", "1.36", None)),
        (f"busybox@{DIGEST}", (None, "busybox", None, DIGEST)),
        (f"busybox:1@{DIGEST}", (None, "busybox", "1", DIGEST)),
        ("lower:UPPER", (None, "lower", "UPPER", None)),
        ("team/app", (None, "team/app", None, None)),
        ("a.b/c", ("a.b", "c", None, None)),
        ("example.com/a/b/c:t", ("example.com", "a/b/c", "t", None)),
        ("host:5000/app", ("host:5000", "app", None, None)),
        ("host:5000/app:1", ("host:5000", "app", "1", None)),
        ("localhost/app", ("localhost", "app", None, None)),
        ("localhost:5000", (None, "localhost", "5000", None)),
        ("localhosts/app", (None, "localhosts/app", None, None)),
        ("Upper/app", ("Upper", "app", None, None)),
        ("[2001:db8::1]:5000/app", ("[2001:db8::1]:5000", "app", None, None)),
        ("xn--n3h.com/app", ("xn--n3h.com", "app", None, None)),
        ("a.b_c__d-e---f", (None, "a.b_c__d-e---f", None, None)),
        ("a:_.-", (None, "a", "_.-", None)),
        ("app@sha256+b64:" + "F" * 32, (None, "app", None, "sha256+b64:" + "F" * 32)),
        ("docker.io/library/" + HEX, ("docker.io", "library/" + HEX, None, None)),
        (HEX + ":tag", (None, HEX, "tag", None)),
        (HEX[1:], (None, HEX[1:], None, None)),
        ("a" * 255, (None, "a" * 255, None, None)),
        (f"{'a' * 255}@{DIGEST}", (None, "a" * 255, None, DIGEST)),
        ("a:" + "t" * 128, (None, "a", "t" * 128, None)),
    ],
)
def test_parts(text: str, parts: tuple[str | None, str, str | None, str | None]) -> None:
    reference = ImageReference.parse(text)
    assert (reference.domain, reference.path, reference.tag, reference.digest) == parts
    assert str(reference) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cannot be empty"),
        (HEX, "image's id"),
        (DIGEST, "image's id"),
        ("Busybox", "lower case, 'Busybox' is not"),
        ("Busybox:tag", "lower case"),
        ("example.com/Upper/app", "lower case"),
        ("a/Upper", "lower case"),
        ("-app", "is not lower-case letters"),
        ("app-", "is not lower-case letters"),
        ("a..b", "is not lower-case letters"),
        ("a___b", "is not lower-case letters"),
        ("a._b", "is not lower-case letters"),
        ("a b", "is not lower-case letters"),
        (" app", "is not lower-case letters"),
        ("app\n", "is not lower-case letters"),
        ("app\n:tag", "is not lower-case letters"),
        ("äpp", "is not lower-case letters"),
        ("a/b:c/d", "'b:c' is not lower-case letters"),
        ("https://example.com/app", "'https:' is not a host"),
        ("example..com/app", "is not a host"),
        ("-host.com/app", "is not a host"),
        ("host-.com/app", "is not a host"),
        ("host:port/app", "is not a host"),
        ("[::g]/app", "is not a host"),
        (":tag", "names no repository"),
        (f"@{DIGEST}", "names no repository"),
        ("example.com/", "names no repository"),
        ("a//b", "nothing before, between or behind"),
        ("/a", "nothing before, between or behind"),
        ("a/", "nothing before, between or behind"),
        ("app:", "the tag ''"),
        ("app:-tag", "the tag '-tag'"),
        ("app:.tag", "the tag '.tag'"),
        ("app:tag\n", "the tag"),
        ("app:a b", "the tag 'a b'"),
        ("app:tägg", "the tag"),
        ("app:" + "t" * 129, "the tag"),
        ("app@", "the digest ''"),
        ("app@sha256", "the digest"),
        ("app@sha256:" + "a" * 31, "the digest"),
        ("app@sha256:" + "g" * 32, "the digest"),
        ("app@" + DIGEST + "\n", "the digest"),
        ("app@" + DIGEST + "@" + DIGEST, "the digest"),
        ("app@1sha:" + HEX, "the digest"),
        ("a" * 256, "256 characters"),
        ("example.com/" + "a" * 244, "256 characters"),
    ],
)
def test_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        ImageReference.parse(text)
    assert why in str(caught.value)
    assert not text or repr(text) in str(caught.value)


def test_is_a_value_error_and_one_of_ours() -> None:
    with pytest.raises(ValueError, match="lower case"):
        ImageReference.parse("A")
    with pytest.raises(DockerError, match="lower case"):
        ImageReference.parse("A")


@pytest.mark.parametrize(
    ("text", "familiar", "canonical"),
    [
        ("busybox:1", "busybox:1", "docker.io/library/busybox:1"),
        ("docker.io/busybox", "busybox", "docker.io/library/busybox"),
        ("index.docker.io/library/busybox", "busybox", "docker.io/library/busybox"),
        ("library/busybox", "busybox", "docker.io/library/busybox"),
        ("library", "library", "docker.io/library/library"),
        ("library/a/b", "library/a/b", "docker.io/library/a/b"),
        (f"team/app@{DIGEST}", f"team/app@{DIGEST}", f"docker.io/team/app@{DIGEST}"),
        ("docker.io/team/app:1", "team/app:1", "docker.io/team/app:1"),
        ("docker.io/localhost/app", "docker.io/localhost/app", "docker.io/localhost/app"),
        ("docker.io/a.b/app", "docker.io/a.b/app", "docker.io/a.b/app"),
        ("docker.io/a.b", "a.b", "docker.io/library/a.b"),
        ("localhost:5000/app", "localhost:5000/app", "localhost:5000/app"),
        (f"library/{HEX}", f"docker.io/library/{HEX}", f"docker.io/library/{HEX}"),
        (f"library/sha256:{HEX}", f"docker.io/library/sha256:{HEX}", f"docker.io/library/sha256:{HEX}"),
    ],
)
def test_short_and_in_full(text: str, familiar: str, canonical: str) -> None:
    reference = ImageReference.parse(text)
    assert (reference.familiar, reference.canonical) == (familiar, canonical)


def test_repository_is_as_it_was_written() -> None:
    assert ImageReference.parse(f"docker.io/busybox:1@{DIGEST}").repository == "docker.io/busybox"
    assert ImageReference.parse("busybox:1").repository == "busybox"


@pytest.mark.parametrize(
    ("text", "tagged"),
    [("app", "app:latest"), ("app:1", "app:1"), (f"app@{DIGEST}", f"app@{DIGEST}")],
)
def test_default_tag(text: str, tagged: str) -> None:
    assert str(ImageReference.parse(text).with_default_tag()) == tagged


@given(references())
def test_every_reference_comes_back(text: str) -> None:
    reference = ImageReference.parse(text)
    assert str(reference) == text
    assert copy.copy(reference) == pickle.loads(pickle.dumps(reference)) == reference


@given(references())
def test_short_and_full_mean_the_same(text: str) -> None:
    reference = ImageReference.parse(text)
    in_full = reference.canonical
    assert ImageReference.parse(in_full).canonical == in_full
    assert ImageReference.parse(reference.familiar).canonical == in_full
    assert ImageReference.parse(in_full).familiar == reference.familiar


@given(st.text(st.sampled_from("aB0.:/@_-[]\n é"), max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        reference = ImageReference.parse(text)
    except InvalidReference:
        return
    assert str(reference) == text
