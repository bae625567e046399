from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydocker._wire.tar import MemberEnd, TarReader
from anydocker.errors import ProtocolError, TruncatedStream
from tests.helpers import borders, retained, split

Member: TypeAlias = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: object) -> Member:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(content)
    info.mode = 0o640
    info.mtime = 1_600_000_000
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def tar(*members: Member, style: int = tarfile.PAX_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=style) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


MEMBERS: Final = (
    member("dir", kind=tarfile.DIRTYPE),
    member("dir/empty"),
    member("dir/short", b"x"),
    member("dir/block", b"y" * 512),
    member("dir/more", b"z" * 513),
    member("dir/link", kind=tarfile.SYMTYPE, linkname="short"),
    member("dir/hard", kind=tarfile.LNKTYPE, linkname="dir/short"),
    member("long" * 60, b"long"),
    member("dir/to-long", kind=tarfile.SYMTYPE, linkname="to" * 80),
    member("gr\u00fc\u00dfe \udcff", b"bytes"),
    member("pipe", kind=tarfile.FIFOTYPE),
    member("device", kind=tarfile.CHRTYPE, devmajor=1, devminor=3),
)
WHOLE: Final = tar(*MEMBERS)
END: Final = bytes(1024)


def read(reader: TarReader, pieces: Iterable[bytes]) -> list[Member]:
    found: list[Member] = []
    complete = True
    for piece in pieces:
        for event in reader.receive_data(piece):
            match event:
                case tarfile.TarInfo():
                    assert complete
                    found.append((event, b""))
                    complete = False
                case memoryview():
                    assert not complete
                    found[-1] = (found[-1][0], found[-1][1] + event)
                case MemberEnd.MEMBER_END:
                    assert not complete
                    complete = True
    assert complete != reader.is_inside
    return found


def facts(members: Iterable[Member]) -> list[tuple[object, ...]]:
    return [
        (info.name, info.type, info.mode, info.mtime, info.linkname, info.devmajor, info.devminor, content)
        for info, content in members
    ]


@pytest.mark.parametrize("style", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_what_is_in_a_tar(style: int) -> None:
    reader = TarReader()
    assert facts(read(reader, [tar(*MEMBERS, style=style)])) == facts(MEMBERS)
    assert reader.ended
    reader.receive_eof()


def test_names_of_the_old_format() -> None:
    long = member("d" * 90 + "/" + "f" * 90, b"x")
    assert facts(read(TarReader(), [tar(long, style=tarfile.USTAR_FORMAT)])) == facts([long])


@given(borders)
def test_the_pieces_do_not_matter(at: list[float]) -> None:
    assert facts(read(TarReader(), split(WHOLE, at))) == facts(MEMBERS)


def test_byte_by_byte() -> None:
    assert facts(read(TarReader(), (WHOLE[i : i + 1] for i in range(len(WHOLE))))) == facts(MEMBERS)


def test_a_cut_anywhere_is_no_end() -> None:
    small = tar(member("dir", kind=tarfile.DIRTYPE), member("n" * 120, b"content"))
    end = 512 * -(-len(small.rstrip(b"\0")) // 512)
    for cut in range(0, len(small), 16):
        reader = TarReader()
        read(reader, [small[:cut]])
        if cut >= end + 512:
            reader.receive_eof()
        else:
            with pytest.raises(TruncatedStream):
                reader.receive_eof()


@pytest.mark.parametrize(
    ("missing", "where"),
    [
        (0, "before the first file"),
        (512, "behind 'dir'"),
        (1024, "'dir/file' is incomplete"),
        (1025, "'dir/file' is incomplete"),
        (2047, "'dir/file' is incomplete"),
        (2048, "behind 'dir/file'"),
    ],
)
def test_where_it_broke_off(missing: int, where: str) -> None:
    reader = TarReader()
    read(reader, [tar(member("dir", kind=tarfile.DIRTYPE), member("dir/file", bytes(1024)))[:missing]])
    with pytest.raises(TruncatedStream, match=where):
        reader.receive_eof()


def test_what_follows_the_end_is_ignored() -> None:
    reader = TarReader()
    assert read(reader, [END, tar(*MEMBERS), b"garbage"]) == []
    reader.receive_eof()


def test_content_is_passed_on_as_it_comes() -> None:
    reader = TarReader()
    data = tar(member("big", bytes(100_000)))
    assert len(list(reader.receive_data(data[:600]))) == 2
    for _ in range(10):
        (event,) = reader.receive_data(bytes(1000))
        assert isinstance(event, memoryview)
        assert len(event) == 1000
        assert retained(reader) < 1000


def test_links_and_directories_have_no_content() -> None:
    """Whatever size they state: that is how other readers see it, too."""
    lying = [member("d", b"", kind, size=512, linkname="f") for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, b"1")]
    data = b"".join([info.tobuf() for info, _ in lying]) + tar(member("f", b"x"))
    assert [info.name for info, _ in read(TarReader(), [data])] == ["d", "d", "d", "f"]


def test_an_unknown_type_has_content() -> None:
    data = tar(member("what", b"content", b"Z"), member("f", b"x"))
    assert facts(read(TarReader(), [data])) == facts([member("what", b"content", b"Z"), member("f", b"x")])


def test_what_extended_headers_say_counts() -> None:
    info, _ = member("f", b"12345")
    info.pax_headers = {"path": "real", "size": "5", "mtime": "1.5", "uid": "7"}
    ((found, content),) = read(TarReader(), [tar((info, b"12345"))])
    assert (found.name, found.mtime, found.uid, content) == ("real", 1.5, 7, b"12345")


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 512,
        b"not a tar".ljust(512, b"\0"),
        b"<html>" * 100,
        tar(member("f", b"x")).replace(b"ustar", b"ustbr"),
        b"\0" * 511 + b"\1",
        # a header that announces another, and none comes
        tarfile.TarInfo.create_pax_global_header({"comment": "x"}) + END,
        # headers that never end
        tar(*[member("x" * 200)] * 2)[:1024] * 2000,
    ],
)
def test_no_tar(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="not a tar"):
        read(TarReader(), [data])


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_of_any_size_is_not_held_in_memory(kind: bytes) -> None:
    info, _ = member("x", kind=kind, size=2 * 1024 * 1024)
    with pytest.raises(ProtocolError, match="take more than"):
        read(TarReader(), [info.tobuf()])


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE])
def test_a_negative_size(kind: bytes) -> None:
    info, _ = member("x", kind=kind, size=-512)
    with pytest.raises(ProtocolError, match="a file of -512 bytes"):
        read(TarReader(), [info.tobuf(tarfile.GNU_FORMAT)])


@pytest.mark.parametrize("value", ["-5", "x", "nan", "9" * 400])
@pytest.mark.parametrize("field", ["size", "mtime", "GNU.sparse.major", "GNU.sparse.map", "path"])
def test_odd_extended_headers_raise_only_our_errors(field: str, value: str) -> None:
    info, _ = member("f", b"x")
    info.pax_headers = {field: value}
    reader = TarReader()
    with suppress(ProtocolError):
        read(reader, [tar((info, b"x"))])
        reader.receive_eof()


@given(st.data())
def test_damage_raises_only_our_errors(data: st.DataObject) -> None:
    damaged = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    reader = TarReader()
    with suppress(ProtocolError):
        read(reader, split(bytes(damaged), data.draw(borders)))
        reader.receive_eof()
