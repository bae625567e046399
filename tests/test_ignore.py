from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anydocker._wire.ignore import IgnoreRules
from anydocker.errors import ContextError

# (the lines of a .dockerignore, paths it ignores, paths it does not); spaces part the paths.
CASES = [
    # plain names, anchored at the root, with all that is below them
    ("a", "a a/b a/b/c", "b ab b/a A"),
    ("a/b", "a/b a/b/c", "a b a/bc c/a/b"),
    (".git", ".git .git/HEAD", "sub/.git .gitignore xgit"),
    ("abc.def", "abc.def", "abcdef abcZdef"),
    ("a(b)c/+$x", "a(b)c/+$x", "abc/x"),
    ("dist/app-2.4.0rc3+g08-py3.whl", "dist/app-2.4.0rc3+g08-py3.whl", "dist/app-2.4.0rc333g08-py3.whl"),
    # one component's wildcards
    ("*", "a a/b .hidden", ""),
    ("*.pyc", "x.pyc .pyc x.pyc/y", "sub/x.pyc x.pycc x.py"),
    (".*", ".env .git/HEAD", "env a/.env"),
    ("*/*.md", "a/x.md a/x.md/y", "x.md a/b/x.md"),
    ("a*b*c", "abc axbxc", "ab/c acb a/b/c"),
    ("a?c", "abc a.c", "ac a/c abbc"),
    ("a?b", "a\u263ab", "ab"),
    ("???", "abc abc/d", "ab abcd"),
    # any number of directories
    ("**", "a a/b/c .x", ""),
    ("**/*", "a a/b/c .x", ""),
    ("**/**", "a a/b/c", ""),
    ("***", "a a/b/c", ""),
    ("**/x", "x a/x a/b/x x/y a/x/y", "ax a/bx xx"),
    ("**/x/y", "x/y a/x/y a/b/x/y/z", "x y a/y x/a/y"),
    ("**/*.o", "x.o a/x.o a/b/x.o .o", "x.oo xo"),
    ("**/.foo", ".foo a/.foo", "bar.foo"),
    ("a/**", "a/b a/b/c a/.x", "a b ab"),
    ("a/**/z", "a/z a/b/z a/b/c/z", "z a b/z a/bz"),
    ("a**", "a ab ab/c a/b", "b b/a"),
    ("a**/z", "az a/z ab/c/z", "z b/z"),
    ("**/d/**", "d/x a/d/x a/d/x/y", "d a/d"),
    ("**/d/*", "d/x a/d/x a/d/x/y", "d a/d dd/x"),
    # ** and a plain ending: any path that ends so; with another wildcard: a whole name that begins so
    ("**foo", "foo barfoo a/barfoo foo/x", "foob"),
    ("**foo*", "foo foo1 a/foo1", "barfoo barfoo1"),
    ("**.md", "a.md .md b/c.md", "amd a.mdx"),
    # brackets
    ("[ab]", "a b a/x", "c ab"),
    ("a[b-d]e", "abe ace ade/x", "aae ae aee"),
    ("a[^b-d]e", "aae aze a/e", "abe ade ae"),
    ("a[^b]c", "axc a/c a!c", "abc"),
    ("a[!b]c", "abc a!c", "axc a/c"),
    ("[a-z]*.[ch]", "x.c main.h", "X.c x.cc 1.h"),
    ("[\\]a]", "] a", "\\ b"),
    ("[\\-x]", "- x", "y"),
    ("[a\\-c]", "a - c", "b"),
    ("[[a]", "[ a", "b"),
    ("[*?]x", "*x ?x", "ax x"),
    ("x[&|~]y", "x&y x|y x~y", "xy"),
    ("a]b", "a]b", "ab"),
    ("[\u03b1-\u03c9]", "\u03b2", "b"),
    # escapes
    ("\\*", "* */x", "a"),
    ("a\\?b", "a?b", "axb"),
    ("\\[x]", "[x]", "x"),
    ("\\\\x", "\\x", "x \\\\x"),
    ("\\d", "d", "1"),
    ("\\!a", "!a", "a"),
    ("\\#a", "#a", "a"),
    ("a\\*b*", "a*b a*bc", "axb"),
    # what is special elsewhere is not here
    ("a|b*", "a|b a|bc", "a b bc"),
    ("x{2}*", "x{2} x{2}y", "xx xxy"),
    ("*.{js,ts}", "a.{js,ts}", "a.js a.ts"),
    ("a^b$", "a^b$", "ab"),
    # exceptions: the last match decides
    ("*\n!keep", "a b/c", "keep keep/x"),
    ("*.md\n!README*.md\nREADME-secret.md", "a.md README-secret.md", "README.md README-x.md"),
    ("*.md\nREADME-secret.md\n!README*.md", "a.md", "README.md README-secret.md"),
    ("!a\na", "a a/b", "b"),
    ("a\n!a/b\na/b/c", "a a/x a/b/c a/b/c/d", "a/b a/b/d"),
    ("**\n!src/*.c", "src a/b src/a/x.c src/x.h", "src/x.c"),
    ("docs\n!docs/README.md", "docs docs/x", "docs/README.md docs/README.md/x"),
    ("docs/\n! docs/README.md", "docs/x", "docs/README.md"),
    (
        "node_modules\n!**/keep",
        "node_modules node_modules/a/b",
        "node_modules/keep node_modules/a/keep/b keep",
    ),
    ("!a", "", "a b"),
    ("a\n!!a", "a", "!a"),
    ("a\n!a/b\na", "a a/b", "b"),
    # reading lines
    ("", "", "a"),
    ("\n\n  \n\t\n", "", "a"),
    ("\ufeffa", "a", "\ufeffa"),
    ("a\n\ufeffb", "a \ufeffb", "b"),
    ("# a\nb", "b", "a #"),
    ("  a\t\nb\r\nc\x0b", "a b c", "d"),
    ("a\x0cb", "a\x0cb", "a b"),
    ("a\u2028b", "a\u2028b", "a b"),
    ("a\rb", "a\rb", "a b"),
    ("a/\nb//c\n./d\ne/../f\ng/.", "a b/c d f g", "b e c"),
    ("/a\n//b\n!/a/c", "a a/x b", "a/c"),
    ("/!a\na", "a", "!a"),
    ("../a\n.\n/\n..", "", "a"),
    ("a \n b", "a b", "c"),
]
# Leading spaces put `#` out of the first column: the line is a pattern then.
CASES_WITH_SPACES = [
    ("  # a", ["# a"], ["a", "#"]),
    ("a b", ["a b", "a b/c"], ["a", "b"]),
    ("*\n!  a b  ", ["c"], ["a b"]),
    ("a/ /\nb", ["a", "b"], ["c"]),
    ("\u3000a\u00a0", ["a"], [" a"]),
    ("\x1fa", ["\x1fa"], ["a"]),
]
TABLE = [(text, yes.split(" "), no.split(" ")) for text, yes, no in CASES] + CASES_WITH_SPACES


@pytest.mark.parametrize(("text", "ignored", "sent"), TABLE, ids=[repr(row[0]) for row in TABLE])
def test_rules(text: str, ignored: list[str], sent: list[str]) -> None:
    rules = IgnoreRules.parse(text)
    assert [path for path in ignored if path and not rules.matches(path)] == []
    assert [path for path in sent if rules.matches(path)] == []
    assert IgnoreRules.parse(text.encode()) == rules


def test_the_context_itself_is_never_ignored() -> None:
    rules = IgnoreRules.parse("**\n*\n.")
    assert not rules.matches(".")
    assert not rules.matches("")


# What other clients of the engine get wrong.


def test_letter_case_counts() -> None:
    assert not IgnoreRules.parse("MAKE*").matches("Makefile")
    assert IgnoreRules.parse("MAKE*").matches("MAKEFILE")


def test_an_escaped_star_is_a_star() -> None:
    rules = IgnoreRules.parse(r"a\*b")
    assert rules.matches("a*b")
    assert not rules.matches("axb")


def test_a_caret_negates_brackets() -> None:
    rules = IgnoreRules.parse("x[^b]")
    assert rules.matches("xa")
    assert not rules.matches("xb")
    assert rules.matches("x^")


def test_the_ignore_file_itself_can_be_ignored() -> None:
    assert IgnoreRules.parse(".dockerignore").matches(".dockerignore")


def test_an_exception_lets_out_nothing_else_of_its_directory() -> None:
    rules = IgnoreRules.parse("**/node_modules\n!a/b/node_modules/keep")
    assert rules.matches("a/b/node_modules/x")
    assert rules.matches("a/b/node_modules")
    assert not rules.matches("a/b/node_modules/keep")


# Malformed patterns


MALFORMED = "!, ! ,!/,[,a[,[],[]a],[^],[^]a],[^]a][b],[-],[x-],[-x],[a-b-c],[a,[^bc,a\\,[a\\,[\\,[z-a],a/[,**/[,!a["


@pytest.mark.parametrize("pattern", MALFORMED.split(","))
def test_a_malformed_pattern_names_its_line(pattern: str) -> None:
    with pytest.raises(ContextError, match=r"^that file, line 3: ") as caught:
        IgnoreRules.parse(f"a\n# comment\n{pattern}\nb", "that file")
    assert repr(pattern.strip()) in str(caught.value)


def test_bytes_that_are_no_text_match_themselves() -> None:
    rules = IgnoreRules.parse(b"a\xff*")
    assert rules.matches(b"a\xffb".decode(errors="surrogateescape"))
    assert not rules.matches("a\ufffdb")


# Pruning


@pytest.mark.parametrize(
    ("text", "covered", "entered"),
    [
        ("a", "a a/b", "b"),
        ("*", "a a/b .x", ""),
        ("a\n!b", "a", "b"),
        ("a\n!a/b/c", "a/x a/b/x", "a a/b a/b/c"),
        ("a\n!a/*/c", "a/x/y a/c/d", "a a/x"),
        ("*\n!*.md", "a a/b", "x.md"),
        ("*\n!*/*.md", "a/b", "a"),
        ("node_modules\n!**/keep", "", "node_modules node_modules/a"),
        ("a\n!a/[^x]y", "", "a a/b a/b/c"),
        ("a\n!src/**", "a a/b", "src src/x"),
        ("*\n!sr?/x", "s t/u lib/x", "src sro"),
        ("!a/b\na", "a a/b", "b"),
        ("a\n!a/b\na/b", "a/b a/x", "a"),
    ],
)
def test_covers(text: str, covered: str, entered: str) -> None:
    rules = IgnoreRules.parse(text)
    assert [path for path in covered.split() if not rules.covers(path)] == []
    assert [path for path in entered.split() if rules.covers(path)] == []


names = st.sampled_from(["a", "b", "ab", "a.b", "*", "-", "A"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
pieces = st.sampled_from(["a", "b", ".", "*", "?", "**", "/", "**/", "[ab]", "[^a]", "[*-/]", "\\*", "-", "A"])
patterns = st.one_of(st.lists(pieces, min_size=1, max_size=5).map("".join), paths)
lines = st.tuples(st.sampled_from(["", "", "!"]), patterns).map("".join)


def parses(line: str) -> bool:
    try:
        IgnoreRules.parse(line)
    except ContextError:
        return False
    return True


texts = st.lists(lines.filter(parses), max_size=5)


def with_parents(path: str) -> list[str]:
    return list(accumulate(path.split("/"), lambda parent, name: f"{parent}/{name}"))


@settings(max_examples=500)
@given(texts, st.lists(paths, max_size=12))
@example(["a", "!a/b", "a"], ["a/b"])
@example(["a", "!*/b"], ["a/b/c"])
def test_a_walk_that_prunes_finds_what_matches_finds(text: list[str], leaves: list[str]) -> None:
    rules = IgnoreRules.parse("\n".join(text))
    tree = {path for leaf in leaves for path in with_parents(leaf)}
    found: set[str] = set()
    for path in tree:
        *parents, _ = with_parents(path)
        if not any(rules.covers(parent) for parent in parents) and not rules.matches(path):
            found.add(path)
    assert found == {path for path in tree if not rules.matches(path)}


@settings(max_examples=300)
@given(texts, paths)
def test_the_last_pattern_that_matches_a_path_or_its_parents_decides(text: list[str], path: str) -> None:
    ignored = False
    for line in text:
        alone = IgnoreRules.parse(line.removeprefix("!"))
        if any(alone.matches(parent) for parent in with_parents(path)):
            ignored = not line.startswith("!")
    assert IgnoreRules.parse("\n".join(text)).matches(path) == ignored


@given(st.text("ab*?[]^-\\/! #.\n\r", max_size=30))
def test_any_text_parses_or_is_a_context_error(text: str) -> None:
    if not parses(text):
        with pytest.raises(ContextError, match=r"^\.dockerignore, line \d+: "):
            IgnoreRules.parse(text)
    elif (rules := IgnoreRules.parse(text)).covers("a/b"):
        assert rules.matches("a/b/c")
