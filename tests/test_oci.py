"""OCI layouts are unpacked as the image specification says, and nothing hostile in them leaves the directory."""

from __future__ import annotations

import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ringfence import oci
from ringfence.oci import OciError, unpack
from tests.layouts import GZIP, PYTHON, TAR, Entry, layout, put_blob, special, tar

LINK, HARD, DIRECTORY, DEVICE, PIPE = (
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.DIRTYPE,
    tarfile.CHRTYPE,
    tarfile.FIFOTYPE,
)


def tree(root: Path) -> dict[str, str]:
    """Path -> content, -> for a link, / for a directory without anything; what each guest has its own of left out."""
    out = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            out[name] = "->" + os.readlink(path)
        elif path.is_file():
            out[name] = path.read_text()
        elif not any(path.iterdir()):
            out[name] = "/"
    return {name: text for name, text in out.items() if not name.startswith(("etc/", "usr/bin/"))}


def made(tmp_path: Path, *layers: list[Entry], kind: str = GZIP) -> dict[str, str]:
    where = layout(tmp_path / "layout", tar([PYTHON]), *(tar(entries) for entries in layers), kind=kind)
    return tree(unpack(where, tmp_path / "out"))


@pytest.mark.parametrize("kind", [TAR, GZIP, "application/vnd.docker.image.rootfs.diff.tar.gzip"])
def test_files_directories_and_links(tmp_path: Path, kind: str) -> None:
    entries: list[Entry] = [("./a/b", b"1"), ("/c", b"2"), special("d", DIRECTORY), special("l", LINK, "/a"), ("l/e", b"3"),
                            special("h", HARD, "a/b"), special("up", LINK, "../../../etc")]  # fmt: skip
    assert made(tmp_path, entries, kind=kind) == {
        "a/b": "1", "a/e": "3", "c": "2", "d": "/", "h": "1", "l": "->/a", "up": "->../../../etc",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([[("a/b", b"1"), ("a/c", b"2")], [("a/.wh.b", b"")]], {"a/c": "2"}),
        ([[("a/b", b"1")], [(".wh.a", b"")]], {}),
        ([[("a/b", b"1"), ("a/d/e", b"1")], [("a/.wh..wh..opq", b""), ("a/c", b"2")]], {"a/c": "2"}),
        ([[("a/b", b"1"), ("a/d/e", b"1")], [("a/c", b"2"), ("a/d/f", b"2"), ("a/.wh..wh..opq", b"")]],
         {"a/c": "2", "a/d/f": "2"}),
        ([[("a", b"1")], [special("a", DIRECTORY), ("a/b", b"2")]], {"a/b": "2"}),
        ([[("a/b", b"1")], [("a", b"2")]], {"a": "2"}),
        ([[special("a", LINK, "/b"), ("b/c", b"1")], [special("a", DIRECTORY), ("a/d", b"2")]], {"a/d": "2", "b/c": "1"}),
        ([[("a", b"1")], [(".wh.nothing", b"")]], {"a": "1"}),
    ],
)  # fmt: skip
def test_later_layers(tmp_path: Path, layers: list[list[Entry]], expected: dict[str, str]) -> None:
    """Whiteouts hide what earlier layers have, wherever they stand in their own."""
    assert made(tmp_path, *layers) == expected


@pytest.mark.parametrize(
    "entries",
    [
        [("../x", b"")],
        [("a/../../x", b"")],
        [special("d", DEVICE)],
        [special("d", tarfile.BLKTYPE)],
        [special("d", PIPE)],
        [special("h", HARD, "../../../x")],
        [special("h", HARD, "/etc/hostname-of-the-host")],
        [special("l", LINK, "/etc/shadow"), special("h", HARD, "l")],
        [special("a", DIRECTORY), special("h", HARD, "a")],
        [special("l", LINK, "l"), ("l/x", b"")],
        [("a", b""), ("a/b", b"")],
        [("/".join("d" * 200), b"")],
        [(".wh...", b"")],
        [(".wh.", b"")],
    ],
)
def test_hostile_layers_are_refused_and_leave_nothing(tmp_path: Path, entries: list[Entry]) -> None:
    with pytest.raises(OciError):
        made(tmp_path, entries)
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "x").exists()


def test_links_of_an_image_lead_nowhere_outside_it(tmp_path: Path) -> None:
    """Written through, read through or hidden through a link: always the image's own."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    entries: list[Entry] = [special("l", LINK, str(outside)), ("l/x", b"1"), special("r", LINK, "../" * 20 + str(outside)),
                            ("r/y", b"2")]  # fmt: skip
    found = made(tmp_path, entries, [("l/.wh.kept", b""), ("r/.wh..wh..opq", b"")])
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"kept": "kept"}
    assert not [name for name in found if name.endswith("kept")]


def test_modes_are_for_a_guest_that_is_another_user(tmp_path: Path) -> None:
    secret, program = tarfile.TarInfo("secret"), tarfile.TarInfo("program")
    secret.mode, program.mode = 0o600, 0o4750
    where = layout(tmp_path / "layout", tar([PYTHON, secret, program, special("d", DIRECTORY, mode=0o1700)]))
    root = unpack(where, tmp_path / "out")
    assert [stat.S_IMODE((root / name).stat().st_mode) for name in ("secret", "program", "d", ".")] == [
        0o644, 0o755, 0o755, 0o755,
    ]  # fmt: skip


def test_an_image_is_unpacked_once(tmp_path: Path) -> None:
    where = layout(tmp_path / "layout", tar([PYTHON]))
    first = unpack(where, tmp_path / "out")
    (first / "mark").touch()
    assert unpack(where, tmp_path / "out") == first
    assert (first / "mark").exists()


def test_no_more_is_unpacked_than_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small layer may hold much: the tree is bounded, not the archive."""
    tree_of = oci.Tree
    monkeypatch.setattr(oci, "Tree", lambda root: tree_of(root, room=1 << 20))
    with pytest.raises(OciError, match="larger"):
        made(tmp_path, [("zeros", bytes(2 << 20))])
    monkeypatch.setattr(oci, "Tree", lambda root: tree_of(root, entries=3))
    with pytest.raises(OciError, match="files"):
        made(tmp_path, [(f"f{n}", b"") for n in range(4)])
    assert list((tmp_path / "out").iterdir()) == []


def broken(where: Path, how: str) -> None:
    index = json.loads((where / "index.json").read_text())
    manifest = where / "blobs" / "sha256" / index["manifests"][0]["digest"].removeprefix("sha256:")
    layers: list[dict[str, Any]] = json.loads(manifest.read_text())["layers"]
    blob = where / "blobs" / "sha256" / layers[0]["digest"].removeprefix("sha256:")

    def again(**change: Any) -> None:
        content = json.loads(manifest.read_text())
        content["layers"][0] |= change
        index["manifests"] = [put_blob(where, json.dumps(content).encode())]

    actions: dict[str, Any] = {
        "version": lambda: (where / "oci-layout").write_text('{"imageLayoutVersion": "2.0"}'),
        "no index": lambda: (where / "index.json").unlink(),
        "index is a list": lambda: (where / "index.json").write_text("[]"),
        "no manifests": lambda: index.update(manifests=[]),
        "two manifests": lambda: index.update(manifests=index["manifests"] * 2),
        "another machine": lambda: index["manifests"][0].update(platform={"architecture": "s390x"}),
        "layer changed": lambda: blob.write_bytes(blob.read_bytes() + b"x"),
        "layer gone": blob.unlink,
        "manifest changed": lambda: manifest.write_bytes(manifest.read_bytes() + b" "),
        "wrong size": lambda: again(size=1),
        "zstd": lambda: again(mediaType="application/vnd.oci.image.layer.v1.tar+zstd"),
        "foreign": lambda: again(mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        "digest is a path": lambda: again(digest="sha256:../../../etc/passwd"),
        "sha512": lambda: again(digest="sha512:" + "0" * 128),
        "blob is a link": lambda: (blob.rename(where / "elsewhere"), blob.symlink_to(where / "elsewhere")),
        "not gzip": lambda: again(**put_blob(where, b"no gzip")),
        "not tar": lambda: again(**put_blob(where, b"no tar" * 200), mediaType=TAR),
    }
    actions[how]()
    if (where / "index.json").exists() and how != "index is a list":
        (where / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    "how",
    ["version", "no index", "index is a list", "no manifests", "two manifests", "another machine", "layer changed",
     "layer gone", "manifest changed", "wrong size", "zstd", "foreign", "digest is a path", "sha512", "blob is a link",
     "not gzip", "not tar"],
)  # fmt: skip
def test_what_is_not_whole_is_refused(tmp_path: Path, how: str) -> None:
    where = layout(tmp_path / "layout", tar([PYTHON]))
    broken(where, how)
    with pytest.raises(OciError):
        unpack(where, tmp_path / "out")
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_an_image_without_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OciError, match="python3"):
        unpack(layout(tmp_path / "layout", tar([("a", b"")])), tmp_path / "out")
