r"""
The rules of a ``.dockerignore``: which paths of a build context stay at home.

Reading. A line whose very first character is ``#`` is a comment. Any other is trimmed, and shortened as a
path is (``a//b/../c`` is ``a/c``); one leading slash falls away. ``!`` in front makes an exception of it.

Matching. A pattern is anchored at the root of the context, and what matches a directory matches all below it.
The last pattern that matches a path decides. Letter case counts. ::

    *       any characters but /            **      any characters, / too
    ?       one character but not /         **/     any number of directories, none too
    [a-c]   one of these characters         [^a-c]  one character, even a /, but none of these
    \x      the character x itself

Theory of operation. Each pattern becomes a regular expression that matches below its own matches too, so no
result has to be carried from a directory to its children. Neighbours of one kind (patterns, or exceptions)
become a single expression, a run. The runs are asked from the last to the first, and the first that matches
decides: in most trees this is one match per path, however many patterns there are.

The classic docker command line lets parts of a regular expression through (``a|b*``, ``x{2}*``,
``[[:alpha:]]``), mangles a ``*`` or ``?`` in brackets, and enters an ignored directory only for exceptions
that spell that directory out. This module keeps to the documented rules: those are plain characters, and
every exception holds.
"""

from __future__ import annotations

import posixpath
import re
from itertools import groupby
from math import inf
from typing import TYPE_CHECKING, Final, final

import attrs

from anydocker.errors import ContextError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ("IgnoreRules",)

# White space as the engines' own language defines it; str.strip() would also take U+001C to U+001F.
_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)

_MEMBER: Final = r"(?:[^\\\-\]]|\\.)"
_TOKEN: Final = re.compile(rf"\*\*/?|[*?]|\\.|\[\^?+(?:{_MEMBER}(?:-{_MEMBER})?)+\]|[^\\\[*?]", re.DOTALL)
_IN_BRACKETS: Final = re.compile(r"\\(?P<escaped>.)|(?P<dash>-)|(?P<plain>.)", re.DOTALL)
_SPECIAL: Final = re.compile(r"[*?\[\\]")


@final
@attrs.frozen
class IgnoreRules:
    """The patterns of one ``.dockerignore``, compiled. Made by :meth:`parse`."""

    _newest_first: tuple[_Run, ...] = attrs.field(alias="newest_first")

    @classmethod
    def parse(cls, text: str | bytes, name: str = ".dockerignore") -> IgnoreRules:
        """
        Read the text of a ``.dockerignore``.

        Args:
            text: The text; bytes are UTF-8, and bytes that are not are kept as file names keep them.
            name: What error messages call the file.

        Raises:
            ContextError: A pattern is malformed; the message names the line.
        """
        if isinstance(text, bytes):
            text = text.decode(errors="surrogateescape")
        patterns = _patterns(text, name)
        runs = [_Run.of(is_exception, run) for is_exception, run in groupby(patterns, lambda p: p.is_exception)]
        return cls(newest_first=tuple(reversed(runs)))

    def matches(self, path: str) -> bool:
        """
        Whether a path is ignored.

        Args:
            path: Relative to the context, with forward slashes, without a slash at its end. The context
                itself (``"."`` or ``""``) is never ignored.
        """
        if path in {"", "."}:
            return False
        return next((not run.is_exception for run in self._newest_first if run.regex.fullmatch(path)), False)

    def covers(self, directory: str) -> bool:
        """
        Whether a directory is ignored with everything that may be below it, so that a walk need not enter it.

        Args:
            directory: Its path, written as for :meth:`matches`.
        """
        for run in self._newest_first:
            if run.regex.fullmatch(directory):
                return not run.is_exception
            if run.is_exception and run.reaches_below(directory):
                return False
        return False


@attrs.frozen
class _Pattern:
    is_exception: bool
    regex: str
    """Matches the pattern's own matches; what is below them is the run's part."""
    prefix: str
    """What every match begins with."""
    slashes: float
    """The number of slashes in a match, at most."""
    is_literal: bool

    def reaches_below(self, directory: str) -> bool:
        below = directory + "/"
        if self.is_literal:
            return self.prefix.startswith(below)
        agrees = self.prefix.startswith(below) or below.startswith(self.prefix)
        return agrees and self.slashes >= below.count("/")


@attrs.frozen
class _Run:
    is_exception: bool
    regex: re.Pattern[str]
    patterns: tuple[_Pattern, ...]

    @classmethod
    def of(cls, is_exception: bool, patterns: Iterable[_Pattern]) -> _Run:
        patterns = tuple(patterns)
        either = "|".join(pattern.regex for pattern in patterns)
        return cls(is_exception, re.compile(f"(?:{either})(?:/.*)?", re.DOTALL), patterns)

    def reaches_below(self, directory: str) -> bool:
        return any(pattern.reaches_below(directory) for pattern in self.patterns)


def _patterns(text: str, name: str) -> Iterator[_Pattern]:
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        pattern = _clean_line(line)
        if not pattern:
            continue
        try:
            yield _compile(pattern)
        except ValueError as exc:
            message = f"{name}, line {number}: {exc}: {line.strip(_SPACE)!r}"
            raise ContextError(message) from exc


def _clean_line(line: str) -> str:
    """The pattern of a line, with its ``!``, or an empty string."""
    if line.startswith("#"):
        return ""
    pattern = line.strip(_SPACE)
    bang = "!" if pattern.startswith("!") else ""
    pattern = pattern.removeprefix("!").strip(_SPACE)
    if pattern:
        pattern = _clean_path(pattern)
    if len(pattern) > 1:
        pattern = pattern.removeprefix("/")
    # Engines clean a second time when they compile, `!` included: `!/` becomes a lone `!` here.
    pattern = (bang + pattern).strip(_SPACE)
    return _clean_path(pattern) if pattern else ""


def _clean_path(path: str) -> str:
    cleaned = posixpath.normpath(path)
    # POSIX lets two leading slashes mean something else; here they do not.
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _compile(pattern: str) -> _Pattern:
    is_exception = pattern.startswith("!")
    pattern = pattern.removeprefix("!")
    if not pattern:
        message = 'a lone "!" excepts nothing; write a pattern behind it'
        raise ValueError(message)
    tokens = _tokens(pattern)
    regex = _regex(tokens)
    try:
        re.compile(regex)
    except re.error as exc:
        message = f"malformed pattern ({exc.msg})"
        raise ValueError(message) from exc
    prefix = _SPECIAL.split(pattern, maxsplit=1)[0]
    # A bracket may match a slash, so it bounds the depth no more than ** does.
    slashes = inf if "**" in pattern or "[" in pattern else pattern.count("/")
    return _Pattern(is_exception, regex, prefix, slashes, is_literal=prefix == pattern)


def _tokens(pattern: str) -> list[str]:
    tokens: list[str] = []
    end = 0
    while end < len(pattern):
        token = _TOKEN.match(pattern, end)
        if token is None:
            what = "brackets not closed, or wrong between them" if pattern[end] == "[" else "nothing to escape"
            message = f"malformed pattern ({what}, at character {end + 1} of {pattern!r})"
            raise ValueError(message)
        tokens.append(token[0])
        end = token.end()
    return tokens


def _regex(tokens: list[str]) -> str:
    rest = tokens[1:]
    # `**name` without another special character means any path with this ending; with one, a whole file name.
    if tokens[0] == "**" and not any(_SPECIAL.match(token) for token in rest):
        return ".*" + "".join(map(re.escape, rest))
    body = "".join(map(_token_regex, tokens[:-1]))
    return body + (".*" if tokens[-1] == "**" else _token_regex(tokens[-1]))


def _token_regex(token: str) -> str:
    if token.startswith("**"):
        return "(?:.*/)?"
    if token == "*":  # noqa: S105 - a token of a pattern, not of a login
        return "[^/]*"
    if token == "?":  # noqa: S105
        return "[^/]"
    if len(token) > 1 and token.startswith("["):
        return _brackets_regex(token)
    return re.escape(token[-1])


def _brackets_regex(token: str) -> str:
    negated = token.startswith("[^")
    members = token[2 if negated else 1 : -1]
    escaped = _IN_BRACKETS.sub(lambda m: m["dash"] or re.escape(m["escaped"] or m["plain"]), members)
    return f"[{'^' if negated else ''}{escaped}]"
