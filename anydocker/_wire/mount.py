"""What is mounted into a container, and the engine's document for it; checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

import attrs

from anydocker._wire.checks import check_text, check_texts, check_type

__all__ = ("Mount",)

_Type: TypeAlias = Literal["bind", "volume", "tmpfs"]
_Propagation: TypeAlias = Literal["private", "rprivate", "shared", "rshared", "slave", "rslave"]
_Consistency: TypeAlias = Literal["default", "consistent", "cached", "delegated"]

# What each type alone has.
_OWN: Final = {
    "bind": ("propagation", "non_recursive", "create_mountpoint"),
    "volume": ("no_copy", "labels", "driver", "driver_options", "subpath"),
    "tmpfs": ("size", "mode"),
}
_MOST_MODE: Final = 0o7777


@attrs.frozen
class Mount:
    """
    Something mounted into a container.

    Attributes:
        target: Where in the container: an absolute path.
        source: A directory or file of the host (``bind``), or the name of a volume (``volume``; None: a new one).
        type: The kind of mount.
        read_only: Whether the container may not write to it.
        consistency: How soon each side sees what the other has written (Docker Desktop).
        propagation: Whether mounts made below it later are seen on the other side. ``bind`` only, like the next two.
        non_recursive: Leave out what is mounted below the source.
        create_mountpoint: Make the directory of the host if there is none. API 1.42.
        no_copy: Do not fill a new volume with what the image has there. ``volume`` only, like the next four.
        labels: Labels for a volume that is made.
        driver: The driver of a volume that is made.
        driver_options: Options for the driver.
        subpath: Mount this directory of the volume, a relative path that is there already. API 1.45.
        size: How many bytes it may hold. ``tmpfs`` only, like the next.
        mode: The permissions of its root, such as ``0o1777``.
    """

    target: str
    source: str | None = None
    type: _Type = attrs.field(default="volume", kw_only=True)
    read_only: bool = attrs.field(default=False, kw_only=True)
    consistency: _Consistency | None = attrs.field(default=None, kw_only=True)
    propagation: _Propagation | None = attrs.field(default=None, kw_only=True)
    non_recursive: bool = attrs.field(default=False, kw_only=True)
    create_mountpoint: bool = attrs.field(default=False, kw_only=True)
    no_copy: bool = attrs.field(default=False, kw_only=True)
    labels: Mapping[str, str] | None = attrs.field(default=None, kw_only=True)
    driver: str | None = attrs.field(default=None, kw_only=True)
    driver_options: Mapping[str, str] | None = attrs.field(default=None, kw_only=True)
    subpath: str | None = attrs.field(default=None, kw_only=True)
    size: int | None = attrs.field(default=None, kw_only=True)
    mode: int | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        self._check_types()
        if not self.target.startswith("/"):
            raise _wrong(f"target={self.target!r}", "a path in a container begins with a slash")
        if self.type == "bind" and not self.source:
            raise _wrong("type='bind'", "it needs a source: a directory or file of the engine's host")
        if self.type == "tmpfs" and self.source:
            raise _wrong("type='tmpfs'", "it has no source")
        for kind, names in _OWN.items():
            given = [name for name in names if getattr(self, name) is not None and getattr(self, name) is not False]
            if given and kind != self.type:
                raise _wrong(f"type={self.type!r}", f"{given[0]} is for type={kind!r}")
        if self.subpath is not None:
            self._check_subpath(self.subpath)
        if self.size is not None and self.size < 0:
            raise _wrong(f"size={self.size!r}", "it cannot be negative")
        if self.mode is not None and not 0 <= self.mode <= _MOST_MODE:
            raise _wrong(f"mode={self.mode!r}", "expected permissions, from 0 to 0o7777")

    def _check_types(self) -> None:
        check_text("Mount target", self.target)
        for name in ("source", "driver", "subpath"):
            check_type(f"Mount {name}", getattr(self, name), "a str", str)
        for name in ("read_only", "non_recursive", "create_mountpoint", "no_copy"):
            check_type(f"Mount {name}", getattr(self, name), "a bool", bool)
        for name in ("size", "mode"):
            check_type(f"Mount {name}", getattr(self, name), "an int", int)
        for name in ("labels", "driver_options"):
            check_texts(f"Mount {name}", getattr(self, name))
        for name, choices in (("type", _Type), ("propagation", _Propagation), ("consistency", _Consistency)):
            value = getattr(self, name)
            if value not in get_args(choices) and (value is not None or name == "type"):
                raise _wrong(f"{name}={value!r}", f"expected one of {', '.join(map(repr, get_args(choices)))}")

    def _check_subpath(self, subpath: str) -> None:
        if not self.source:
            raise _wrong(f"subpath={subpath!r}", "a new volume has no directories yet: name one as the source")
        if not subpath or subpath.startswith("/") or ".." in subpath.split("/"):
            raise _wrong(f"subpath={subpath!r}", "expected a relative path that does not lead out of the volume")

    def document(self) -> dict[str, Any]:
        """The engine's document."""
        document: dict[str, Any] = {"Type": self.type, "Target": self.target, "ReadOnly": self.read_only}
        if self.source:
            document["Source"] = self.source
        if self.consistency is not None:
            document["Consistency"] = self.consistency
        key, options = self._options()
        given = {name: value for name, value in options.items() if value is not None}
        if given:
            document[key] = given
        return document

    def _options(self) -> tuple[str, dict[str, Any]]:
        match self.type:
            case "bind":
                return "BindOptions", {
                    "Propagation": self.propagation,
                    "NonRecursive": self.non_recursive or None,
                    "CreateMountpoint": self.create_mountpoint or None,
                }
            case "volume":
                return "VolumeOptions", {
                    "NoCopy": self.no_copy or None,
                    "Labels": None if self.labels is None else dict(self.labels),
                    "DriverConfig": self._driver(),
                    "Subpath": self.subpath,
                }
            case "tmpfs":
                return "TmpfsOptions", {"SizeBytes": self.size, "Mode": self.mode}

    def _driver(self) -> dict[str, Any] | None:
        if self.driver is None and self.driver_options is None:
            return None
        return {"Name": self.driver or "", "Options": dict(self.driver_options or {})}


def _wrong(what: str, why: str) -> ValueError:
    return ValueError(f"Mount {what}: {why}")
