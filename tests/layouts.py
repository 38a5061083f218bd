"""Small OCI image layouts and root directories, made by the tests themselves."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TAR, GZIP = "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip"
#: what makes a root directory pass as one
PYTHON = ("usr/bin/python3", b"#!")
Entry = tuple[str, bytes] | tarfile.TarInfo


def special(name: str, kind: bytes, link: str = "", mode: int = 0o755) -> tarfile.TarInfo:
    """An entry that is not a plain file."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = kind, link, mode
    return entry


def tar(entries: Iterable[Entry]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                about = tarfile.TarInfo(entry[0])
                about.size, about.mode = len(entry[1]), 0o755
                archive.addfile(about, io.BytesIO(entry[1]))
    return out.getvalue()


def put_blob(layout: Path, data: bytes, **descriptor: Any) -> dict[str, Any]:
    name = hashlib.sha256(data).hexdigest()
    path = layout / "blobs" / "sha256" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"digest": f"sha256:{name}", "size": len(data), **descriptor}


def layout(at: Path, *layers: bytes, kind: str = GZIP, manifest: dict[str, Any] | None = None) -> Path:
    """A layout of these tar layers."""
    at.mkdir(parents=True, exist_ok=True)
    (at / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    packed = [gzip.compress(layer, 1) if kind.endswith("gzip") else layer for layer in layers]
    content = {
        "schemaVersion": 2,
        "config": put_blob(at, b"{}", mediaType="application/vnd.oci.image.config.v1+json"),
        "layers": [put_blob(at, data, mediaType=kind) for data in packed],
        **(manifest or {}),
    }
    described = put_blob(
        at, json.dumps(content).encode(), mediaType="application/vnd.oci.image.manifest.v1+json",
    )  # fmt: skip
    (at / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    return at


def python_files() -> dict[str, Path]:
    """The host's Python and what it needs, by path in a root directory: enough for a guest to start."""
    program = Path("/usr/bin/python3").resolve()
    needed = {program}
    library = Path(f"/usr/lib/{program.name}")
    objects = [program, *library.glob("lib-dynload/*.so")]
    for item in objects:
        said = subprocess.run(["ldd", str(item)], capture_output=True, text=True, check=False).stdout
        needed |= {Path(word) for word in said.split() if word.startswith("/")}
    out = {str(path).lstrip("/"): path.resolve() for path in needed}
    out["usr/bin/python3"] = program
    skipped = {
        "test",
        "tests",
        "__pycache__",
        "idlelib",
        "lib2to3",
        "ensurepip",
        "pydoc_data",
        "site-packages",
        "dist-packages",
    }
    for path in library.rglob("*"):
        if path.is_file() and not skipped & set(path.parts) and not path.name.startswith("libpython"):
            out[str(path).lstrip("/")] = path
    return out


def python_layer() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, path in python_files().items():
            archive.add(path.resolve(), name, recursive=False)
        for link, target in (("lib64", "usr/lib64"), ("lib", "usr/lib"), ("bin", "usr/bin")):
            if not any(name.startswith(f"{link}/") for name in archive.getnames()):
                archive.addfile(special(link, tarfile.SYMTYPE, target))
    return out.getvalue()


if __name__ == "__main__":
    layout(Path(sys.argv[1]), python_layer())
