"""Regions and Availability Zones (Amazon EC2 User Guide: "Regions and Zones", read 2026-11).

Region -> (zone id prefix, letters of the zones with id 1, 2, ...). Zone ids are the same for every account; which
letter has which id differs between accounts on AWS, and is the same for all here (NET-14).
"""

from __future__ import annotations

from dataclasses import dataclass

#: a new Region goes to the end: the addresses of S3 follow the order (endpoints.py)
_REGIONS: dict[str, tuple[str, str, str]] = {
    "us-east-1": ("use1", "bcedfa", "opt-in-not-required"),
    "us-east-2": ("use2", "abc", "opt-in-not-required"),
    "us-west-1": ("usw1", "abc", "opt-in-not-required"),
    "us-west-2": ("usw2", "abcd", "opt-in-not-required"),
    "ap-south-1": ("aps1", "abc", "opt-in-not-required"),
    "ap-northeast-1": ("apne1", "abcd", "opt-in-not-required"),
    "ap-northeast-2": ("apne2", "abcd", "opt-in-not-required"),
    "ap-northeast-3": ("apne3", "abc", "opt-in-not-required"),
    "ap-southeast-1": ("apse1", "abc", "opt-in-not-required"),
    "ap-southeast-2": ("apse2", "abc", "opt-in-not-required"),
    "ca-central-1": ("cac1", "abd", "opt-in-not-required"),
    "eu-central-1": ("euc1", "abc", "opt-in-not-required"),
    "eu-west-1": ("euw1", "abc", "opt-in-not-required"),
    "eu-west-2": ("euw2", "abc", "opt-in-not-required"),
    "eu-west-3": ("euw3", "abc", "opt-in-not-required"),
    "eu-north-1": ("eun1", "abc", "opt-in-not-required"),
    "sa-east-1": ("sae1", "abc", "opt-in-not-required"),
    "af-south-1": ("afs1", "abc", "opted-in"),
    "ap-east-1": ("ape1", "abc", "opted-in"),
    "ap-east-2": ("ape2", "abc", "opted-in"),
    "ap-south-2": ("aps2", "abc", "opted-in"),
    "ap-southeast-3": ("apse3", "abc", "opted-in"),
    "ap-southeast-4": ("apse4", "abc", "opted-in"),
    "ap-southeast-5": ("apse5", "abc", "opted-in"),
    "ap-southeast-6": ("apse6", "abc", "opted-in"),
    "ap-southeast-7": ("apse7", "abc", "opted-in"),
    "ca-west-1": ("caw1", "abc", "opted-in"),
    "eu-central-2": ("euc2", "abc", "opted-in"),
    "eu-south-1": ("eus1", "abc", "opted-in"),
    "eu-south-2": ("eus2", "abc", "opted-in"),
    "il-central-1": ("ilc1", "abc", "opted-in"),
    "me-central-1": ("mec1", "abc", "opted-in"),
    "me-south-1": ("mes1", "abc", "opted-in"),
    "mx-central-1": ("mxc1", "abc", "opted-in"),
}


@dataclass(frozen=True, slots=True)
class Zone:
    """An Availability Zone."""

    name: str
    id: str
    region: str


@dataclass(frozen=True, slots=True)
class Region:
    """A Region and its zones."""

    name: str
    opt_in_status: str
    zones: tuple[Zone, ...]

    def zone(self, name_or_id: str) -> Zone | None:
        """The zone of that name or id."""
        return next((zone for zone in self.zones if name_or_id in (zone.name, zone.id)), None)

    @property
    def private_domain(self) -> str:
        """DNS-04."""
        return private_domain(self.name)


def _region(name: str, prefix: str, letters: str, status: str) -> Region:
    zones = [Zone(name + letter, f"{prefix}-az{number}", name) for number, letter in enumerate(letters, 1)]
    return Region(name, status, tuple(sorted(zones, key=lambda zone: zone.name)))


def private_domain(region: str) -> str:
    """The domain of a Region's private names, also of one that is not served here, as imported networks may be (DNS-04)."""
    return "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"


REGIONS: dict[str, Region] = {name: _region(name, *row) for name, row in _REGIONS.items()}
