"""What a call of the EC2 API would change, without making it: for `ringfence diff --call`."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ParamValidationError
from botocore.serialize import EC2Serializer
from botocore.validate import ParamValidator

from ringfence.api.ops.context import Call
from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.pipeline import Pipeline
from ringfence.api.wire import model
from ringfence.api.wire.query import QueryParser, build_tree
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.model.errors import ApiError, fault
from ringfence.model.world import NOTHING, World


def rehearse(
    pipeline: Pipeline, action: str, parameters: dict[str, Any], account_id: str, region: str
) -> tuple[World, World]:
    """The World now, and as a call by the root user of an account would leave it. ApiError as the call would end in."""
    shape, served = model.operation("ec2", action), OPERATIONS.get(("ec2", action))
    if shape is None:
        raise fault("InvalidAction", action=action[:128])
    if served is None or not served.mutating:
        raise fault("UnsupportedOperation", message=f"{action} is not an operation that changes anything here.")
    world = pipeline.store.world
    call = _call(pipeline, action, account_id, region)
    change = NOTHING
    for step in pipeline.prepare.get("ec2", ()):
        change += step(call, world.apply(change) if change else world) or NOTHING
    ready = world.apply(change) if change else world
    outcome = served.handler(call, ready, _parsed(shape, parameters))
    return ready, ready.apply(outcome.change) if outcome.change else ready


def _call(pipeline: Pipeline, action: str, account_id: str, region: str) -> Call:
    root = Principal(
        account_id=account_id, arn=f"arn:aws:iam::{account_id}:root", user_id=account_id, access_key_id="",
        kind=PrincipalKind.ROOT,
    )  # fmt: skip
    return Call(
        service="ec2", action=action, region=region, principal=root, request_id=pipeline.ids.uuid(),
        now=pipeline.clock.now(), ids=pipeline.ids, limits=pipeline.limits, images=pipeline.images,
        sealer=pipeline.sealer, outside=pipeline.outside, engines=pipeline.engines,
    )  # fmt: skip


def _parsed(shape: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters as the wire would bring them. ApiError InvalidParameterValue."""
    if not isinstance(parameters, dict):
        raise fault("InvalidParameterValue", message="The parameters of a call are an object.")
    required = {name: "rehearsal" for name in ("ClientToken",) if name in shape.input_shape.required_members}
    report = ParamValidator().validate(required | parameters, shape.input_shape)
    if report.has_errors():
        raise fault("InvalidParameterValue", message=report.generate_report())
    try:
        body = EC2Serializer().serialize_to_request(required | parameters, shape)["body"]
    except (ParamValidationError, TypeError, ValueError) as problem:
        raise fault("InvalidParameterValue", message=str(problem)) from None
    form = [(name, str(value)) for name, value in body.items() if name not in ("Action", "Version")]
    parsed = QueryParser(ec2=True).parse(shape.input_shape, build_tree(form))
    parsed.pop("DryRun", None)
    return parsed


def answer(pipeline: Pipeline, request: dict[str, Any], account_id: str, region: str) -> tuple[World, World] | str:
    """Both Worlds for a request of the control socket, or why there are none."""
    try:
        return rehearse(
            pipeline, str(request.get("action")), request.get("parameters", {}),
            str(request.get("account") or account_id), str(request.get("region") or region),
        )  # fmt: skip
    except ApiError as problem:
        return f"{problem.code}: {problem.message}"
