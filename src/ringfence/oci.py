"""OCI image layouts, unpacked into a root directory (OCI Image Format Specification: "Image Layout", "Filesystem Layers").

Whatever a layer says, nothing is written outside the directory, no device is made, and only so much is unpacked. Every
blob must have the digest and size that names it. The configuration (Env, Entrypoint, Cmd, User) is not used: a guest boots
Ringfence's own first process. docs/images.md says what is taken and what is refused.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import platform
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

MAX_BYTES, MAX_ENTRIES, MAX_JSON = 4 << 30, 400_000, 4 << 20
MOUNT_POINTS = ("passwd", "group", "hosts", "resolv.conf", "hostname")
MAX_DEPTH, MAX_LINKS = 100, 40
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_LAYERS = {"tar": False, "tar+gzip": True, "tar.gzip": True}
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
UNPACKED = ".unpacked"  # beside the layouts


class OciError(Exception):
    """The layout cannot be used; the message says why."""


def is_layout(directory: Path) -> bool:
    """Does it hold an OCI image layout rather than a root file system?"""
    return (directory / "oci-layout").is_file()


def unpack(layout: Path, into: Path) -> Path:
    """The root directory of a layout's image, below `into`; made once for each image. OciError."""
    digest, manifest = _manifest(layout)
    root = into / digest.replace(":", "-")
    if root.is_dir():
        return root
    into.mkdir(mode=0o755, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=into))
    try:
        tree = Tree(partial)
        for descriptor in _list(manifest, "layers"):
            with _layer(layout, descriptor) as stream:
                tree.apply(stream)
        if not (tree.resolve(("usr", "bin", "python3")) or partial).is_file():
            raise OciError("the image has no /usr/bin/python3, which guests need")
        tree.add_mount_points()
        partial.chmod(0o755)
        partial.rename(root)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as problem:
        raise OciError(f"a layer cannot be unpacked: {problem}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


# ---------------------------------------------------------------------- the layout
def _manifest(layout: Path) -> tuple[str, dict[str, Any]]:
    """(digest, manifest) of the image for this machine."""
    version = _json((layout / "oci-layout").read_bytes(), "oci-layout").get("imageLayoutVersion")
    if not str(version).startswith("1."):
        raise OciError(f"unknown image layout version {version!r}")
    index = _json(_file(layout / "index.json"), "index.json")
    for _ in range(3):  # an index may name an index
        descriptor = _chosen(_list(index, "manifests"))
        found = _json(b"".join(_blob(layout, descriptor, MAX_JSON)), "a manifest")
        if "layers" in found:
            return str(descriptor["digest"]), found
        index = found
    raise OciError("no image manifest is where the index says")


def _chosen(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """The one for this machine; the only one if it does not say what it is for."""
    mine = _ARCHITECTURES.get(platform.machine(), platform.machine())
    fitting = [m for m in manifests if (m.get("platform") or {}).get("architecture", mine) == mine]
    if len(fitting) != 1:
        raise OciError(f"{len(fitting)} images for {mine} are in the layout, where one must be")
    return fitting[0]


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_JSON + 1)
    except OSError as problem:
        raise OciError(f"{path.name} cannot be read: {problem.strerror}") from None


def _json(data: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(data) if len(data) <= MAX_JSON else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise OciError(f"{name} is not what it should be")
    return found


def _list(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    given = found.get(name)
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise OciError(f"{name} is missing")
    return given


def _blob_path(layout: Path, descriptor: dict[str, Any]) -> Path:
    kind, _, name = str(descriptor.get("digest")).partition(":")
    if kind != "sha256" or len(name) != 64 or set(name) - set("0123456789abcdef"):
        raise OciError(f"{descriptor.get('digest')!r} is no SHA-256 digest")
    path = layout / "blobs" / kind / name
    if path.resolve() != path or not path.is_file():
        raise OciError(f"the blob {name[:12]} is not in the layout")
    return path


def _blob(layout: Path, descriptor: dict[str, Any], most: int) -> Iterator[bytes]:
    """The bytes of a blob, all of which have been checked when the iterator ends."""
    path, seen, size = _blob_path(layout, descriptor), hashlib.sha256(), 0
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            size += len(part)
            if size > most:
                raise OciError(f"the blob {path.name[:12]} is larger than {most} bytes")
            seen.update(part)
            yield part
    if (seen.hexdigest(), size) != (path.name, descriptor.get("size")):
        raise OciError(f"the blob {path.name[:12]} is not what its digest and size say")


@contextmanager
def _layer(layout: Path, descriptor: dict[str, Any]) -> Iterator[IO[bytes]]:
    """A layer as an uncompressed tar stream; checked before a byte of it is unpacked."""
    kind = str(descriptor.get("mediaType")).rpartition(".layer.v1.")[2].removeprefix("diff.")
    docker = str(descriptor.get("mediaType")) == "application/vnd.docker.image.rootfs.diff.tar.gzip"
    packed = True if docker else _LAYERS.get(kind)
    if packed is None or "nondistributable" in str(descriptor.get("mediaType")):
        raise OciError(f"layers of type {descriptor.get('mediaType')!r} are not supported: tar and tar+gzip are")
    for _ in _blob(layout, descriptor, MAX_BYTES):
        pass
    with _blob_path(layout, descriptor).open("rb") as file:
        yield gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[misc]


# ---------------------------------------------------------------------- the tree
@dataclass
class Tree:
    """A root directory to which layers are applied. Paths are resolved within it: its links lead nowhere else."""

    root: Path
    room: int = MAX_BYTES
    entries: int = MAX_ENTRIES
    _written: set[Path] = field(default_factory=set)  # by the present layer: whiteouts concern earlier ones

    def apply(self, stream: IO[bytes]) -> None:
        """One layer. OciError for what may not be in it."""
        self._written = set()
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                self.entries -= 1
                if self.entries < 0:
                    raise OciError(f"the image has more than {MAX_ENTRIES} files")
                self._member(archive, member)

    def _member(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        parts = _parts(member.name)
        if not parts:
            return  # the root itself
        parent = self._directory(parts[:-1])
        name = parts[-1]
        if name.startswith(_WHITEOUT):
            self._remove(parent, name)
            return
        path = parent / name
        self._written |= {path, *path.parents}
        if member.isdir():
            self._make_directory(path, member.mode)
            return
        _clear(path)
        if member.isreg():
            self._file(archive, member, path)
        elif member.issym():
            path.symlink_to(member.linkname)
        elif member.islnk():
            target = self.resolve(_parts(member.linkname))
            if target is None or target.is_symlink() or not target.is_file():
                raise OciError(f"{member.name} is a hard link to what is not a file of the image")
            os.link(target, path)
        else:
            raise OciError(f"{member.name} is a device or a pipe: images have files, directories and links only")

    def _file(self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        self.room -= member.size
        if self.room < 0:
            raise OciError(f"the image is larger than {MAX_BYTES} bytes")
        source = archive.extractfile(member)
        assert source is not None
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
            # guests read it as another user than the one that unpacks; who runs set-uid in a guest gains nothing
            os.fchmod(descriptor, 0o644 | (0o111 if member.mode & 0o111 else 0))

    @staticmethod
    def _make_directory(path: Path, mode: int) -> None:
        if path.is_symlink() or not path.is_dir():
            _clear(path)
            path.mkdir()
        path.chmod(0o755)

    def _directory(self, parts: tuple[str, ...]) -> Path:
        """The directory of an entry, made if need be."""
        found = self.resolve(parts, make=True)
        assert found is not None
        if not found.is_dir():
            raise OciError(f"/{'/'.join(parts)} is not a directory")
        return found

    def resolve(self, parts: tuple[str, ...], *, make: bool = False) -> Path | None:
        """Where a path leads within the tree, links followed; None if nowhere. `make`: directories on the way."""
        at, left, links = self.root, list(reversed(parts)), 0
        while left:
            part = left.pop()
            if part in ("", "."):
                continue
            if part == "..":
                at = at if at == self.root else at.parent
                continue
            path = at / part
            if path.is_symlink():
                links += 1
                if links > MAX_LINKS:
                    raise OciError(f"/{'/'.join(parts)} leads in circles")
                target = os.readlink(path)
                at = self.root if target.startswith("/") else at
                left += reversed(target.split("/"))
            elif path.exists() or make:
                if not path.exists():
                    path.mkdir()
                    path.chmod(0o755)
                if left and not path.is_dir():
                    raise OciError(f"/{'/'.join(parts)} is not a directory")
                at = path
            else:
                return None
        return at

    def add_mount_points(self) -> None:
        """The files that each guest has its own of, over the image's (`sandbox.write_state`)."""
        etc = self._directory(("etc",))
        for name in MOUNT_POINTS:
            if (etc / name).is_symlink() or not (etc / name).is_file():
                _clear(etc / name)
                (etc / name).touch(0o644)

    def _remove(self, parent: Path, name: str) -> None:
        """A whiteout: what earlier layers have there is gone."""
        if name == _OPAQUE:
            gone = list(parent.iterdir())
        else:
            hidden = name.removeprefix(_WHITEOUT)
            if hidden in ("", ".", ".."):
                raise OciError(f"{name!r} is no whiteout")
            gone = [parent / hidden]
        for path in gone:
            if path not in self._written:
                _clear(path)
            elif path.is_dir() and not path.is_symlink():
                self._remove(path, _OPAQUE)


def _parts(name: str) -> tuple[str, ...]:
    """A path of the archive; one that climbs out is refused, not mended."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts or len(parts) > MAX_DEPTH or any("\0" in part for part in parts):
        raise OciError(f"{name[:200]!r} is no path of an image")
    return parts


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
