"""What an account's organization lays on it (AWS Organizations User Guide: "SCP evaluation", "RCP evaluation"; IAM-18).

The management account is bound by neither. A policy that is attached but cannot be found is an empty text, which denies
everything; a level without a policy allows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.identity.question import Attached
from ringfence.model.kinds import ACCOUNT, ORGANIZATION, ORGANIZATION_POLICY, UNIT
from ringfence.model.nouns import organization as nouns
from ringfence.model.nouns.identity import GLOBAL
from ringfence.model.nouns.organization import Node, OrganizationPolicy, PolicyType
from ringfence.model.world import World

Levels = tuple[tuple[Attached, ...], ...]


@dataclass(frozen=True, slots=True)
class Organization:
    """The policies of every level from the root down to the account; () for an account that no policy binds."""

    id: str | None = None  # o-…
    path: str = ""  # aws:PrincipalOrgPaths: o-…/r-…/ou-…/
    service_control: Levels = ()
    resource_control: Levels = ()


_NONE = Organization()
_ALLOW_ALL = """{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      %s"Action": "*",
      "Resource": "*"
    }
  ]
}"""


def _aws(id: str, name: str, type: PolicyType, description: str, principal: str) -> OrganizationPolicy:
    return OrganizationPolicy(
        id=id, owner_id="aws", region=GLOBAL, organization="aws", name=name, description=description, type=type.value,
        text=_ALLOW_ALL % principal,
    )  # fmt: skip


#: AWS's own policies: type -> the one that is attached everywhere when the type is enabled
DEFAULTS: dict[str, OrganizationPolicy] = {
    PolicyType.SERVICE_CONTROL.value: _aws(
        "p-FullAWSAccess", "FullAWSAccess", PolicyType.SERVICE_CONTROL, "Allows access to every operation", ""
    ),
    PolicyType.RESOURCE_CONTROL.value: _aws(
        "p-RCPFullAWSAccess", "RCPFullAWSAccess", PolicyType.RESOURCE_CONTROL, "Allow all access",
        '"Principal": "*",\n      ',
    ),
}  # fmt: skip
_BY_ID = {policy.id: policy for policy in DEFAULTS.values()}


def policy(world: World, id: str) -> OrganizationPolicy | None:
    """A policy of an organization, or of AWS."""
    return _BY_ID.get(id) or world.find(ORGANIZATION_POLICY, id)


def path(world: World, node: Node) -> Iterator[Node]:
    """From a unit, account or organization (its root) up to the root."""
    while not isinstance(node, nouns.Organization):
        assert isinstance(node, (nouns.Account, nouns.OrganizationalUnit))
        yield node
        unit = world.find(UNIT, node.parent)
        above = unit or world.find(ORGANIZATION, node.organization)
        if above is None:  # not possible: units and organizations are deleted only when they are empty
            raise LookupError(f"{node.id} hangs in the air")
        node = above
    yield node


class _Memory:
    """What bound each account in the World that was asked last: one call asks several times. Holds that one World."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held: tuple[World | None, dict[str, Organization]] = (None, {})

    def of(self, world: World) -> dict[str, Organization]:
        """Threads that ask about different Worlds each get a dictionary of the World they name."""
        known, levels = self.held
        if known is not world:
            levels = {}
            self.held = (world, levels)
        return levels


_memory = _Memory()


def organization_levels(world: World, account_id: str) -> Organization:
    """What binds an account: effective with the next call, because it is read from the World of now."""
    account = world.find(ACCOUNT, account_id)
    if account is None or account.organization is None:
        return _NONE
    held = _memory.of(world)
    found = held.get(account_id)
    if found is None:
        found = held[account_id] = _read(world, account)
    return found


def _read(world: World, account: nouns.Account) -> Organization:
    organization = world.find(ORGANIZATION, account.organization)
    if organization is None:  # not possible: an organization is deleted when nobody is in it
        raise LookupError(f"{account.id} is in no organization that exists")
    nodes = list(path(world, account))[::-1]
    above = "/".join((organization.id, organization.root, *(node.id for node in nodes[1:-1]))) + "/"
    if organization.owner_id == account.id:
        return Organization(organization.id, above)
    return Organization(
        organization.id,
        above,
        _levels(world, organization, nodes, PolicyType.SERVICE_CONTROL),
        _levels(world, organization, nodes, PolicyType.RESOURCE_CONTROL),
    )


def _levels(world: World, organization: nouns.Organization, nodes: list[Node], type: PolicyType) -> Levels:
    if type.value not in organization.enabled:
        return ()
    return tuple(tuple(_attached(world, node, type)) for node in nodes)


def _attached(world: World, node: Node, type: PolicyType) -> Iterator[Attached]:
    for id in node.policies:
        found = policy(world, id)
        if found is None:
            yield Attached(id, "")
        elif found.type == type.value:
            yield Attached(id, found.text)
