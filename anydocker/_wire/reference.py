"""
Image references: ``[domain/]path[:tag][@digest]``, by the grammar that registries share.

::

    busybox                                   path
    registry.example:5000/team/app:1.2        domain, path, tag
    app@sha256:<64 hex digits>                path, digest

What stands before the first slash is a domain if it has a dot, a colon or an upper-case letter, or is
``localhost``. A reference without a domain means Docker Hub, and a single part there means ``library/``:
``canonical`` says both, ``familiar`` neither. What the user wrote stays as it is.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from anydocker._wire.checks import check_text
from anydocker.errors import InvalidReference

__all__ = ("DEFAULT_DOMAIN", "DEFAULT_TAG", "ImageReference")

DEFAULT_DOMAIN: Final = "docker.io"
DEFAULT_TAG: Final = "latest"

_OFFICIAL: Final = "library"
# Docker Hub's name before it was docker.io; engines still take one for the other.
_LEGACY_DOMAIN: Final = "index.docker.io"

# In characters, domain and slashes included: the limit of the engines' own parser.
_MAX_NAME: Final = 255

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_COMPONENT: Final = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_ALGORITHM = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*"
_DIGEST: Final = re.compile(rf"{_ALGORITHM}:[0-9a-fA-F]{{32,}}")
_ID: Final = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


@attrs.frozen
class ImageReference:
    """
    The name of an image in a registry, made by :meth:`parse`.

    ``str()`` gives back what was parsed.

    Attributes:
        domain: The registry's host, with its port, or None where none was written.
        path: The repository's path in the registry.
        tag: The tag, or None.
        digest: The digest with its algorithm, such as ``sha256:...``, or None.
    """

    domain: str | None
    path: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """
        Read a reference.

        Raises:
            InvalidReference: The text is an image's id, or no reference; the message says what is wrong.
            TypeError: It is no text.
        """
        check_text("reference", text)
        if not text:
            raise InvalidReference("an image reference cannot be empty")
        if _ID.fullmatch(text):
            raise _invalid(text, "this is an image's id, not a reference")
        rest, digest = _split_digest(text)
        name, tag = _split_tag(rest, text)
        if len(name) > _MAX_NAME:
            raise _invalid(text, f"its name has {len(name)} characters, {_MAX_NAME} is the limit")
        domain, path = _split_domain(name)
        _check_name(domain, path, text)
        return cls(domain, path, tag, digest)

    @classmethod
    def parse_new(cls, text: str) -> ImageReference:
        """
        Read a name that an image is to be given; its tag is ``latest`` if it has none.

        Raises:
            InvalidReference: The text is an image's id, no reference, or one with a digest, which cannot be given.
        """
        reference = cls.parse(text).with_default_tag()
        if reference.digest is not None:
            msg = f"{text!r}: a digest follows from what an image is, it cannot be given: name a tag"
            raise InvalidReference(msg)
        return reference

    def __str__(self) -> str:
        return self._with_suffix(self.repository)

    @property
    def repository(self) -> str:
        """Domain and path as they were written: nothing added."""
        return self.path if self.domain is None else f"{self.domain}/{self.path}"

    @property
    def canonical(self) -> str:
        """The reference in full: with ``docker.io`` and ``library/`` where they are meant."""
        return self._with_suffix("/".join(self._full_name()))

    @property
    def familiar(self) -> str:
        """The reference as engines show it: without what would be understood."""
        domain, path = self._full_name()
        if domain != DEFAULT_DOMAIN:
            return str(self)
        short = self._with_suffix(_shortest(path))
        return self.canonical if _ID.fullmatch(short) else short

    def with_default_tag(self) -> ImageReference:
        """The same reference with the tag ``latest``, if it has neither a tag nor a digest."""
        if self.tag is None and self.digest is None:
            return attrs.evolve(self, tag=DEFAULT_TAG)
        return self

    def _full_name(self) -> tuple[str, str]:
        domain = self.domain
        if domain is None or domain == _LEGACY_DOMAIN:
            domain = DEFAULT_DOMAIN
        if domain == DEFAULT_DOMAIN and "/" not in self.path:
            return domain, f"{_OFFICIAL}/{self.path}"
        return domain, self.path

    def _with_suffix(self, name: str) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{name}{tag}{digest}"


def _shortest(path: str) -> str:
    """The shortest name that still means this path on Docker Hub."""
    first, _, rest = path.partition("/")
    if first == _OFFICIAL and "/" not in rest:
        return rest
    return f"{DEFAULT_DOMAIN}/{path}" if _is_domain(first) else path


def _split_digest(text: str) -> tuple[str, str | None]:
    rest, at, digest = text.partition("@")
    if not at:
        return rest, None
    if not _DIGEST.fullmatch(digest):
        why = f"the digest {digest!r} is not an algorithm, a colon and at least 32 hex digits"
        raise _invalid(text, why)
    return rest, digest


def _split_tag(rest: str, text: str) -> tuple[str, str | None]:
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        return rest, None
    if not _TAG.fullmatch(tag):
        why = f"the tag {tag!r} is not 1 to 128 letters, digits, '_', '.', '-', with no '.' or '-' in front"
        raise _invalid(text, why)
    return name, tag


def _split_domain(name: str) -> tuple[str | None, str]:
    first, slash, path = name.partition("/")
    return (first, path) if slash and _is_domain(first) else (None, name)


def _is_domain(first: str) -> bool:
    return first == "localhost" or not {".", ":"}.isdisjoint(first) or first != first.lower()


def _check_name(domain: str | None, path: str, text: str) -> None:
    if domain is not None and not _DOMAIN.fullmatch(domain):
        raise _invalid(text, f"{domain!r} is not a host with an optional port")
    if not path:
        raise _invalid(text, "it names no repository")
    for component in path.split("/"):
        if not _COMPONENT.fullmatch(component):
            raise _invalid(text, _component_problem(component))


def _component_problem(component: str) -> str:
    if not component:
        return "there is nothing before, between or behind its slashes"
    if component != component.lower():
        return f"a repository's name is in lower case, {component!r} is not"
    return f"{component!r} is not lower-case letters and digits, with '.', '_', '__' or '-' between them"


def _invalid(text: str, why: str) -> InvalidReference:
    return InvalidReference(f"{text!r} is not an image reference: {why}")
