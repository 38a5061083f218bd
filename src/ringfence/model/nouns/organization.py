"""Accounts of an installation and the organizations over them (AWS Organizations API Reference: "Data types").

Their Region is `aws-global`. An account that was never named by an account or organization call (that of the installation's
own root key) has no row; `accounts.account_of` tells what is known of it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ringfence.model.row import Row


class PolicyType(enum.StrEnum):
    """The types of organization policy that bind here."""

    SERVICE_CONTROL = "SERVICE_CONTROL_POLICY"  # limits what principals of an account may do
    RESOURCE_CONTROL = "RESOURCE_CONTROL_POLICY"  # limits what anybody may do to resources of an account


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(Row):
    """A place that policies are attached to: the root, a unit, an account. `policies`: their ids."""

    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(Node):
    """An account. `id` and `owner_id` are its number.

    INVARIANT: `organization` and `parent` (the root's or a unit's id) are both set, or neither.
    """

    name: str
    email: str
    created: float  # seconds since 1970, UTC
    organization: str | None = None
    parent: str | None = None
    invited: bool = False  # how it joined: by an invitation, or made in the organization
    joined: float | None = None
    closed: float | None = None  # its credentials open nothing from then on


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccess:
    """A service that may work in every account of an organization."""

    principal: str
    enabled: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization(Node):
    """An organization and its root. `id`: o-…; `owner_id`: the management account; `policies` and `tags` are the root's."""

    root: str  # r-…
    created: float
    all_features: bool = True
    enabled: tuple[str, ...] = ()  # policy types
    services: tuple[ServiceAccess, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationalUnit(Node):
    """A unit. `id`: ou-…; `parent`: the root or another unit."""

    organization: str
    parent: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationPolicy(Row):
    """A policy of an organization. `id`: p-…; `type`: a PolicyType's value."""

    organization: str
    name: str
    description: str = ""
    type: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRequest(Row):
    """What became of a CreateAccount. `id`: car-…; `failure` None = the account `account` exists."""

    organization: str
    name: str
    requested: float
    account: str | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake(Row):
    """An invitation into an organization. `id`: h-…; `target`: an account's number, or an e-mail address."""

    organization: str
    target: str
    state: str = "OPEN"
    requested: float
    expires: float
    notes: str | None = None
    account_tags: tuple[tuple[str, str], ...] = ()  # put on the account when it accepts
