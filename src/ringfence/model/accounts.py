"""The accounts of an installation, and what one account may see of another's resources."""

from __future__ import annotations

from typing import Any

from ringfence.model.aws_prefix_lists import AWS_LISTS, find_list
from ringfence.model.kinds import ACCOUNT, PREFIX_LIST, Kind
from ringfence.model.nouns.identity import GLOBAL
from ringfence.model.nouns.organization import Account
from ringfence.model.nouns.prefix_list import AWS
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


#: kinds whose rows an owner may share with other accounts (AWS RAM User Guide: "Shareable AWS resources")
SHAREABLE = frozenset({"subnet", "prefix-list"})


def shared_with(world: World, kind: Kind[Any], row: Row, account_id: str) -> bool:
    """May an account see and use a row of another account?

    The one place that resource sharing goes through: `find_for` and `visible` ask it about rows of the kinds in SHAREABLE
    that are another account's. AWS's prefix lists are everybody's (PL-10). No share can be made here (AWS RAM is not served).
    """
    del world, kind, account_id
    return row.owner_id == AWS


def find_for(world: World, kind: Kind[Any], id: str, account_id: str, region: str) -> Any | None:
    """The row of that id, if it is of the Region and the account's own or shared with it."""
    row: Row | None = find_list(world, id) if kind is PREFIX_LIST else world.find(kind, id)
    if row is None or row.region != region:
        return None
    own = row.owner_id == account_id
    return row if own or (kind.noun in SHAREABLE and shared_with(world, kind, row, account_id)) else None


def visible(world: World, kind: Kind[Any], account_id: str, region: str) -> list[Any]:
    """All rows of a kind that an account may see in a Region: its own in order of creation, then those of others."""
    own = world.all(kind, account_id, region)
    return [*own, *(row for row in AWS_LISTS.values() if row.region == region)] if kind is PREFIX_LIST else own
