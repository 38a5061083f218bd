"""How an operation is authorised, as data: for the generated document and the test that no operation is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ringfence.api.authorise import SERVICES, UNASKED, naming, s3
from ringfence.api.authorise.launch import LAUNCHES
from ringfence.api.authorise.other import PREFIXES
from ringfence.api.wire import model
from ringfence.identity import actions
from ringfence.identity.actions import Action, ResourceUse

#: verbs that make what they are authorised on, so that it cannot be named
MAKING = ("Allocate", "Copy", "Create", "Import", "Register", "Request", "Run", "Start")
#: asked about as two actions, the other with the same resources and keys
_ONE_OF = {"ReEncrypt": "ReEncryptFrom"}


@dataclass(frozen=True, slots=True)
class Place:
    """A resource type and how a request tells which one."""

    type: str
    how: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One operation. `instead`: what it is asked about without resource types. `gaps`: required types nothing tells."""

    action: str
    places: tuple[Place, ...]
    keys: tuple[str, ...]
    instead: str = "`*`"
    gaps: tuple[str, ...] = ()


def plan(service: str, action: str) -> Plan:
    """The plan of an operation. KeyError when it is no published action: it is then refused to all but root."""
    if (service, action) in UNASKED:
        return Plan(action, (), (), "not asked: needs no permission")
    prefix = PREFIXES.get(service, service)
    about = actions.action(prefix, s3.ACTIONS.get(action, action) if service == "s3" else _ONE_OF.get(action, action))
    if about is None:
        raise KeyError(f"{service}:{action} is no action: add it to OVERRIDES of identity/actions.py")
    if service == "ec2":
        return _ec2(about, action)
    places = tuple(Place(use.type, "required" if use.required else "when named") for use in about.resources)
    keys = dict.fromkeys(key for use in about.resources for key in _keys_on(prefix, use))
    gaps = () if service in SERVICES else tuple(use.type for use in about.resources if use.required)
    return Plan(action, places, (*keys, *(key for key in about.keys.names if key not in keys)), gaps=gaps)


def _keys_on(service: str, use: ResourceUse) -> Iterator[str]:
    yield from use.keys.names
    yield from (key for key in actions.type_keys(service, use.type).names if key not in use.keys.names)


def _ec2(about: Action, action: str) -> Plan:
    names = _parameters(action)
    places, gaps = [], []
    for use in about.resources:
        how = _how(use, action, names)
        if how is not None:
            places.append(Place(use.type, how))
        elif use.required:
            gaps.append(use.type)
    keys = dict.fromkeys(
        key for use in about.resources if any(use.type == p.type for p in places) for key in use.keys.names
    )
    whole = (*keys, *(key for key in about.keys.names if key not in keys))
    return Plan(action, tuple(places), whole, gaps=tuple(gaps))


def _parameters(action: str) -> list[str]:
    """The names of an operation's parameters, with those of the nested ones that are looked at."""
    operation: Any = model.operation("ec2", action)
    if operation is None or operation.input_shape is None:
        return []
    members = operation.input_shape.members
    nested = [members[name].member.members for name in naming.NESTED.get(action, ())]
    return [*members, *(name for inner in nested for name in inner)]


def _how(use: ResourceUse, action: str, names: list[str]) -> str | None:
    """Where a type comes from; None when this installation has no way to name one."""
    if action in LAUNCHES:
        return "every one the launch takes or makes" if use.type in _LAUNCHED else None
    parameters = [name for name in names if naming.type_of_parameter(name) == use.type]
    parameters += [name for name in names if name in naming.OF_ANY_TYPE]
    ways = [f"`{name}`" for name in dict.fromkeys(parameters)]
    if action in naming.DERIVED:
        ways.append("what these lead to")
    if not parameters and use.required and action.startswith(MAKING):
        return "new"
    if not parameters and action not in naming.DERIVED:
        return "new, when tagged" if "TagSpecifications" in names and "aws:TagKeys" in use.keys.names else None
    return ", ".join(ways)


_LAUNCHED = frozenset({"image", "instance", "key-pair", "network-interface", "security-group", "subnet", "volume"})
