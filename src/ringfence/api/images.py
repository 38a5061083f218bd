"""Which directories of the host may be images: only what the operator has set aside for that (docs/images.md).

An API caller names a directory, and its files become readable in a guest: so the installation, not the caller, says where
images are. A path that leads elsewhere by a link is not one of them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ringfence.model.errors import fault

SCHEME = "file:"


@dataclass(frozen=True, slots=True)
class Images:
    """The directories that hold images, as real paths. None: no directory can be registered."""

    directories: tuple[Path, ...] = ()

    def admit(self, location: str) -> Path:
        """The directory that an ImageLocation names. ApiError: it is none of the installation's images."""
        given = Path(location.removeprefix(SCHEME))
        try:
            real = Path(os.path.realpath(given, strict=True))
        except (OSError, ValueError):
            real = None
        below = real is not None and any(each in real.parents for each in self.directories)
        hidden = any(part.startswith(".") for part in given.parts)
        # one answer for all: who may not see a directory does not learn whether it is there
        if real != given or not below or hidden or not given.is_dir():
            raise fault(
                "InvalidManifest",
                message=f"{location[:200]} is not a directory of this installation's images, given without links",
            )
        return given
