"""What every stored resource has in common."""

from __future__ import annotations

from dataclasses import dataclass, field

Tags = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One stored resource. `id` is unique within its kind; `owner_id` is the 12-digit account."""

    id: str
    owner_id: str
    region: str
    tags: Tags = field(default=())

    def tag(self, key: str) -> str | None:
        """The value of one tag, or None."""
        return next((value for name, value in self.tags if name == key), None)
