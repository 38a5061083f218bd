"""How the operations of AWS KMS enter the registry, their checks and pages, and how they find keys."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ringfence.api import audit, keys
from ringfence.api.authorise import kms as authorise
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import constraints
from ringfence.api.ops.registry import register
from ringfence.api.wire import model
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import KMS_GRANT
from ringfence.model.nouns.kms import KmsKey
from ringfence.model.world import World

T = TypeVar("T")
Handler = Callable[[Call, World, Params], Outcome]


def kms(action: str, *, changes_world: bool, aside: bool = False) -> Callable[[Handler], Handler]:
    """Serve `kms:ACTION`: its parameters are checked, DryRun decides and does nothing, and another account whose key was used has it
    in its trail too."""

    def enter(handler: Handler) -> Handler:
        def handle(call: Call, world: World, params: Params) -> Outcome:
            _check(action, params)
            _check_tokens(world, params)
            outcome = handler(call, world, params)
            if params.get("DryRun"):
                raise fault("DryRunOperationException")
            return _told(call, params, outcome, read_only=not changes_world)

        register(f"kms:{action}", handle, mutating=changes_world, module=handler.__module__, aside=aside)
        return handler

    return enter


def _check(action: str, params: Params) -> None:
    """ApiError ValidationException that names every value which breaks a constraint of the model."""
    shape = model.operation("kms", action)
    if shape is None or shape.input_shape is None:
        return
    wrong = [*constraints.broken(shape.input_shape, params), *_wrong_blobs(shape.input_shape, params)]
    if wrong:
        count = f"{len(wrong)} validation error{'s' if len(wrong) > 1 else ''} detected"
        raise invalid(f"{count}: {'; '.join(wrong)}")


def _wrong_blobs(shape: Any, params: Params) -> Iterator[str]:
    for name, value in params.items():
        member = shape.members.get(name)
        if member is None or member.type_name != "blob":
            continue
        low, high = member.metadata.get("min", 0), member.metadata.get("max")
        what = f"Value at '{name[:1].lower()}{name[1:]}' failed to satisfy constraint: Member must have length"
        if len(value) < low:
            yield f"{what} greater than or equal to {low}"
        if high is not None and len(value) > high:
            yield f"{what} less than or equal to {high}"


def _check_tokens(world: World, params: Params) -> None:
    """Grants hold at once here, so that a token only has to be one. ApiError InvalidGrantTokenException."""
    for token in params.get("GrantTokens") or ():
        if world.find(KMS_GRANT, authorise.grant_of_token(token)) is None:
            raise fault("InvalidGrantTokenException", message="The grant token is not valid.")


def _told(call: Call, params: Params, outcome: Outcome, *, read_only: bool) -> Outcome:
    owners = {arn.split(":")[4] for arn in outcome.touched} - {call.account_id}
    if not owners:
        return outcome
    shared = call.ids.uuid()
    for owner in sorted(owners):
        way = audit.Way(recipient=owner, shared=shared)
        call.witness(audit.record(call, params, read_only=read_only, touched=outcome.touched, way=way))
    return replace(outcome, shared=shared)


def invalid(message: str) -> ApiError:
    return fault("ValidationException", message=message)


def unsupported(message: str) -> ApiError:
    return fault("UnsupportedOperationException", message=message)


# ---------------------------------------------------------------------- keys
def any_key(call: Call, world: World, ref: str) -> KmsKey:
    """The key of an id, ARN, alias or alias ARN, of any account. ApiError NotFoundException, InvalidArnException."""
    return keys.named(world, ref, region=call.region, account_id=call.account_id, now=call.now)


def key_itself(call: Call, world: World, ref: str) -> KmsKey:
    """The key of an id or ARN: AWS takes aliases for few operations only."""
    if ref.startswith(keys.ALIAS) or (ref.startswith("arn:") and ":alias/" in ref):
        raise fault("NotFoundException", message=f"Invalid keyId '{ref[:256]}'")
    return any_key(call, world, ref)


# ---------------------------------------------------------------------- pages
def page(
    items: Sequence[T], key: Callable[[T], str], params: Params, *, default: int, most: int
) -> tuple[list[T], dict[str, Any]]:
    """The items past the place that `Marker` names, in the order of `key`, which is unique. ApiError InvalidMarkerException."""
    limit = params.get("Limit") or default
    if limit > most:
        raise invalid(
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value less "
            f"than or equal to {most}"
        )
    left = sorted(items, key=key)
    if params.get("Marker"):
        last = _place(params["Marker"])
        left = [item for item in left if key(item) > last]
    shown = left[:limit]
    if len(left) <= limit:
        return shown, {"Truncated": False}
    return shown, {
        "Truncated": True,
        "NextMarker": base64.urlsafe_b64encode(json.dumps(key(shown[-1])).encode()).decode(),
    }


def _place(marker: str) -> str:
    try:
        place = json.loads(base64.b64decode(marker.encode(), altchars=b"-_", validate=True))
        if not isinstance(place, str):
            raise ValueError
    except (ValueError, binascii.Error):  # UnicodeError and JSONDecodeError are ValueErrors
        raise fault("InvalidMarkerException") from None
    return place
