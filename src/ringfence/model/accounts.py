"""The accounts of an installation, and what one account may see of another's resources."""

from __future__ import annotations

from typing import Any

from ringfence.model.kinds import ACCOUNT, Kind
from ringfence.model.nouns.identity import GLOBAL
from ringfence.model.nouns.organization import Account
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

    The one place that resource sharing goes through: `Call.get` asks it about rows of the kinds in SHAREABLE that are another
    account's. No share can be made here (AWS RAM is not served), so that no account sees anything of another's.
    """
    del world, kind, row, account_id
    return False
