"""How the operations of CloudWatch enter the registry, their checks, faults and pages, and the metrics that requests name."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import constraints
from ringfence.api.ops.registry import register
from ringfence.api.wire import model
from ringfence.model.errors import ApiError, fault
from ringfence.model.world import World
from ringfence.store.metrics import Metric

T = TypeVar("T")
SERVICE = "monitoring"  # the endpoint's name; in policies it is `cloudwatch`
Handler = Callable[[Call, World, Params], Outcome]
_READS = ("Describe", "Get", "List")
#: lists that are checked by rules of their own: they are long
_OWN_RULES = frozenset({"MetricData"})


def cloudwatch(action: str, *, aside: bool = False, samples: bool = False) -> Callable[[Handler], Handler]:
    """Serve `cloudwatch:ACTION`. `aside`: it reads samples; `samples`: it writes some, and nothing of the World."""

    def enter(handler: Handler) -> Handler:
        shape = model.operation(SERVICE, action).input_shape  # type: ignore[union-attr]

        def handle(call: Call, world: World, params: Params) -> Outcome:
            small = {name: value for name, value in params.items() if name not in _OWN_RULES}
            constraints.check(shape, small)
            return handler(call, world, params)

        changes = not action.startswith(_READS) and not samples
        register(
            f"{SERVICE}:{action}", handle, mutating=changes, module=handler.__module__, aside=aside or samples,
            appends=samples,
        )  # fmt: skip
        return handler

    return enter


# ---------------------------------------------------------------------- faults
def bad_value(message: str) -> ApiError:
    return fault("InvalidParameterValue", message=message)


def bad_combination(message: str) -> ApiError:
    return fault("InvalidParameterCombination", message=message)


def invalid(message: str) -> ApiError:
    return fault("ValidationError", message=message)


def not_served(what: str) -> ApiError:
    return fault("UnsupportedOperation", message=f"{what} is not supported by this installation.")


def with_status(error: ApiError, status: int) -> ApiError:
    """The same code has another status in another service."""
    error.status = status
    return error


def not_found(what: str) -> ApiError:
    return with_status(fault("ResourceNotFoundException", message=what), 404)


# ---------------------------------------------------------------------- what requests name
def dimensions_of(given: Iterable[Mapping[str, str]] | None, where: str = "Dimensions") -> tuple[tuple[str, str], ...]:
    """Sorted pairs. ApiError InvalidParameterValue."""
    pairs = [(item["Name"], item["Value"]) for item in given or ()]
    if len({name for name, _ in pairs}) != len(pairs):
        raise bad_value("No metric may specify the same dimension name twice.")
    for name, value in pairs:
        if not _dimension(name, 255) or name.startswith(":"):
            raise bad_value(f"The value {name[:100]} for parameter {where}.member.Name is invalid.")
        if not _dimension(value, 1024):
            raise bad_value(f"The value {value[:100]} for parameter {where}.member.Value is invalid.")
    return tuple(sorted(pairs))


def _dimension(text: str, longest: int) -> bool:
    return 1 <= len(text) <= longest and text.isascii() and text.isprintable() and not text.isspace()


def metric_of(given: Params) -> Metric:
    """A metric that is named whole."""
    return Metric(given["Namespace"], given["MetricName"], dimensions_of(given.get("Dimensions")))


def shown_dimensions(dimensions: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in dimensions]


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def in_seconds(given: datetime) -> int:
    """A time of a request; whatever year it has."""
    return int(given.replace(tzinfo=given.tzinfo or UTC).timestamp())


# ---------------------------------------------------------------------- pages
def page(
    items: Sequence[T], key: Callable[[T], Any], params: Params, size: int, *, descending: bool = False
) -> tuple[list[T], dict[str, Any]]:
    """The items past the place that `NextToken` names; they are sorted by `key`, which is unique. ApiError InvalidNextToken."""
    asked = _digest({name: value for name, value in params.items() if name not in ("NextToken", "MaxRecords")})
    left = list(items)
    if params.get("NextToken"):
        last = _opened(params["NextToken"], asked)
        try:
            left = [item for item in left if (key(item) < last if descending else key(item) > last)]
        except TypeError:
            raise fault("InvalidNextToken") from None
    shown = left[:size]
    return shown, ({"NextToken": _token(asked, key(shown[-1]))} if len(left) > size else {})


def _digest(parameters: Any) -> str:
    return hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _token(asked: str, place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps([asked, place]).encode()).decode()


def _opened(text: str, asked: str) -> Any:
    try:
        read = json.loads(base64.b64decode(text.encode(), altchars=b"-_", validate=True))
        if not isinstance(read, list) or len(read) != 2 or read[0] != asked:
            raise ValueError
    except (ValueError, binascii.Error, RecursionError):
        raise fault("InvalidNextToken") from None
    return read[1]
