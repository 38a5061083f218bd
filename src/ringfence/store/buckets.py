"""The objects of buckets as plain files: `ROOT/BUCKET/KEY`, so that any tool can read delivered logs where they lie.

A key's parts that are no safe file names (empty, `.`, `..`, longer than a name may be, or with bytes that are not plain)
are percent-encoded. An object is complete or not there: it is written beside, synced, then renamed. What a file cannot
hold (content type, user metadata, entity tag) stands in `ROOT/.objects/BUCKET/KEY.json`; a file put there by hand is an
object all the same. An object that is to be sealed is one file with its notes inside (`containers.py`).

Limits against Amazon S3: a part between slashes has at most 200 bytes, and a key cannot be both an object and a folder of
others (`a` and `a/b`); both are refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ringfence.model.nouns.trail import BucketEncryption
from ringfence.store import containers
from ringfence.store.containers import Encryption, Held, Sealing, SecretOf, no_key
from ringfence.store.sealed import Damaged, Sealer

_SIDE, _UPLOADS, _BESIDE = ".objects", ".uploads", ".ringfence-"  # no bucket's name begins with a dot
_PLAIN = " !#$&'()*+,;=@^_`{|}~-."
_LONGEST = 200  # bytes of one file name


@dataclass(frozen=True, slots=True)
class Object:
    """What is known of an object. `size` in bytes; `modified` in seconds since 1970, UTC; `etag` without quotes.

    `encryption` None: it lies there plain. `damaged`: why it cannot be read; then nothing else is known but size and time.
    """

    key: str
    size: int
    modified: float
    etag: str
    content_type: str = "binary/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)  # other headers it was stored with, names in lower case
    encryption: Encryption | None = None
    damaged: str = ""


class BucketFiles:
    """The buckets of an installation. OSError when the disk fails.

    INVARIANT: who writes an object into a bucket, or removes the bucket, holds `lock` from looking whether the bucket
    exists until it is done: an object never outlives its bucket.
    """

    def __init__(self, root: Path, sealer: Sealer | None = None, *, default: BucketEncryption | None = None) -> None:
        self._root, self._sealer = root, sealer
        self.default = default  # how objects are sealed whose request and bucket say nothing of it; None: not at all
        self.lock = threading.RLock()
        self.uploads = Uploads(root / _UPLOADS, sealer)

    @property
    def seals(self) -> bool:
        """Is there a key to seal objects with?"""
        return self._sealer is not None

    def put(
        self, bucket: str, key: str, body: bytes, *, content_type: str = "binary/octet-stream",
        metadata: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, etag: str | None = None,
        sealing: Sealing | None = None,
    ) -> Object:  # fmt: skip
        """Write an object; it is on disk before this returns. ValueError for a key that cannot be a file.

        `etag`: that of an object made of parts. `sealing` None: plain.
        """
        path = self._path(bucket, key)
        if path.is_dir() or any(above.is_file() for above in path.parents if self._root in above.parents):
            raise ValueError("a key cannot be an object and a folder of objects at once")
        about = {
            "etag": etag or etag_of(body, sealing), "content_type": content_type,
            "metadata": dict(metadata or {}), "headers": dict(headers or {}), "size": len(body),
        }  # fmt: skip
        if self._sealer is not None and (sealing is not None or containers.looks_sealed(body)):
            _replace(path, containers.pieces(self._sealer, _purpose(bucket, key), body, about, sealing))
            self._side(bucket, key).unlink(missing_ok=True)  # not before: those of the object that was there
        elif sealing is not None:
            raise Damaged("there is no key to seal objects with")
        else:
            _replace(self._side(bucket, key), [json.dumps(about).encode()])
            _replace(path, [body])
        return self._about(bucket, key, path)

    def find(self, bucket: str, key: str) -> Object | None:
        """What is known of an object, or None."""
        path = self._path(bucket, key)
        try:
            return self._about(bucket, key, path) if path.is_file() else None
        except FileNotFoundError:  # deleted meanwhile
            return None

    def read(
        self, bucket: str, key: str, start: int = 0, length: int | None = None, *, secret_of: SecretOf = no_key
    ) -> bytes:
        """An object's bytes, or a part of them. FileNotFoundError; Damaged, and what `secret_of` raises."""
        with _opened(self._path(bucket, key)) as descriptor:
            held = containers.held(descriptor, self._sealer, _purpose(bucket, key))
            size = os.fstat(descriptor).st_size if held is None else held.size
            end = size if length is None else min(start + length, size)
            if held is not None:
                return held.body(start, end, secret_of)
            return _read(descriptor, start, end)

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; nothing happens when it is not there."""
        for path in (self._path(bucket, key), self._side(bucket, key)):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            _prune(path.parent, self._root)

    def keys(self, bucket: str, prefix: str = "") -> Iterator[str]:
        """Keys in order of their UTF-8 bytes, as ListObjects gives them."""
        folder = self._root / quote(bucket, safe="-._")
        found = [key for key in _walk(folder, prefix.rpartition("/")[0]) if key.startswith(prefix)]
        yield from sorted(found, key=str.encode)

    def size(self, bucket: str) -> int:
        """How many objects there are, counted up to the first: 0 or 1."""
        return next((1 for _ in _walk(self._root / quote(bucket, safe="-._"), "")), 0)

    def clear(self) -> None:
        """Remove every object of every bucket."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._root)

    # ------------------------------------------------------------------ where things lie
    def _path(self, bucket: str, key: str) -> Path:
        return self._root / quote(bucket, safe="-._") / _relative(key)

    def _side(self, bucket: str, key: str) -> Path:
        return self._root / _SIDE / quote(bucket, safe="-._") / f"{_relative(key)}.json"

    def _about(self, bucket: str, key: str, path: Path) -> Object:
        with _opened(path) as descriptor:
            status = os.fstat(descriptor)
            try:
                held = containers.held(descriptor, self._sealer, _purpose(bucket, key))
            except Damaged as problem:
                return Object(key, status.st_size, status.st_mtime, "", damaged=str(problem))
        about = held.about if held is not None else self._notes(bucket, key)
        size = held.size if held is not None else status.st_size
        if about.get("size") != size:  # written by hand since, or its notes are lost
            about = {"etag": hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}
        return Object(
            key, size, status.st_mtime, about["etag"], about.get("content_type", "binary/octet-stream"),
            about.get("metadata", {}), about.get("headers", {}), held.encryption if held is not None else None,
        )  # fmt: skip

    def _notes(self, bucket: str, key: str) -> dict[str, Any]:
        try:
            return dict(json.loads(self._side(bucket, key).read_text()))
        except (OSError, ValueError):
            return {}


def etag_of(body: bytes, sealing: Sealing | None) -> str:
    """AWS: that of an object sealed by the key service is no MD5 of it, so that it tells nothing to who may not read."""
    if sealing is not None and sealing.encryption.algorithm == containers.KMS:
        return secrets.token_hex(16)
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _purpose(bucket: str, key: str) -> str:
    return f"object {bucket}/{key}"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an upload. `etag` without quotes; `name`: of its file."""

    number: int
    size: int
    etag: str
    modified: float
    name: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in parts that is not complete. `about`: what the object will be stored with; `sealing`: how, without the data key."""

    id: str
    bucket: str
    key: str
    began: float
    about: Mapping[str, object]
    sealing: Sealing | None = None


_UPLOAD_ID = re.compile("[A-Za-z0-9]{16,64}")


class Uploads:
    """Uploads in parts: `ROOT/.uploads/ID/about.json`, and each part in `NUMBER-ETAG`. Forgotten when complete or aborted.

    Of an upload that is to be sealed, the description and each part are sealed, the entity tags within.
    """

    def __init__(self, root: Path, sealer: Sealer | None = None) -> None:
        self._root, self._sealer = root, sealer

    def begin(
        self, id: str, bucket: str, key: str, began: float, about: Mapping[str, object], sealing: Sealing | None = None
    ) -> None:
        """`id`: letters and digits, never used before. ValueError for a key that cannot be a file."""
        _relative(key)
        document: dict[str, Any] = {"bucket": bucket, "key": key, "began": began, "about": dict(about)}
        if sealing is not None:
            if self._sealer is None:
                raise Damaged("there is no key to seal uploads with")
            secret = json.dumps({"about": document.pop("about"), "sealing": containers.sealing_to_text(sealing)})
            document["sealed"] = self._sealer.seal(secret.encode(), f"upload {id}").hex()
        _replace(self._root / id / "about.json", [json.dumps(document).encode()])

    def find(self, id: str) -> Upload | None:
        """None also for one whose description does not open."""
        if not _UPLOAD_ID.fullmatch(id):
            return None
        try:
            held = json.loads((self._root / id / "about.json").read_text())
            if "sealed" not in held:
                return Upload(id, held["bucket"], held["key"], held["began"], held["about"])
            if self._sealer is None:
                return None
            inner = json.loads(self._sealer.open(bytes.fromhex(held["sealed"]), f"upload {id}"))
        except (FileNotFoundError, ValueError):
            return None
        sealing = containers.sealing_of(inner["sealing"])
        return Upload(id, held["bucket"], held["key"], held["began"], inner["about"], sealing)

    def all(self, bucket: str) -> list[Upload]:
        """A bucket's uploads, by key and then by age."""
        try:
            names = os.listdir(self._root)
        except FileNotFoundError:
            return []
        found = [upload for upload in map(self.find, names) if upload is not None and upload.bucket == bucket]
        return sorted(found, key=lambda upload: (upload.key.encode(), upload.began))

    def put(self, id: str, number: int, body: bytes, sealing: Sealing | None = None) -> Part:
        """Write a part; one of the same number before it is replaced."""
        before = [part for part in self.parts(id) if part.number == number]
        etag = etag_of(body, sealing)
        pieces: Iterable[bytes] = [body]
        name = f"{number}-{etag}"
        if self._sealer is not None and (sealing is not None or containers.looks_sealed(body)):
            name = f"{number}-{secrets.token_hex(16)}"
            pieces = containers.pieces(self._sealer, _part_purpose(id, name), body, {"etag": etag}, sealing)
        path = self._root / id / name
        _replace(path, pieces)
        for part in before:
            if part.name != name:
                (self._root / id / part.name).unlink(missing_ok=True)
        return Part(number, len(body), etag, path.stat().st_mtime, name)

    def parts(self, id: str) -> list[Part]:
        """In order of their numbers; the newest of a number that a crash left twice. Damaged."""
        found: dict[int, Part] = {}
        for entry in os.scandir(self._root / id):
            number, dash, etag = entry.name.partition("-")
            if dash and number.isdecimal():
                part = self._part(id, entry.name, int(number), etag)
                held = found.get(part.number)
                if held is None or held.modified <= part.modified:
                    found[part.number] = part
        return [found[number] for number in sorted(found)]

    def _part(self, id: str, name: str, number: int, etag: str) -> Part:
        with self._held(id, name) as (descriptor, held):
            status = os.fstat(descriptor)
            if held is None:
                return Part(number, status.st_size, etag, status.st_mtime, name)
            return Part(number, held.size, str(held.about["etag"]), status.st_mtime, name)

    @contextmanager
    def _held(self, id: str, name: str) -> Iterator[tuple[int, Held | None]]:
        with _opened(self._root / id / name) as descriptor:
            yield descriptor, containers.held(descriptor, self._sealer, _part_purpose(id, name))

    def read(self, id: str, part: Part, secret_of: SecretOf = no_key) -> bytes:
        """Damaged, and what `secret_of` raises."""
        with self._held(id, part.name) as (descriptor, held):
            return _read(descriptor, 0, part.size) if held is None else held.body(0, held.size, secret_of)

    def forget(self, id: str) -> None:
        """Remove an upload with its parts; its description goes first, so that what a crash leaves is no upload."""
        (self._root / id / "about.json").unlink(missing_ok=True)
        shutil.rmtree(self._root / id, ignore_errors=True)


def _part_purpose(id: str, name: str) -> str:
    return f"part {id}/{name}"


def _relative(key: str) -> str:
    """A key as a path below the bucket's folder. INVARIANT: never absolute, no part is empty, `.` or `..`."""
    return "/".join(_part(part) for part in key.split("/"))


def _part(part: str) -> str:
    """One file name. ValueError when the part is too long to be one."""
    name = quote(part, safe=_PLAIN)
    if len(name) > _LONGEST:
        raise ValueError(f"a part of the key is longer than {_LONGEST} bytes: {part[:60]}…")
    if name.startswith(_BESIDE):  # what an object is written under until it is whole
        name = f"%2E{name[1:]}"
    return {"": "%", ".": "%2E", "..": "%2E%2E"}.get(name, name)


def _key(path: str) -> str:
    return "/".join("" if part == "%" else unquote(part) for part in path.split("/"))


def object_of(place: str) -> tuple[str, str]:
    """Bucket and key of a file, by its path below the folder of all buckets."""
    bucket, _, path = place.partition("/")
    return unquote(bucket), _key(path)


def _walk(folder: Path, below: str) -> Iterator[str]:
    start = folder / _relative(below) if below else folder
    for directory, _, files in os.walk(start):
        for name in files:
            if not name.startswith(_BESIDE):
                yield _key(str((Path(directory) / name).relative_to(folder)))


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(descriptor: int, start: int, end: int) -> bytes:
    found = bytearray()
    while start + len(found) < end and (more := os.pread(descriptor, end - start - len(found), start + len(found))):
        found += more
    return bytes(found)


def _replace(path: Path, body: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, beside = tempfile.mkstemp(prefix=_BESIDE, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    held = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def _prune(folder: Path, root: Path) -> None:
    """Remove empty folders upwards."""
    while folder != root and root in folder.parents:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
