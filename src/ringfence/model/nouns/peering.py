"""VPC peering connections (Amazon VPC Peering Guide: "How VPC peering connections work")."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ringfence.model.row import Row


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
    (PCX-12). Both in seconds since 1970, UTC.
    """

    requester: PeeringSide
    accepter: PeeringSide
    status: PeeringStatus
    message: str
    created: float
    expires: float
    ended: float | None = None

    def far_side(self, vpc_id: str) -> PeeringSide:
        """The other side. `vpc_id` must be one of the two."""
        return self.accepter if self.requester.vpc_id == vpc_id else self.requester
