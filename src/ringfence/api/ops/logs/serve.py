"""How the operations of CloudWatch Logs enter the registry, their checks, pages, and how they find groups and streams."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import constraints
from ringfence.api.ops.registry import register
from ringfence.api.wire import model
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import LOG_GROUP, LOG_STREAM
from ringfence.model.nouns.log import LogGroup, LogStream
from ringfence.model.world import World

T = TypeVar("T")
PAGE = 50
Handler = Callable[[Call, World, Params], Outcome]
_QUOTED = re.compile(r"^Value '.*' at(?= 'logGroupIdentifier')", re.DOTALL)
_READS = ("Describe", "Filter", "Get", "List", "StartLiveTail", "Test")


def logs(action: str, *, aside: bool = False, changes_world: bool = True) -> Callable[[Handler], Handler]:
    """Serve `logs:ACTION`. `aside`: takes time or waits for the event store, so that it runs on a thread of its own."""

    def enter(handler: Handler) -> Handler:
        def handle(call: Call, world: World, params: Params) -> Outcome:
            _check(action, params)
            return handler(call, world, params)

        reads = action.startswith(_READS)
        register(
            f"logs:{action}", handle, mutating=changes_world and not reads, module=handler.__module__, aside=aside,
            appends=not changes_world and not reads,
        )  # fmt: skip
        return handler

    return enter


def _check(action: str, params: Params) -> None:
    """ApiError InvalidParameterException that names every value which breaks a constraint of the model."""
    shape = model.operation("logs", action)
    if shape is None or shape.input_shape is None:
        return
    small = {name: value for name, value in params.items() if name != "logEvents"}  # checked by its own rules
    # AWS: identifiers are not quoted back, names are
    wrong = [_QUOTED.sub("Value at", text) for text in constraints.broken(shape.input_shape, small)]
    if wrong:
        count = f"{len(wrong)} validation error{'s' if len(wrong) > 1 else ''} detected"
        raise invalid(f"{count}: {'; '.join(wrong)}")


def invalid(message: str) -> ApiError:
    return fault("InvalidParameterException", message=message)


def milliseconds(call: Call) -> int:
    return int(call.now.timestamp() * 1000)


# ---------------------------------------------------------------------- names
def group_arn(call: Call, name: str) -> str:
    return f"arn:aws:logs:{call.region}:{call.account_id}:log-group:{name}"


def find_group(call: Call, world: World, name: str) -> LogGroup:
    """The caller's group of that name. ApiError ResourceNotFoundException."""
    found = world.find(LOG_GROUP, group_arn(call, name))
    if found is None:
        raise fault("ResourceNotFoundException", message="The specified log group does not exist.")
    return found


def identified_group(call: Call, world: World, params: Params) -> LogGroup:
    """The group that `logGroupName` or `logGroupIdentifier` (a name or an ARN) tells: one of them, not both."""
    name, identifier = params.get("logGroupName"), params.get("logGroupIdentifier")
    if name is not None and identifier is not None:
        raise invalid("LogGroup name and LogGroup ARN are mutually exclusive parameters.")
    given = name if name is not None else identifier
    if given is None:
        raise invalid("Either logGroupName or logGroupIdentifier must be specified.")
    if given.startswith("arn:"):
        return group_by_arn(call, world, given)
    return find_group(call, world, given)


_ARN = re.compile(r"arn:aws:logs:([a-z0-9-]+):([0-9]{12}):log-group:([^:*]+)(:\*)?")


def group_by_arn(call: Call, world: World, arn: str, *, exact: bool = False) -> LogGroup:
    """The caller's group. `exact`: without the asterisk that its ARN may end with. ApiError."""
    found = _ARN.fullmatch(arn)
    if found is None or (exact and found[4]):
        raise invalid(f"Invalid {'log group ARN' if exact else 'ARN'}: {arn[:200]}")
    if (found[1], found[2]) != (call.region, call.account_id):
        raise fault("ResourceNotFoundException", message="The specified log group does not exist.")
    return find_group(call, world, found[3])


def find_stream(world: World, group: LogGroup, name: str) -> LogStream:
    """ApiError ResourceNotFoundException."""
    found = world.find(LOG_STREAM, f"{group.id}:log-stream:{name}")
    if found is None:
        raise fault("ResourceNotFoundException", message="The specified log stream does not exist.")
    return found


# ---------------------------------------------------------------------- pages
def page(
    items: Sequence[T], key: Callable[[T], Any], params: Params, *, descending: bool = False
) -> tuple[list[T], dict[str, Any]]:
    """The items past the place that `nextToken` names; they are sorted by `key`, which is unique.

    Fits a listing that grows and shrinks between two pages. ApiError InvalidParameterException.
    """
    limit = params.get("limit") or PAGE
    asked = digest({name: value for name, value in params.items() if name not in ("nextToken", "limit")})
    left = list(items)
    if params.get("nextToken"):
        last = open_token(params["nextToken"], asked)
        left = [item for item in left if (key(item) < last if descending else key(item) > last)]
    shown = left[:limit]
    return shown, ({"nextToken": token(asked, key(shown[-1]))} if len(left) > limit else {})


def digest(parameters: Any) -> str:
    """A token is good for the same question only."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:16]


def token(asked: str, place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps([asked, place]).encode()).decode()


def open_token(text: str, asked: str) -> Any:
    """Where the last page ended. ApiError InvalidParameterException."""
    try:
        read = json.loads(base64.b64decode(text.encode(), altchars=b"-_", validate=True))
        if not isinstance(read, list) or len(read) != 2 or read[0] != asked:
            raise ValueError
    except (ValueError, binascii.Error, RecursionError):  # UnicodeError and JSONDecodeError are ValueErrors
        raise bad_token() from None
    return read[1]


def bad_token() -> ApiError:
    return invalid("The specified nextToken is invalid.")
