"""What an account's organization lays on it (AWS Organizations User Guide: "Service control policies", "Resource control
policies"; IAM-18). No organization is kept yet: no account is in one, and nothing limits its principals from above."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.identity.question import Attached
from ringfence.model.world import World

Levels = tuple[tuple[Attached, ...], ...]


@dataclass(frozen=True, slots=True)
class Organization:
    """The policies of every level from the root down to the account; () for an account that no policy binds."""

    id: str | None = None  # o-…
    service_control: Levels = ()
    resource_control: Levels = ()


_NONE = Organization()


def organization_levels(world: World, account_id: str) -> Organization:
    """What binds an account."""
    del world, account_id
    return _NONE
