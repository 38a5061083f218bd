"""Requests of the EC2 Query and AWS Query protocols, driven by the service model for every operation.

Flat form parameters (`IpPermissions.1.FromPort=22`) → nested Python values by member name. Nothing here knows a
particular operation. Source: the AWS query and EC2 query protocols as the service models describe them; botocore is
the other side in the tests.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from ringfence.api.wire import limits
from ringfence.api.wire.text import UNPRINTABLE
from ringfence.model.errors import ApiError, fault

_Tree = dict[str, Any]  # path segment -> subtree; the key "" holds a leaf's text
MAX_DEPTH = 16
MAX_NAME = 1024  # characters of a parameter name
MAX_PLANS, MAX_PLANNED = 512, 512  # kept; parameters of a request that is planned for
_INDEX = re.compile("0|[1-9][0-9]{0,8}")
_INTEGER = re.compile("[+-]?[0-9]{1,19}")


def build_tree(pairs: Iterable[tuple[str, str]]) -> _Tree:
    """Dotted parameter names as a tree. ApiError for a name that is given twice, too long or has an empty part.

    INVARIANT: only a leaf's text stands under the key "", so a subtree is never mistaken for a value.
    """
    root: _Tree = {}
    for name, value in pairs:
        node, parts = root, name.split(".")
        if len(parts) > MAX_DEPTH or len(name) > MAX_NAME or "" in parts:
            raise fault("UnknownParameter", name=name[:200])
        for part in parts:
            below = node.get(part)
            if below is None:
                below = node[part] = {}
            node = below
        if "" in node:
            raise fault("MalformedQueryString", message=f"The parameter {name[:200]} is given more than once")
        node[""] = value
    return root


class Plan:
    """How requests with the same parameter names are read: which texts are converted, then what is put together of what.

    Only what the texts say can make such a request fail; what the names say has been found in order.
    """

    def __init__(self, shape: Any, checked: Callable[[Any, Any, str], Any]) -> None:
        self.shape = shape  # kept, so that its id() is no other's
        self._checked = checked
        self._convert: list[tuple[int, Callable[[str, str, Any], Any], str, Any]] = []
        self._build: list[tuple[list[str] | None, Callable[[list[Any]], tuple[Any, ...]]]] = []

    def scalar(self, shape: Any, place: int, path: str) -> int:
        """The text at this place is a scalar; its slot."""
        if shape.metadata:
            self._convert.append((place, self._with_limits(_SCALARS[shape.type_name]), path, shape))
        elif _SCALARS[shape.type_name] is not _string:
            self._convert.append((place, _SCALARS[shape.type_name], path, shape))
        return place

    def _with_limits(self, scalar: Callable[[str, str, Any], Any]) -> Callable[[str, str, Any], Any]:
        return lambda text, path, shape: self._checked(shape, scalar(text, path, shape), path)

    def container(self, names: list[str] | None, slots: list[int], free: int) -> int:
        """A structure with these members, or a list (None), of what is in the slots; its slot, from `free` on."""
        self._build.append((names, _getter(slots)))
        return free + len(self._build) - 1

    def read(self, values: Iterable[str]) -> dict[str, Any]:
        """The parameters of a request. ApiError when a text is not what it should be."""
        slots: list[Any] = list(values)
        for place, convert, path, shape in self._convert:
            slots[place] = convert(slots[place], path, shape)
        for names, items in self._build:
            slots.append(list(items(slots)) if names is None else dict(zip(names, items(slots), strict=True)))
        whole: dict[str, Any] = slots[-1]
        return whole


def _getter(slots: list[int]) -> Callable[[list[Any]], tuple[Any, ...]]:
    if len(slots) == 1:
        (only,) = slots
        return lambda values: (values[only],)
    return itemgetter(*slots)


class QueryParser:
    """Parses the requests of one service. `ec2` selects the EC2 flavour of names and lists.

    `limits`: whether ranges, lengths and patterns are checked (EC2 only); tests of the form alone leave them out.
    """

    def __init__(self, *, ec2: bool, limits: bool = True) -> None:
        self.ec2, self.limits = ec2, limits
        self._tables: dict[int, tuple[Any, dict[str, tuple[str, Any]], dict[str, str]]] = {}
        self._plans: dict[tuple[int, tuple[str, ...]], Plan] = {}

    def parameters(self, shape: Any | None, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """`parse(shape, build_tree(pairs))`; a request with the names of an earlier one is read by its plan."""
        if not pairs or shape is None or len(pairs) > MAX_PLANNED:
            return self.parse(shape, build_tree(pairs))
        names, values = zip(*pairs, strict=True)
        plan = self._plans.get((id(shape), names))
        # an empty text can stand for an empty structure or for nothing: that decides about the form of the request
        plain = "" not in values and not UNPRINTABLE.search("".join(values))
        if plan is not None and plain:
            try:
                return plan.read(values)
            except ApiError:
                pass  # raised again below, by the one who finds the first of several faults
        parsed = self.parse(shape, build_tree(pairs))
        if plan is None and plain:
            self._remember(shape, names)
        return parsed

    def _remember(self, shape: Any, names: tuple[str, ...]) -> None:
        """Plan for requests of these names, which are known to be fit for the shape."""
        plan = Plan(shape, self._checked)
        tree = build_tree((name, str(place)) for place, name in enumerate(names))
        if self._plan(plan, shape, tree, "", len(names)) is None:
            return
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
        self._plans[id(shape), names] = plan

    def _plan(self, plan: Plan, shape: Any, tree: _Tree, path: str, free: int) -> int | None:
        """Add what reads the shape from its place in the request. The slot it ends up in; None: there is no plan."""
        kind = shape.type_name
        if kind in _SCALARS:
            return plan.scalar(shape, int(tree[""]), path)
        if kind == "structure":
            by_wire, _ = self._members(shape)
            names, below = [by_wire[wire][0] for wire in tree], [(by_wire[wire][1], wire) for wire in tree]
        elif kind == "list":
            if not self.ec2 and not shape.serialization.get("flattened"):
                inner = shape.member.serialization.get("name", "member")
                tree, path = tree[inner], f"{path}.{inner}"
            names, below = None, [(shape.member, index) for index in _indices(tree, path)]
        else:
            return None
        slots = []
        for member, wire in below:
            slot = self._plan(plan, member, tree[wire], f"{path}.{wire}" if path else wire, free)
            if slot is None:
                return None
            slots.append(slot)
        return plan.container(names, slots, free)

    def parse(self, shape: Any | None, tree: _Tree) -> dict[str, Any]:
        """Parameters by member name. ApiError: UnknownParameter, MissingParameter, InvalidParameterValue."""
        if shape is None:
            if tree:
                raise fault("UnknownParameter", name=next(iter(tree)))
            return {}
        parsed: dict[str, Any] = self._structure(shape, tree, "")
        return parsed

    def _members(self, shape: Any) -> tuple[dict[str, tuple[str, Any]], dict[str, str]]:
        """wire name -> (member, shape), and member -> wire name."""
        known = self._tables.get(id(shape))
        if known is None:
            by_wire = {self._wire_name(member, name): (name, member) for name, member in shape.members.items()}
            known = (shape, by_wire, {name: wire for wire, (name, _) in by_wire.items()})
            self._tables[id(shape)] = known
        return known[1], known[2]

    def _wire_name(self, shape: Any, default: str) -> str:
        serialization = shape.serialization
        if not self.ec2:
            flat = shape.type_name == "list" and serialization.get("flattened")
            own = (
                shape.member.serialization.get("name") if flat else None
            )  # flattened: items stand under their own name
            return str(own or serialization.get("name", default))
        if "queryName" in serialization:
            return str(serialization["queryName"])
        name = serialization.get("name")
        return name[0].upper() + name[1:] if name else default

    def _structure(self, shape: Any, tree: _Tree, path: str) -> dict[str, Any]:
        by_wire, wire_names = self._members(shape)
        out: dict[str, Any] = {}
        for wire, subtree in tree.items():
            if wire == "" and subtree == "":
                continue  # an empty structure is sent as `Name=`
            if wire not in by_wire:
                raise fault("UnknownParameter", name=(path + wire).rstrip(".")[:200])
            name, member = by_wire[wire]
            out[name] = self._value(member, subtree, f"{path}{wire}")
        for name in shape.required_members:
            if name not in out or (self.ec2 and out[name] == ""):  # EC2: an empty text is not given
                where = path + wire_names[name]
                raise (
                    limits.absent(shape, name, where)
                    if self.ec2
                    else _constraint("Value null", where, "must not be null")
                )
        return out

    def _value(self, shape: Any, tree: _Tree, path: str) -> Any:
        kind = shape.type_name
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            if len(tree) != 1 or "" not in tree:
                raise fault("UnknownParameter", name=f"{path}.{next(k for k in tree if k)}"[:200])
            return self._checked(shape, scalar(tree[""], path, shape), path)
        if kind == "structure":
            return self._structure(shape, tree, path + ".")
        if kind == "list":
            return self._checked(shape, self._list(shape, tree, path), path)
        return self._map(shape, tree, path)

    def _checked(self, shape: Any, value: Any, path: str) -> Any:
        """The value, if it keeps what the model declares (`limits.py`)."""
        if not shape.metadata:
            return value
        if not self.ec2:
            return _one_of(shape, value, path)
        if self.limits:
            limits.check(shape, value, path)
        return limits.enum_value(shape, value, path) if isinstance(value, str) else value

    def _list(self, shape: Any, tree: _Tree, path: str) -> list[Any]:
        if set(tree) == {""}:
            if tree[""] == "":
                return []
            raise fault("UnknownParameter", name=path)
        if not self.ec2 and not shape.serialization.get("flattened"):
            inner = shape.member.serialization.get("name", "member")
            if set(tree) != {inner}:
                raise fault("UnknownParameter", name=f"{path}.{next(k for k in tree if k != inner)}"[:200])
            tree, path = tree[inner], f"{path}.{inner}"
        return [self._value(shape.member, tree[index], f"{path}.{index}") for index in _indices(tree, path)]

    def _map(self, shape: Any, tree: _Tree, path: str) -> dict[str, Any]:
        if not shape.serialization.get("flattened"):
            if set(tree) != {"entry"}:
                raise fault("UnknownParameter", name=f"{path}.{next(k for k in tree if k != 'entry')}"[:200])
            tree, path = tree["entry"], f"{path}.entry"
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        out: dict[str, Any] = {}
        for index in _indices(tree, path):
            entry = tree[index]
            if not set(entry) <= {key_name, value_name} or key_name not in entry:
                raise fault("UnknownParameter", name=f"{path}.{index}"[:200])
            key = self._value(shape.key, entry[key_name], f"{path}.{index}.{key_name}")
            out[key] = self._value(shape.value, entry.get(value_name, {"": ""}), f"{path}.{index}.{value_name}")
        return out


def _indices(tree: _Tree, path: str) -> list[str]:
    """List indices in numeric order."""
    for index in tree:
        if not _INDEX.fullmatch(index):
            raise fault("UnknownParameter", name=f"{path}.{index}".rstrip(".")[:200])
    return sorted(tree, key=int)


def _invalid(path: str, text: str, what: str) -> ApiError:
    return fault("InvalidParameterValue", message=f"Invalid value '{text[:100]}' for parameter {path}: {what}")


def _constraint(what: str, path: str, rule: str) -> ApiError:
    """IAM and STS API References, "Common errors": ValidationError."""
    place = ".".join(part[:1].lower() + part[1:] for part in path.split("."))
    message = f"1 validation error detected: {what} at '{place[:200]}' failed to satisfy constraint: Member {rule}"
    return fault("ValidationError", message=message)


def _one_of(shape: Any, value: Any, path: str) -> Any:
    allowed = shape.metadata.get("enum")
    if allowed and isinstance(value, str) and value not in allowed:
        raise _constraint(f"Value '{value[:200]}'", path, f"must satisfy enum value set: [{', '.join(allowed)}]")
    return value


def _string(text: str, path: str, shape: Any) -> str:
    if UNPRINTABLE.search(text):
        raise _invalid(path, text, "it contains characters that are not allowed")
    return text


def _integer(text: str, path: str, shape: Any) -> int:
    if not _INTEGER.fullmatch(text):
        raise _invalid(path, text, "an integer is expected")
    value = int(text)
    bits = 31 if shape.type_name == "integer" else 63
    if not -(1 << bits) <= value < (1 << bits):
        raise _invalid(path, text, "the integer is out of range")
    return value


def _float(text: str, path: str, _shape: Any) -> float:
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", text):
        raise _invalid(path, text, "a number is expected")
    return float(text)


def _boolean(text: str, path: str, _shape: Any) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise _invalid(path, text, "a boolean is expected")
    return lowered == "true"


def _timestamp(text: str, path: str, _shape: Any) -> datetime:
    try:
        value = datetime.fromisoformat(text)
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # OverflowError: an offset that leads out of the years 1 to 9999
        raise _invalid(path, text, "a timestamp is expected") from None


def _blob(text: str, path: str, _shape: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _invalid(path, text, "base64 is expected") from None


_SCALARS: dict[str, Callable[[str, str, Any], Any]] = {
    "string": _string, "character": _string, "integer": _integer, "long": _integer, "float": _float,
    "double": _float, "boolean": _boolean, "timestamp": _timestamp, "blob": _blob,
}  # fmt: skip
