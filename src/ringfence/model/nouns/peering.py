"""VPC peering connections (Amazon VPC Peering Guide: "How VPC peering connections work")."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ringfence.model.row import Row, Tags


class PeeringStatus(enum.StrEnum):
    """PCX-01, with AWS's names."""

    INITIATING_REQUEST = "initiating-request"
    PENDING_ACCEPTANCE = "pending-acceptance"
    PROVISIONING = "provisioning"
    ACTIVE = "active"
    REJECTED = "rejected"
    FAILED = "failed"
    EXPIRED = "expired"
    DELETING = "deleting"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeeringSide:
    """One VPC of the two. `resolve_names`: names of this VPC's instances mean private addresses to the other (PCX-08)."""

    vpc_id: str
    owner_id: str
    region: str
    resolve_names: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PeeringConnection(Row):
    """A peering connection; the row is the requester's. Packets pass while it is ACTIVE, by routes of both sides (PCX-05).

    `expires`: when nobody has accepted by then (PCX-02); `ended`: when it was rejected, failed, expired or was deleted
    (PCX-12), both in seconds since 1970, UTC; `ended_by`: the account that did. `tags` are the requester's; the other
    side has tags of its own.
    """

    requester: PeeringSide
    accepter: PeeringSide
    status: PeeringStatus
    message: str
    created: float
    expires: float
    ended: float | None = None
    ended_by: str | None = None
    accepter_tags: Tags = ()

    @property
    def same_region(self) -> bool:
        """Only then may groups of one side be named by the other (PCX-09), and are packets as large as in a VPC (PCX-10)."""
        return self.requester.region == self.accepter.region

    def far_side(self, vpc_id: str) -> PeeringSide:
        """The other side. `vpc_id` must be one of the two."""
        return self.accepter if self.requester.vpc_id == vpc_id else self.requester
