"""How STS's operations enter the registry: checked by the constraints of the service model."""

from __future__ import annotations

from collections.abc import Callable

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import constraints
from ringfence.api.ops.registry import Handler, register
from ringfence.api.wire import model
from ringfence.model.world import World


def sts(action: str, *, mutating: bool = False) -> Callable[[Handler], Handler]:
    """Serve `sts:ACTION`. Tokens are stateless: only what consumes a one-time code is `mutating`."""

    def enter(handler: Handler) -> Handler:
        def handle(call: Call, world: World, params: Params) -> Outcome:
            shape = model.operation("sts", action)
            if shape is not None and shape.input_shape is not None:
                constraints.check(shape.input_shape, params)
            return handler(call, world, params)

        register(f"sts:{action}", handle, mutating=mutating, module=handler.__module__)
        return handler

    return enter
