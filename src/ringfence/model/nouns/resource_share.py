"""Resource shares and invitations to them (AWS RAM User Guide: "Terms and concepts"; API Reference: "Data types")."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.model.row import Row

#: the service that an organization trusts to share within it without invitations
SERVICE = "ram.amazonaws.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedResource:
    """A resource in a share. `key`: `noun/id`."""

    arn: str
    key: str
    added: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SharePrincipal:
    """Whom a share is with. `id` as it was given: an account's number, or the ARN of an organization or a unit.

    `key`: the account's number, `o-…` or `ou-…`. `organization`: it is a principal as part of this organization only, without an
    invitation; None: an account that had to accept one. INVARIANT: only `accepted` ones see anything.
    """

    id: str
    key: str
    added: float
    organization: str | None = None
    accepted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceShare(Row):
    """A share of resources of its owner's. `id` is a UUID."""

    name: str
    external: bool = True  # accounts outside of the organization may be principals
    created: float
    updated: float
    resources: tuple[SharedResource, ...] = ()
    principals: tuple[SharePrincipal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareInvitation(Row):
    """An invitation of an account. `id` is a UUID; `status`: PENDING, ACCEPTED or REJECTED."""

    share_id: str
    share_name: str
    receiver: str
    status: str = "PENDING"
    sent: float
