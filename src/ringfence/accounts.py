"""What `ringfence account` does: accounts made, listed, and given a root key, sessions of roles ended by the operator, each on
the record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ringfence.identity.accounts import ROOT_KEYS, new_account, root_access_key, root_keys
from ringfence.identity.roles import role_of
from ringfence.identity.sealing import Sealer
from ringfence.model.accounts import account_of
from ringfence.model.clock import Clock
from ringfence.model.ids import IdSource
from ringfence.model.kinds import ACCESS_KEY, ACCOUNT, ROLE
from ringfence.model.nouns.organization import Account
from ringfence.model.world import NOTHING, World, put
from ringfence.store.store import Commit, Store

Reply = dict[str, Any]
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")


class AccountProblem(Exception):
    """Why the operator's wish cannot be granted."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """The operator's door to accounts: whoever can open the control socket owns the installation."""

    store: Store
    sealer: Sealer
    ids: IdSource
    clock: Clock
    own: str  # the account of the installation's own root key

    def listed(self) -> list[Reply]:
        """Every account, that of the installation first."""
        world = self.store.world
        others = [row for row in world.all(ACCOUNT) if row.id != self.own]
        return [_shown(world, row) for row in (account_of(world, self.own), *others)]

    def create(self, name: str | None, email: str | None, id: str | None = None) -> Reply:
        """An account with a root key. The secret is in this reply and nowhere else. AccountProblem."""

        def decide(world: World) -> Commit:
            self._check(world, email, id)
            made = new_account(world, self.ids, name=name or "", email=email or "", now=self._now(), id=id)
            made = _named(made)
            return self._with_key(world, "CreateAccount", made, {"name": made.name, "email": made.email})

        return self._written(decide)

    def key(self, id: str) -> Reply:
        """One more root key of an account that has none or one. AccountProblem."""

        def decide(world: World) -> Commit:
            found = world.find(ACCOUNT, id)
            if found is None:
                raise AccountProblem(f"there is no account {id}: 'ringfence account list' shows them")
            if found.closed is not None:
                raise AccountProblem(f"account {id} is closed")
            if len(root_keys(world, id)) >= ROOT_KEYS:
                raise AccountProblem(
                    f"account {id} has {ROOT_KEYS} root keys: delete one (aws iam delete-access-key) first"
                )
            return self._with_key(world, "CreateRootAccessKey", found, {"accountId": id})

        return self._written(decide)

    def revoke(self, arn: str) -> Reply:
        """End every session of a role that was made until now, calls included that no policy can deny. AccountProblem.

        AWS has no call for this: its console puts the inline policy AWSRevokeOlderSessions, which works here too.
        """

        def decide(world: World) -> Commit:
            found = role_of(world, arn)
            if found is None:
                raise AccountProblem(f"there is no role {arn}")
            revoked = replace(found, revoked_before=self._now())
            record = self._record("RevokeRoleSessions", found.owner_id, {"roleArn": arn}, {})
            return Commit(change=put(ROLE, revoked), audit=record, result={"role": arn}, account_id=found.owner_id)

        return self._written(decide)

    # ------------------------------------------------------------------ parts
    def _check(self, world: World, email: str | None, id: str | None) -> None:
        if email and not _EMAIL.fullmatch(email):
            raise AccountProblem(f"{email!r} is not an e-mail address")
        if email and world.by(ACCOUNT, "email", email.lower()):
            raise AccountProblem(f"another account has the e-mail address {email}")
        if id is not None and not re.fullmatch("[0-9]{12}", id):
            raise AccountProblem("an account id has 12 digits")
        if id is not None and (id == self.own or world.find(ACCOUNT, id) is not None):
            raise AccountProblem(f"there is an account {id} already")

    def _with_key(self, world: World, event: str, account: Account, asked: Reply) -> Commit:
        key, secret = root_access_key(world, self.ids, self.sealer, account.id, self._now())
        change = (put(ACCOUNT, account) if world.find(ACCOUNT, account.id) is None else NOTHING) + put(ACCESS_KEY, key)
        reply = {"account_id": account.id, "name": account.name, "email": account.email, "access_key": key.id}
        record = self._record(event, account.id, asked, {"accountId": account.id, "accessKeyId": key.id})
        return Commit(change=change, audit=record, result=reply | {"secret_key": secret}, account_id=account.id)

    def _written(self, decide: Callable[[World], Commit]) -> Reply:
        reply: Reply = self.store.write(decide)
        return reply

    def _record(self, event: str, account: str, asked: Reply, answer: Reply) -> bytes:
        """In CloudTrail's form, as an event of this installation and not of an AWS API."""
        now = self.clock.now()
        return json.dumps({
            "eventVersion": "1.11", "userIdentity": {"type": "Operator", "accountId": self.own},
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "eventSource": "ringfence", "eventName": event,
            "awsRegion": "aws-global", "sourceIPAddress": "control socket", "userAgent": "ringfence account",
            "requestParameters": asked, "responseElements": answer or None,
            "eventID": self.ids.uuid(), "readOnly": False, "eventType": "AwsServiceEvent", "recipientAccountId": account,
        }, separators=(",", ":")).encode()  # fmt: skip

    def _now(self) -> float:
        return self.clock.now().timestamp()


def _named(made: Account) -> Account:
    """An account has a name and an address of its own even when none was given."""
    name = made.name or f"account {made.id}"
    return replace(made, name=name, email=made.email or f"root@{made.id}.ringfence.invalid")


def _shown(world: World, row: Account) -> Reply:
    return {
        "account_id": row.id, "name": row.name, "email": row.email, "organization": row.organization,
        "status": "ACTIVE" if row.closed is None else "SUSPENDED",
        "root_keys": [key.id for key in root_keys(world, row.id)],
    }  # fmt: skip
