"""The same photos through every kind of source: same ids, same names, same bytes, same vectors.

One file for the whole package, for its modules share the made photos and the local server.
"""

from __future__ import annotations

import io
import pickle
import stat
import struct
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from conftest import picture
from hypothesis import given
from hypothesis import strategies as st

from shoplens import check, embed, load_encoder, read_dataset, read_gallery
from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.records import REASONS, Photo, PhotoSet
from shoplens.report import Result, Shown, write_page
from shoplens.sources import columns as columns_module
from shoplens.sources import read_photo, requests
from shoplens.sources.archives import ZipMember
from shoplens.sources.file import DiskFile
from shoplens.sources.folder import inside
from shoplens.sources.remote import RemoteFile, is_url

NAMES = ("b.png", "sub/a b#1?.png", "sub/c.jpg")


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    picture(seed).save(stream, "PNG")
    return stream.getvalue()


PHOTOS = {name: png(seed) for seed, name in enumerate(NAMES)}


class Server(ThreadingHTTPServer):
    """Serves `files`, and answers paths in `trouble` with its statuses one after another."""

    daemon_threads = True

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.trouble: dict[str, list[int]] = {}
        self.asked: list[str] = []
        self.gives_ranges = True
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float] = 10

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        waiting = self.server.trouble.get(self.path)
        if waiting:
            self.answer(waiting.pop(0), b"")
        elif self.path not in self.server.files:
            self.answer(404, b"")
        else:
            self.serve(self.server.files[self.path])

    def serve(self, data: bytes) -> None:
        wanted = self.headers.get("Range")
        if wanted is None or not self.server.gives_ranges:
            self.answer(200, data)
            return
        first, last = (int(n) for n in wanted.removeprefix("bytes=").split("-"))
        if first >= len(data):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        part = data[first : last + 1]
        place = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
        self.answer(206, part, {"Content-Range": place})

    def answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "FIRST_WAIT_SECONDS", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name, data in PHOTOS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "notes.txt").write_text("no photo")
    (root / ".hidden.png").write_bytes(b"no photo")
    return root


def make_zip(path: Path, root: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(root.rglob("*"), reverse=True):
            archive.write(file, file.relative_to(root))
    return path


def make_tar(path: Path, root: Path, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for file in sorted(root.iterdir(), reverse=True):
            archive.add(file, file.name)
    return path


def table_of(photos: dict[str, bytes], **more: Any) -> pa.Table:
    return pa.table({"path": sorted(photos), "image": [photos[n] for n in sorted(photos)], **more})


def write_arrow(path: Path, table: pa.Table, **options: Any) -> Path:
    with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


def as_zip(folder: Path, server: Server, memory: Any) -> str:
    return str(make_zip(folder.parent / "photos.zip", folder))


def as_stored_zip(folder: Path, server: Server, memory: Any) -> str:
    return str(make_zip(folder.parent / "photos.zip", folder, zipfile.ZIP_STORED))


def as_tar(folder: Path, server: Server, memory: Any) -> str:
    return str(make_tar(folder.parent / "photos.tar", folder))


def as_parquet(folder: Path, server: Server, memory: Any) -> str:
    path = folder.parent / "photos.parquet"
    pa.parquet.write_table(table_of(PHOTOS), path, row_group_size=2)
    return str(path)


def as_parquet_of_structs(folder: Path, server: Server, memory: Any) -> str:
    rows = [{"bytes": PHOTOS[name], "path": name} for name in sorted(PHOTOS)]
    path = folder.parent / "train.parquet"
    pa.parquet.write_table(pa.table({"image": rows, "label": [1, 2, 3]}), path)
    return str(path)


def as_parquet_parts(folder: Path, server: Server, memory: Any) -> str:
    root = folder.parent / "parts"
    root.mkdir()
    for number, name in enumerate(sorted(PHOTOS)):
        path = root / f"part-{number}.parquet"
        pa.parquet.write_table(table_of({name: PHOTOS[name]}), path)
    (root / "_SUCCESS").touch()
    return str(root)


def as_arrow(folder: Path, server: Server, memory: Any) -> str:
    return str(write_arrow(folder.parent / "photos.arrow", table_of(PHOTOS)))


def as_feather(folder: Path, server: Server, memory: Any) -> str:
    return str(write_arrow(folder.parent / "a.feather", table_of(PHOTOS), compression="lz4"))


def as_lance(folder: Path, server: Server, memory: Any) -> str:
    lance = pytest.importorskip("lance")
    lance.write_dataset(table_of(PHOTOS), str(folder.parent / "photos.lance"))
    return str(folder.parent / "photos.lance")


def as_lance_of_structs(folder: Path, server: Server, memory: Any) -> str:
    lance = pytest.importorskip("lance")
    rows = [{"bytes": PHOTOS[name], "path": name} for name in sorted(PHOTOS)]
    lance.write_dataset(pa.table({"image": rows}), str(folder.parent / "photos.lance"))
    return str(folder.parent / "photos.lance")


def as_web_table(folder: Path, server: Server, memory: Any) -> str:
    rows = "".join(f"{number},{name}\n" for number, name in enumerate(sorted(PHOTOS)))
    server.files["/shop/gallery.csv"] = f"seller_img_id,img_path\n{rows}".encode()
    # One of them below data/, and as a server sees the names.
    server.files["/shop/data/b.png"] = PHOTOS["b.png"]
    server.files["/shop/sub/a%20b%231%3F.png"] = PHOTOS["sub/a b#1?.png"]
    server.files["/shop/sub/c.jpg"] = PHOTOS["sub/c.jpg"]
    return f"{server.url}/shop/gallery.csv"


def as_web_folder(folder: Path, server: Server, memory: Any) -> str:
    return as_web_table(folder, server, memory).removesuffix("/gallery.csv")


def on_web(make: Callable[[Path, Server, Any], str]) -> Callable[[Path, Server, Any], str]:
    def made(folder: Path, server: Server, memory: Any) -> str:
        path = Path(make(folder, server, memory))
        server.files[f"/{path.name}"] = path.read_bytes()
        return f"{server.url}/{path.name}"

    made.__name__ = f"web_{make.__name__}"
    return made


def in_memory(make: Callable[[Path, Server, Any], str]) -> Callable[[Path, Server, Any], str]:
    def made(folder: Path, server: Server, memory: Any) -> str:
        path = Path(make(folder, server, memory))
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file():
                memory.pipe_file(f"/{file.relative_to(folder.parent)}", file.read_bytes())
        return f"memory://{path.relative_to(folder.parent)}"

    made.__name__ = f"memory_{make.__name__}"
    return made


def as_folder(folder: Path, server: Server, memory: Any) -> str:
    return str(folder)


SOURCES = [
    as_zip,
    as_stored_zip,
    as_tar,
    as_parquet,
    as_parquet_of_structs,
    as_parquet_parts,
    as_arrow,
    as_feather,
    as_lance,
    as_lance_of_structs,
    as_web_table,
    as_web_folder,
    on_web(as_zip),
    on_web(as_tar),
    on_web(as_parquet),
    on_web(as_feather),
    in_memory(as_folder),
    in_memory(as_zip),
    in_memory(as_tar),
    in_memory(as_parquet),
    in_memory(as_parquet_parts),
]


@pytest.mark.parametrize("make", SOURCES, ids=lambda make: make.__name__)
def test_a_source_gives_what_the_folder_gives(
    make: Callable[[Path, Server, Any], str],
    folder: Path,
    server: Server,
    memory: Any,
    make_model: Callable[..., Path],
) -> None:
    expected = read_gallery(folder)
    assert [p.name for p in expected] == sorted(NAMES)
    found = read_gallery(make(folder, server, memory))
    assert found.ids.tolist() == expected.ids.tolist()
    assert [p.name for p in found] == [p.name for p in expected]
    assert [read_photo(p) for p in found] == [read_photo(p) for p in expected]
    assert len({p.path for p in found}) == len(found)
    # Sent to another process they read the same, in any order.
    again = pickle.loads(pickle.dumps(list(reversed(found))))
    assert [read_photo(p) for p in again] == [PHOTOS[n] for n in sorted(NAMES, reverse=True)]
    assert {p.file for p in again} == {p.file for p in found}
    encoder = load_encoder(make_model())
    assert np.array_equal(embed(found, encoder).vectors, embed(expected, encoder).vectors)


def test_a_missing_photo_is_told_from_an_unreachable_one(server: Server) -> None:
    rows = "0,none.png\n1,locked.png\n2,down.png\n3,empty.png\n"
    server.files["/gallery.csv"] = f"seller_img_id,img_path\n{rows}".encode()
    server.files["/empty.png"] = b""
    server.trouble = {"/locked.png": [403], "/down.png": [503] * 10}
    reasons = [reason_of(photo) for photo in read_gallery(f"{server.url}/gallery.csv")]
    assert reasons == ["missing", "unreachable", "unreachable", "empty"]
    assert set(reasons) <= set(REASONS)
    assert server.asked.count("/locked.png") == 1
    assert server.asked.count("/down.png") == requests.TRIES


def test_a_passing_trouble_is_tried_again(server: Server) -> None:
    server.files["/a.png"] = b"photo"
    server.trouble["/a.png"] = [503, 429]
    assert RemoteFile(f"{server.url}/a.png").read() == b"photo"


def test_a_host_that_is_not_there_is_unreachable() -> None:
    with Server() as gone:
        url = gone.url
    with pytest.raises(PhotoError, match=r"127\.0\.0\.1") as caught:
        RemoteFile(f"{url}/a.png").read()
    assert caught.value.reason == "unreachable"


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(requests, "REQUEST_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.png"
        with pytest.raises(PhotoError) as caught:
            RemoteFile(url).read()
    assert caught.value.reason == "unreachable"


def test_a_large_answer_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_BYTES", 1000)
    server.files["/a.png"] = bytes(1001)
    server.files["/b.png"] = bytes(1000)
    with pytest.raises(PhotoError, match="1,001 bytes") as caught:
        RemoteFile(f"{server.url}/a.png").read()
    assert caught.value.reason == "too_large"
    assert len(RemoteFile(f"{server.url}/b.png").read()) == 1000


def test_an_archive_needs_a_server_that_gives_parts(folder: Path, server: Server) -> None:
    server.files["/a.zip"] = make_zip(folder.parent / "a.zip", folder).read_bytes()
    server.gives_ranges = False
    with pytest.raises(DataError, match="does not deliver parts of files"):
        read_gallery(f"{server.url}/a.zip")


def test_messages_hold_no_signature(server: Server) -> None:
    with pytest.raises(PhotoError) as caught:
        RemoteFile(f"{server.url.replace('//', '//me:word@')}/a.png?signature=x").read()
    assert "word" not in str(caught.value)
    assert "signature" not in str(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a.csv", "zip://a::http://b/c"])
def test_other_urls_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="of a kind that cannot be read"):
        read_gallery(url)
    (tmp_path / "gallery.csv").write_text(f"seller_img_id,img_path\n0,{url}\n")
    with pytest.raises(DataError, match="of a kind that cannot be read"):
        read_gallery(tmp_path, remote=True)


def test_a_table_makes_no_requests_unless_allowed(server: Server, tmp_path: Path) -> None:
    url = f"{server.url}/a.png"
    server.files["/a.png"] = PHOTOS["b.png"]
    (tmp_path / "gallery.csv").write_text(f"seller_img_id,img_path\n0,{url}\n")
    with pytest.raises(DataError, match=r"row 2, column img_path: 'http.* is a URL"):
        read_gallery(tmp_path)
    assert not check(tmp_path).ok
    assert server.asked == []
    [photo] = read_gallery(tmp_path, remote=True)
    assert photo.name == url
    assert server.asked == []
    assert read_photo(photo) == PHOTOS["b.png"]
    assert check(tmp_path / "gallery.csv", remote=True).ok


def test_columns_behind_a_broken_line(server: Server, folder: Path, memory: Any) -> None:
    url = on_web(as_parquet)(folder, server, memory)
    photos = read_gallery(url)
    server.trouble["/photos.parquet"] = [503] * requests.TRIES
    assert reason_of(photos[0]) == "unreachable"
    assert [read_photo(p) for p in photos] == [PHOTOS[n] for n in sorted(NAMES)]
    data = server.files.pop("/photos.parquet")
    assert data
    assert read_photo(photos[0]) == PHOTOS["b.png"]  # Kept.


def test_a_web_folder_without_a_table_is_refused(server: Server) -> None:
    with pytest.raises(DataError, match="cannot be listed"):
        read_gallery(f"{server.url}/photos")
    with pytest.raises(MissingError, match=r"nothing at .*none\.csv"):
        read_gallery(f"{server.url}/none.csv")


def test_an_empty_remote_folder_is_missing(memory: Any) -> None:
    with pytest.raises(MissingError, match="memory://none"):
        read_gallery("memory://none")


def test_a_test_set_is_read_from_anywhere(
    make_dataset: Callable[..., Path], server: Server, memory: Any
) -> None:
    root = make_dataset()
    plain = read_dataset(root)
    tar = make_tar(root.parent / "plain.tar", root)
    with zipfile.ZipFile(root.parent / "around.zip", "w") as archive:
        for file in root.rglob("*"):
            archive.write(file, Path("dataset", file.relative_to(root)))
    for file in root.rglob("*"):
        if file.is_file():
            server.files[f"/set/{file.relative_to(root).as_posix()}"] = file.read_bytes()
            memory.pipe_file(f"/set/{file.relative_to(root).as_posix()}", file.read_bytes())
    sources = [tar, root.parent / "around.zip", f"{server.url}/set", "memory://set"]
    for source in sources:
        found = read_dataset(source)
        for side in ("gallery", "queries"):
            expected: PhotoSet = getattr(plain, side)
            photos: PhotoSet = getattr(found, side)
            for ours, theirs in zip(expected, photos, strict=True):
                assert (ours.id, ours.name, ours.box) == (theirs.id, theirs.name, theirs.box)
                assert ours.product_id == theirs.product_id
                assert read_photo(ours) == read_photo(theirs)
        report = check(source)
        assert report.ok
        assert (report.n_gallery, report.n_queries, report.n_products) == (3, 2, 3)
        assert len(read_gallery(source)) == 3


def test_a_test_set_of_columns(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset()
    plain = read_dataset(root)
    for side in ("gallery", "queries"):
        photos = list(getattr(plain, side))
        columns: dict[str, Any] = {
            "photo_id": [p.id for p in photos],
            "image": [read_photo(p) for p in photos],
            "product_id": [p.product_id for p in photos],
        }
        if side == "queries":
            columns |= {
                "bbox_x": [0, 0],
                "bbox_y": [0.0, 0.0],
                "bbox_w": [64, 0],
                "bbox_h": [48] * 2,
            }
        pa.parquet.write_table(pa.table(columns), root / f"{side}.parquet")
        (root / f"{side}.csv").unlink()
    found = read_dataset(root)
    assert [p.product_id for p in found.gallery] == ["a", "b", "c"]
    assert [str(p.box) for p in found.queries] == ["0,0,64,48", "None"]
    assert found.queries[1].problem is not None
    assert found.queries[1].problem.reason == "bad_box"
    assert found.gallery[1].name == "gallery.parquet#1"
    # Rows of a table without a header count from 1.
    assert [(f.row, f.column) for f in check(root).faults] == [(2, "bbox_w")]


def test_columns_as_tables_of_a_remote_folder(server: Server, memory: Any, tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table({"image": [b"1", b"2"], "price": [3, 4]}), tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    memory.pipe_file("/set/gallery.parquet", data)
    server.files["/set/gallery.parquet"] = data
    for url in ("memory://set", f"{server.url}/set"):
        photos = read_gallery(url)
        assert [read_photo(photo) for photo in photos] == [b"1", b"2"]
        assert [photo.attributes["price"] for photo in photos] == [3, 4]


def test_a_web_table_needs_no_parts_of_files(server: Server) -> None:
    server.gives_ranges = False
    server.files["/shop/gallery.csv"] = b"seller_img_id,img_path\n0,a.png\n"
    server.files["/shop/a.png"] = PHOTOS["b.png"]
    for url in (f"{server.url}/shop", f"{server.url}/shop/gallery.csv"):
        [photo] = read_gallery(url)
        assert read_photo(photo) == PHOTOS["b.png"]


def test_an_archive_lacks_what_its_table_names(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("gallery.csv", "seller_img_id,img_path\n0,none.png\n1,../b.png\n")
    with pytest.raises(DataError, match=r"row 3, column img_path: '\.\./b\.png' leaves"):
        read_gallery(tmp_path / "a.zip")
    with pytest.raises(MissingError, match=r"holds no queries\.csv"):
        read_dataset(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("gallery.csv", "seller_img_id,img_path\n0,none.png\n")
    [photo] = read_gallery(tmp_path / "a.zip")
    assert photo.problem is not None
    assert photo.problem.reason == "missing"


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "C:/a.png", "x/../../a.png"])
def test_members_outside_are_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, PHOTOS["b.png"])
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    for file in ("a.zip", "a.tar"):
        with pytest.raises(DataError, match=r"leaves the folder|is absolute"):
            read_gallery(tmp_path / file)


@given(st.lists(st.sampled_from(["..", ".", "a", "b c", "", "data"]), max_size=6))
def test_paths_inside_stay_inside(parts: list[str]) -> None:
    root = Path("/root/folder")
    try:
        relative = inside("/".join(parts))
    except ValueError:
        return
    assert Path("/root/folder", relative).resolve().is_relative_to(root)
    assert inside(relative) == relative


def test_links_and_repeated_names_in_archives(folder: Path) -> None:
    (folder / "hard.png").hardlink_to(folder / "b.png")
    tar = make_tar(folder.parent / "a.tar", folder)
    assert {p.name: read_photo(p) for p in read_gallery(tar)}["hard.png"] == PHOTOS["b.png"]
    (folder / "soft.png").symlink_to("b.png")
    with pytest.raises(DataError, match=r"soft\.png' is a link to b\.png"):
        read_gallery(make_tar(tar, folder))
    with zipfile.ZipFile(folder.parent / "a.zip", "w") as archive:
        archive.writestr("a.png", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.png", b"2")
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "a.png")
    with pytest.raises(DataError, match="2 faults") as caught:
        read_gallery(folder.parent / "a.zip")
    assert "appears twice" in str(caught.value)
    assert "symbolic link" in str(caught.value)


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_a_compressed_tar_is_refused_with_advice(suffix: str, folder: Path) -> None:
    path = make_tar(folder.parent / f"a.tar.{suffix}", folder, f"w:{suffix}")
    with pytest.raises(DataError, match=r"unpack it, or pack it as \.tar or \.zip"):
        read_gallery(path)


def test_a_cut_archive_is_refused_wherever_it_is_cut(folder: Path) -> None:
    cut = folder.parent / "cut"
    for make in (make_zip, make_tar):
        data = make(folder.parent / "whole", folder).read_bytes()
        # A tar's last blocks are padding; without its end mark it may lack files.
        whole = data.rstrip(b"\0") if make is make_tar else data
        for length in range(512, len(whole), 512):
            cut.write_bytes(data[:length])
            with pytest.raises(DataError, match="is damaged or incomplete"):
                read_gallery(cut)


def test_a_damaged_member_spoils_one_photo(folder: Path) -> None:
    path = make_zip(folder.parent / "a.zip", folder, zipfile.ZIP_STORED)
    photos = read_gallery(path)
    member = photos[1].file
    assert isinstance(member, ZipMember)
    data = bytearray(path.read_bytes())
    data[member.offset + 200] ^= 1
    path.write_bytes(data)
    assert [reason_of(p) for p in photos] == [None, "corrupt", None]
    path.write_bytes(data[: member.offset + 100])
    assert reason_of(photos[1]) == "truncated"
    assert reason_of(Photo(0, "", Path(), "seller", file=ZipMember(
        DiskFile(path), "x", 3, 10, 10, 0, 0))) == "corrupt"  # fmt: skip
    path.unlink()
    assert reason_of(photos[0]) == "missing"


def test_a_zip_bomb_does_not_unfold(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(10**6))
    data = bytearray(path.read_bytes())
    # Its directory, not its own header, says that it is small.
    struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 24, 100)
    path.write_bytes(data)
    [photo] = read_gallery(path)
    assert reason_of(photo) == "corrupt"


def test_encrypted_and_strangely_packed_members(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", PHOTOS["b.png"])
        archive.writestr("b.png", PHOTOS["b.png"], zipfile.ZIP_BZIP2)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    path.write_bytes(data)
    photos = read_gallery(path)
    for photo, words in zip(photos, ("encrypted", "method 12"), strict=True):
        with pytest.raises(PhotoError, match=words):
            read_photo(photo)


def test_faulty_tables_of_columns(tmp_path: Path) -> None:
    def wrong(words: str, **columns: Any) -> None:
        pa.parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
        with pytest.raises(DataError, match=words):
            read_gallery(tmp_path / "a.parquet")

    data = [b"1", b"2"]
    wrong("no column of image bytes.* there are photo_id", photo_id=[1, 2])
    wrong("several columns of bytes .x, y.; say which.*--column img_path=x", x=data, y=data)
    wrong("row 2, column photo_id: '1' repeats the id of row 1", image=data, photo_id=[1, 1])
    wrong("row 1, column photo_id: is not an integer", image=data, photo_id=[None, 1])
    wrong("row 1, column photo_id: '1.5' is not an integer", image=data, photo_id=[1.5, 1])
    wrong("row 2, column photo_id: .* does not fit 32 bits", image=data, photo_id=[1, 2**31])
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match=r"a\.parquet is not a Parquet file, or is damaged"):
        read_gallery(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes(b"seller_img_id,img_path\n")
    with pytest.raises(DataError, match=r"named like one .Arrow's stream format"):
        read_gallery(tmp_path / "a.parquet")


def test_parts_must_have_the_same_columns(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table({"image": [b"1"]}), tmp_path / "a.parquet")
    pa.parquet.write_table(pa.table({"image": [b"1"], "x": [1]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet has other columns"):
        read_gallery(tmp_path)


def test_columns_are_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(
        pa.table({"x": [b"1", b"2"], "y": [b"3", b"4"], "key": ["7", "9"], "item": [5, None]}), path
    )
    columns = {"img_path": "y", "seller_img_id": "key", "product_id": "item"}
    photos = read_gallery(path, columns=columns)
    assert photos.ids.tolist() == [7, 9]
    assert [read_photo(p) for p in photos] == [b"3", b"4"]
    assert [p.product_id for p in photos] == ["5", None]
    with pytest.raises(DataError, match="column 'key' is not a column of bytes; there are x, y"):
        read_gallery(path, columns={"img_path": "key"})


def test_null_and_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(pa.table({"image": pa.array([b"", None, b"x"], pa.binary())}), path)
    assert [reason_of(p) for p in read_gallery(path)] == ["empty", "missing", None]
    structs = pa.array([None, {"bytes": None, "path": "a"}, {"bytes": b"x", "path": None}])
    pa.parquet.write_table(pa.table({"image": structs}), path)
    photos = read_gallery(path)
    assert [reason_of(p) for p in photos] == ["missing", "missing", None]
    assert [p.name for p in photos] == ["a.parquet#0", "a", "a.parquet#2"]


@pytest.mark.parametrize("group_size", [1, 7, 1000])
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_rows_are_found_in_any_order(
    kind: str, group_size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns_module, "_BLOCK_BYTES", 30_000)
    monkeypatch.setattr(columns_module, "_KEPT_BYTES", 60_000)
    monkeypatch.setattr(columns_module, "_KEPT_ROWS", 16)
    values = [np.random.default_rng(n).bytes(1000 + n) for n in range(200)]
    table = pa.table({"image": values})
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pa.parquet.write_table(table, path, row_group_size=group_size)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=group_size)
    photos = read_gallery(path)
    order = np.random.default_rng(0).permutation(200).tolist()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda row: read_photo(photos[row]), [*range(200), *order]))
    assert found == [values[row] for row in [*range(200), *order]]
    keeper = columns_module._KEEPER
    assert keeper._n_rows == sum(map(len, keeper._blocks.values()))
    assert keeper._n_bytes == sum(map(columns_module._n_bytes, keeper._blocks.values()))


def test_a_table_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for value in (b"old", b"newer"):
        pa.parquet.write_table(pa.table({"image": [value]}), path)
        assert [read_photo(p) for p in read_gallery(path)] == [value]


def test_reading_a_page_of_photos_from_an_archive(folder: Path, tmp_path: Path) -> None:
    photos = read_gallery(make_zip(tmp_path / "a.zip", folder))
    shown = [Shown(photo, "query", [Result(p, p.name) for p in photos]) for photo in photos]
    write_page(tmp_path / "page.html", "A page", [], shown)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    # Each gallery photo once, each query once.
    assert text.count("data:image/jpeg") == 6


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(MissingError, match=r"pip install 'shoplens\[remote\]'"):
        read_gallery("https://example.invalid/gallery.csv")
    monkeypatch.undo()
    for scheme, package in (("s3", "s3fs"), ("gs", "gcsfs")):
        monkeypatch.setitem(__import__("sys").modules, package, None)
        with pytest.raises(MissingError, match=rf"'shoplens\[remote\]' '{package}'"):
            read_gallery(f"{scheme}://bucket/gallery.csv")
    (tmp_path / "a.lance" / "_versions").mkdir(parents=True)
    monkeypatch.setitem(__import__("sys").modules, "lance", None)
    with pytest.raises(MissingError, match=r"pip install 'shoplens\[lance\]'"):
        read_gallery(tmp_path / "a.lance")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://x/a", True),
        ("S3://x", True),
        ("a::b.png", False),
        ("C:\\a", False),
        ("a:/b", False),
    ],
)
def test_what_counts_as_a_url(text: str, expected: bool) -> None:
    assert is_url(text) is expected


def reason_of(photo: Photo) -> str | None:
    try:
        read_photo(photo)
    except PhotoError as error:
        return error.reason
    return None


def test_photos_with_a_problem_reach_another_process(tmp_path: Path) -> None:
    (tmp_path / "gallery.csv").write_text("seller_img_id,img_path\n0,none.png\n")
    [photo] = pickle.loads(pickle.dumps(list(read_gallery(tmp_path))))
    assert photo.problem is not None
    assert (photo.problem.reason, "none.png" in str(photo.problem)) == ("missing", True)
