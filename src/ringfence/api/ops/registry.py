"""The table of served operations. An operation is one decorated function; a Describe is one row (`describe.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.model.world import World

Handler = Callable[[Call, World, Params], Outcome]


@dataclass(frozen=True, slots=True)
class Operation:
    """A served operation: `service` and `action` as in the botocore model.

    `mutating`: it changes the World. `objects`: it writes objects of buckets, which are not in the World.
    `aside`: it takes time or waits for a disk of its own, so that it never runs on the event loop; one that changes the World is
    worked out before the store is locked, and remembers what it worked out. `appends`: it writes log
    events, which are not in the World.
    """

    service: str
    action: str
    handler: Handler
    mutating: bool
    module: str
    objects: bool = False
    aside: bool = False
    appends: bool = False

    @property
    def read_only(self) -> bool:
        return not self.mutating and not self.objects and not self.appends


OPERATIONS: dict[tuple[str, str], Operation] = {}


def register(
    name: str, handler: Handler, *, mutating: bool, module: str, objects: bool = False, aside: bool = False,
    appends: bool = False,
) -> None:  # fmt: skip
    """Enter `service:Action` into the table. ValueError when it is there already."""
    service, _, action = name.partition(":")
    if (service, action) in OPERATIONS:
        raise ValueError(f"{name} registered twice")
    OPERATIONS[service, action] = Operation(service, action, handler, mutating, module, objects, aside, appends)


def operation(
    name: str, *, mutating: bool | None = None, objects: bool = False, aside: bool = False
) -> Callable[[Handler], Handler]:
    """Serve `service:Action` with the decorated function `(call, world, params) -> Outcome`.

    `mutating` defaults to what the verb says: Describe, Get and List do not change the World. `aside`: see Operation.
    """

    def enter(handler: Handler) -> Handler:
        verb = name.partition(":")[2]
        changes = not verb.startswith(("Describe", "Get", "List")) if mutating is None else mutating
        register(name, handler, mutating=changes, module=handler.__module__, objects=objects, aside=aside)
        return handler

    return enter
