"""How the operations of Organizations enter the registry, who may call them, and their faults with a Reason."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import constraints
from ringfence.api.ops.registry import register
from ringfence.api.wire import model
from ringfence.model.accounts import account_of
from ringfence.model.errors import ApiError, fault
from ringfence.model.ids import IdSource
from ringfence.model.kinds import ORGANIZATION
from ringfence.model.nouns.identity import GLOBAL
from ringfence.model.nouns.organization import Organization
from ringfence.model.world import World

T = TypeVar("T")
MAX_PAGE = 20
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
#: how a broken constraint of the model reads -> the Reason of InvalidInputException
_REASONS = (
    ("length less than", "MAX_LENGTH_EXCEEDED"), ("length greater than", "MIN_LENGTH_EXCEEDED"),
    ("value less than", "MAX_VALUE_EXCEEDED"), ("value greater than", "MIN_VALUE_EXCEEDED"),
    ("regular expression", "INVALID_PATTERN"),
)  # fmt: skip


class Caller(enum.Enum):
    """Who may call an operation, whatever policies say."""

    ANYONE = enum.auto()  # in an organization or not
    MEMBER = enum.auto()  # any account of an organization
    MANAGEMENT = enum.auto()


Handler = Callable[[Call, World, Params], Outcome]


def organizations(action: str, caller: Caller = Caller.MANAGEMENT) -> Callable[[Handler], Handler]:
    """Serve `organizations:ACTION` for such callers."""

    def enter(handler: Handler) -> Handler:
        def handle(call: Call, world: World, params: Params) -> Outcome:
            _check_input(action, params)
            _check_caller(call, world, caller)
            return handler(replace(call, region=GLOBAL), world, params)

        changes = not action.startswith(("Describe", "List"))
        register(f"organizations:{action}", handle, mutating=changes, module=handler.__module__)
        return handler

    return enter


def _check_input(action: str, params: Params) -> None:
    """ApiError InvalidInputException for what the model's lengths, ranges and patterns do not allow."""
    shape = model.operation("organizations", action)
    if shape is None or shape.input_shape is None:
        return
    for text in constraints.broken(shape.input_shape, params):
        reason = next(reason for words, reason in _REASONS if words in text)
        raise invalid_input(reason, text)


def _check_caller(call: Call, world: World, caller: Caller) -> None:
    """ApiError AWSOrganizationsNotInUseException, AccessDeniedException."""
    if caller is Caller.ANYONE:
        return
    found = own_organization(call, world)
    if caller is Caller.MANAGEMENT and found.owner_id != call.account_id:
        raise fault("AccessDeniedException", message="You don't have permissions to access this resource.")


def own_organization(call: Call, world: World) -> Organization:
    """The caller's organization. ApiError AWSOrganizationsNotInUseException."""
    found = world.find(ORGANIZATION, account_of(world, call.account_id).organization)
    if found is None:
        raise fault("AWSOrganizationsNotInUseException")
    return found


# ---------------------------------------------------------------------- faults
def invalid_input(reason: str, message: str) -> ApiError:
    return fault("InvalidInputException", message=message, reason=reason)


def violation(reason: str, message: str) -> ApiError:
    return fault("ConstraintViolationException", message=message, reason=reason)


# ---------------------------------------------------------------------- small parts
def page(items: Sequence[T], params: Params) -> tuple[list[T], dict[str, Any]]:
    """The items that NextToken and MaxResults ask for. ApiError InvalidInputException INVALID_NEXT_TOKEN."""
    token, limit = params.get("NextToken"), params.get("MaxResults") or MAX_PAGE
    if token is not None and not (token.isascii() and token.isdigit() and 0 < int(token) < 10**9):
        raise invalid_input("INVALID_NEXT_TOKEN", "You provided a NextToken value that is not valid.")
    start = int(token or 0)
    end = start + limit
    return list(items[start:end]), ({"NextToken": str(end)} if end < len(items) else {})


def letters(ids: IdSource, count: int) -> str:
    """`count` random characters of those in Organizations' ids."""
    number = ids.number(6 * count)
    return "".join(_ALPHABET[number // 36**place % 36] for place in range(count))


def moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


def now(call: Call) -> float:
    return float(int(call.now.timestamp()))
