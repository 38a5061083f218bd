"""How IAM's operations enter the registry: checked by the model's constraints, in the Region that all of IAM lives in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import constraints
from ringfence.api.ops.registry import Handler, register
from ringfence.api.wire import model
from ringfence.model.nouns.identity import GLOBAL
from ringfence.model.world import World

_READS = ("Get", "List", "Simulate")


def serve(action: str, handler: Handler, *, mutating: bool | None = None) -> None:
    """Serve `iam:ACTION`. `mutating` defaults to what the verb says: Get, List and Simulate change nothing."""

    def handle(call: Call, world: World, params: Params) -> Outcome:
        shape = model.operation("iam", action)
        if shape is not None and shape.input_shape is not None:
            constraints.check(shape.input_shape, params)
        return handler(replace(call, region=GLOBAL), world, params)

    changes = not action.startswith(_READS) if mutating is None else mutating
    register(f"iam:{action}", handle, mutating=changes, module=handler.__module__)


def iam(action: str, *, mutating: bool | None = None) -> Callable[[Handler], Handler]:
    """`serve` as a decorator."""

    def enter(handler: Handler) -> Handler:
        serve(action, handler, mutating=mutating)
        return handler

    return enter
