"""What `Pipeline.begin` hands to `Pipeline.finish`, and where that runs."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from ringfence.api.ops.context import Call
from ringfence.api.ops.registry import Operation
from ringfence.model.world import World


class Lane(enum.Enum):
    """Where a call is finished."""

    INLINE = enum.auto()  # at once: quick, takes no lock
    READER = enum.auto()  # on a thread: takes no lock, but time
    WRITER = enum.auto()  # on the one writing thread: waits for the disk
    OBJECTS = enum.auto()  # on the one thread that writes objects of buckets, and buckets


@dataclass(frozen=True, slots=True)
class Begun:
    """An authenticated, parsed and authorised call that waits to be executed."""

    call: Call
    operation: Operation
    model: Any  # botocore's OperationModel
    params: dict[str, Any]
    protocol: str
    dry_run: bool
    judged: World  # what the policies were asked about
    started: float = 0.0

    @property
    def mutating(self) -> bool:
        return self.operation.mutating and not self.dry_run


@dataclass(frozen=True, slots=True)
class Scrape:
    """`GET /_ringfence/metrics`."""


@dataclass(frozen=True, slots=True)
class Reset:
    """`POST /_ringfence/reset` of an ephemeral installation."""
