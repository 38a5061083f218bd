"""Sealed objects of buckets for readers that want files: opened by the running installation, kept in memory, never on a disk.

An object is asked for over the installation's own S3 API with its root key, so that policies, keys of KMS and the audit trail
have their say.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ringfence.notes import Note
from ringfence.store.buckets import object_of
from ringfence.store.containers import looks_sealed
from ringfence.store.sealed import MAGIC


class CannotOpen(Exception):
    """A sealed file cannot be read; the text says which and why."""


class SealedFiles:
    """Paths of the plain text of sealed files, for this process, until closed. `note` tells the running installation."""

    def __init__(self, note: Callable[[], Note]) -> None:
        self._note, self._end = note, ExitStack()
        self._client: Any = None
        self._root = Path()

    def plain(self, path: Path) -> Path:
        """The path itself, of a plain file. CannotOpen."""
        with path.open("rb") as file:
            if not looks_sealed(file.read(len(MAGIC))):
                return path
        body = self._fetch(path)
        if not hasattr(os, "memfd_create"):
            raise CannotOpen(f"{path} is sealed, and files in memory need Linux")
        descriptor = os.memfd_create("object", os.MFD_CLOEXEC)
        self._end.callback(os.close, descriptor)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(body)
        return Path(f"/proc/self/fd/{descriptor}")

    def close(self) -> None:
        self._end.close()

    def _fetch(self, path: Path) -> bytes:
        if self._client is None:
            self._start(self._note())
        try:
            place = path.resolve().relative_to(self._root)
        except ValueError:
            raise CannotOpen(f"{path} is sealed, and is not in a bucket of the running installation") from None
        bucket, key = object_of(str(place))
        try:
            return bytes(self._client.get_object(Bucket=bucket, Key=key)["Body"].read())
        except (ClientError, BotoCoreError) as problem:
            raise CannotOpen(f"{path} is sealed: {problem}") from None

    def _start(self, note: Note) -> None:
        self._root = (Path(note.run).parent / "buckets").resolve()
        self._client = botocore.session.Session().create_client(
            "s3", region_name=note.region, endpoint_url=note.endpoint, aws_access_key_id=note.access_key,
            aws_secret_access_key=note.secret_key, verify=note.ca or None, config=Config(s3={"addressing_style": "path"}),
        )  # fmt: skip
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:  # each is one more
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
