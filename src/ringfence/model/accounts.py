"""The accounts of an installation, and what one account may see of another's resources."""

from __future__ import annotations

from typing import Any

from ringfence.model.aws_prefix_lists import AWS_LISTS, find_list
from ringfence.model.kinds import ACCOUNT, ORGANIZATION, PREFIX_LIST, RESOURCE_SHARE, UNIT, Kind
from ringfence.model.nouns.identity import GLOBAL
from ringfence.model.nouns.organization import Account
from ringfence.model.nouns.prefix_list import AWS
from ringfence.model.nouns.resource_share import SERVICE, ResourceShare
from ringfence.model.row import Row
from ringfence.model.world import World


def account_of(world: World, id: str) -> Account:
    """The account of that number. One without a row is that of a root key given to the installation from outside."""
    found = world.find(ACCOUNT, id)
    return found or Account(
        id=id, owner_id=id, region=GLOBAL, name=f"account {id}", email=f"root@{id}.ringfence.invalid", created=0.0
    )


def closed(world: World, id: str) -> bool:
    """Has the account been closed? Its credentials open nothing then."""
    found = world.find(ACCOUNT, id)
    return found is not None and found.closed is not None


#: kinds whose rows may be another account's and still be seen: AWS's, or shared (AWS RAM User Guide: "Shareable AWS resources")
SHAREABLE = frozenset({PREFIX_LIST.noun})


def shared_with(world: World, kind: Kind[Any], row: Row, account_id: str) -> bool:
    """May an account see and use a row of another account (PL-13)?

    The one place that resource sharing goes through: `find_for` and `visible` ask it about rows of the kinds in SHAREABLE
    that are another account's. AWS's prefix lists are everybody's (PL-10).
    """
    if row.owner_id == AWS:
        return True
    key = f"{kind.noun}/{row.id}"
    shares = world.by(RESOURCE_SHARE, "resource", key)
    return any(share.owner_id == row.owner_id and reaches(world, share, account_id) for share in shares)


def places_of(world: World, account_id: str) -> frozenset[str]:
    """The names under which shares reach an account: its number, its organization, and every unit around it."""
    account = account_of(world, account_id)
    found = {account_id}
    if account.organization is not None:
        found.add(account.organization)
        above = world.find(UNIT, account.parent)
        while above is not None:
            found.add(above.id)
            above = world.find(UNIT, above.parent)
    return frozenset(found)


def reaches(world: World, share: ResourceShare, account_id: str) -> bool:
    """Is the account a principal of the share? One that is a principal as a part of the owner's organization no longer is when
    either leaves it, or the organization no longer trusts RAM (AWS Organizations User Guide: "AWS RAM and AWS Organizations");
    one outside of it only as long as the share allows external principals."""
    if share.owner_id == account_id or closed(world, account_id):
        return False
    places = places_of(world, account_id)
    common = {account_of(world, id).organization for id in (share.owner_id, account_id)}
    home = world.find(ORGANIZATION, next(iter(common))) if len(common) == 1 else None
    trusted = home.id if home is not None and any(access.principal == SERVICE for access in home.services) else None
    allowed = {trusted} - {None} | ({None} if home is not None or share.external else set())
    return any(
        principal.accepted and principal.key in places and principal.organization in allowed
        for principal in share.principals
    )


def find_for(world: World, kind: Kind[Any], id: str, account_id: str, region: str) -> Any | None:
    """The row of that id, if it is of the Region and the account's own or shared with it."""
    row: Row | None = find_list(world, id) if kind is PREFIX_LIST else world.find(kind, id)
    if row is None or row.region != region:
        return None
    own = row.owner_id == account_id
    return row if own or (kind.noun in SHAREABLE and shared_with(world, kind, row, account_id)) else None


def visible(world: World, kind: Kind[Any], account_id: str, region: str) -> list[Any]:
    """All rows of a kind that an account may see in a Region: its own in order of creation, AWS's, and those shared with it."""
    own = world.all(kind, account_id, region)
    if kind.noun not in SHAREABLE:
        return own
    found: dict[str, Any] = {row.id: row for row in AWS_LISTS.values() if row.region == region}
    found |= {row.id: row for row in world.all(kind, AWS, region)}  # of an imported network
    for share in shares_reaching(world, account_id, region):
        for resource in share.resources:
            noun, _, id = resource.key.partition("/")
            row = find_for(world, kind, id, account_id, region) if noun == kind.noun else None
            if row is not None and row.owner_id != account_id:
                found[id] = row
    return [*own, *found.values()]


def shares_reaching(world: World, account_id: str, region: str) -> list[ResourceShare]:
    """The shares of others that the account is a principal of, in a Region."""
    found = {
        share.id: share
        for place in sorted(places_of(world, account_id))
        for share in world.by(RESOURCE_SHARE, "principal", place)
    }
    return [share for share in found.values() if share.region == region and reaches(world, share, account_id)]
