"""Files and directories → a network: which form each file is in is told by what is in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.insight.imports import describe, snapshot, tf
from ringfence.insight.imports.build import build
from ringfence.insight.imports.draft import Archive, Options, Source
from ringfence.insight.imports.notes import ImportProblem, Notes, Problem
from ringfence.model.world import World

_ENDINGS = {".json", ".tfstate", ".tfplan"}
MAX_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Network:
    """An imported network, and what the import says about itself."""

    world: World
    notes: Notes


def load(path: Path, options: Options | None = None) -> Network:
    """Everything under a path. ImportProblem when there is nothing to import, or it is no JSON at all."""
    if not path.exists():
        raise ImportProblem(f"there is no {path}")
    files = sorted(_files(path)) if path.is_dir() else [path]
    return from_documents(((str(file), _read(file)) for file in files), options, strict=path.is_file())


def _files(folder: Path) -> Iterable[Path]:
    return (file for file in folder.rglob("*") if file.suffix in _ENDINGS and file.is_file())


def _read(file: Path) -> Any:
    """The document; the reason, as text, why there is none."""
    try:
        if file.stat().st_size > MAX_BYTES:
            return f"it is larger than {MAX_BYTES >> 20} MiB"
        return json.loads(file.read_bytes())  # UTF-16 too: what PowerShell's `>` writes
    except (OSError, UnicodeDecodeError) as problem:
        return f"it cannot be read: {problem}"
    except (ValueError, RecursionError) as problem:
        return f"it is no JSON: {problem}"


def from_documents(
    documents: Iterable[tuple[str, Any]], options: Options | None = None, *, strict: bool = False
) -> Network:
    """The network of (name, document). `strict`: a document of an unknown form is an ImportProblem, not a note."""
    notes = Notes()
    archive = Archive(notes, options or Options())
    snapshots: list[World] = []
    for name, document in documents:
        kind = _add(archive, name, document, snapshots)
        if kind is None:
            why = document if isinstance(document, str) else "it is in no form that can be imported"
            if strict:
                raise ImportProblem(f"{name}: {why}")
            notes.unknown_resources[f"the file {name}"] += 1
            if isinstance(document, str):
                notes.problems.append(Problem(name, why))
                archive.cut.append(name)
        else:
            notes.sources.append(f"{kind} {name}")
    return _network(archive, snapshots)


def _add(archive: Archive, name: str, document: Any, snapshots: list[World]) -> str | None:
    """What the document is; None when it is nothing known."""
    source = Source.of(name)
    if snapshot.recognises(document):
        snapshots.append(snapshot.to_world(document))
        return "snapshot"
    if tf.recognises(document):
        return tf.add(archive, document, source)
    if describe.recognises(document):
        describe.add(archive, document, source)
        return "recorded output"
    return None


def _network(archive: Archive, snapshots: list[World]) -> Network:
    if snapshots and (len(snapshots) > 1 or archive.records):
        raise ImportProblem("a snapshot is a whole network: it is imported alone")
    if snapshots:
        world = snapshots[0]
        archive.notes.read.update(kind.noun for kind, _ in world)
        return Network(world, archive.notes)
    if not archive.records:
        raise ImportProblem("there is nothing to import: no recorded output, no Terraform plan or state, no snapshot")
    return Network(build(archive), archive.notes)
