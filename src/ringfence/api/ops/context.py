"""What an operation is given, and what it gives back."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from ringfence.api.images import Images
from ringfence.api.outside import Nothing, Outside
from ringfence.api.wire.http import Flow
from ringfence.identity.credentials import Uses
from ringfence.identity.principal import Principal
from ringfence.identity.sealing import Sealer
from ringfence.insight.analyzer.engines import Engines
from ringfence.model.accounts import find_for, visible
from ringfence.model.errors import ApiError, fault
from ringfence.model.ids import IdSource, well_formed
from ringfence.model.kinds import Kind
from ringfence.model.quotas import QUOTAS, Limits
from ringfence.model.row import Row
from ringfence.model.world import NOTHING, Change, World
from ringfence.store.buckets import BucketFiles

R = TypeVar("R", bound=Row)

#: a parsed request or a reply, by the member names of the botocore model
Params = Mapping[str, Any]


def _forgotten(_record: bytes) -> None:
    """Of a call that is only thought of."""


def _nowhere(_change: Callable[[World], Change]) -> World:
    raise fault("InternalError")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One authenticated request, apart from its parameters."""

    service: str  # ec2, sts, ...
    action: str
    region: str
    principal: Principal
    request_id: str
    now: datetime
    ids: IdSource
    limits: Limits = field(default_factory=Limits)
    images: Images = field(default_factory=Images)
    source_ip: str = "127.0.0.1"
    vpc_endpoint: str | None = None  # the gateway endpoint the request came through, and the VPC it came from
    source_vpc: str | None = None
    user_agent: str = ""
    secure: bool = False  # over TLS
    sealer: Sealer | None = None  # None: an installation without secrets of its own
    uses: Uses = field(default_factory=Uses)
    outside: Outside = field(default_factory=Nothing)
    objects: BucketFiles | None = None  # None: an installation without buckets
    approved_only: bool = False  # nothing but algorithms that FIPS approves
    engines: Engines = field(default_factory=Engines)  # of analyses: what one has worked out serves the next
    #: takes the audit record of what this call makes another service do
    witness: Callable[[bytes], None] = _forgotten
    #: commits what a first use makes, and gives the World with it. Only where the store is not locked: never in an operation that
    #: changes the World, which returns the change with its own
    commit: Callable[[Callable[[World], Change]], World] = _nowhere

    @property
    def account_id(self) -> str:
        return self.principal.account_id

    @property
    def timestamp(self) -> str:
        """`now` as AWS prints it: 2026-01-02T03:04:05.678Z."""
        return self.now.isoformat(timespec="milliseconds")[:23] + "Z"

    def get(self, world: World, kind: Kind[R], id: str) -> R:
        """The row the caller names, if it is of this Region and the account's own or shared with it; the kind's own error otherwise."""
        row: R | None = find_for(world, kind, id, self.account_id, self.region)
        if row is None:
            raise fault(kind.not_found if well_formed(kind.prefix, id) else kind.malformed, id=id)
        return row

    def owned_row(self, world: World, kind: Kind[R], id: str) -> R:
        """The row the caller names, to be changed. ApiError OperationNotPermitted when it is only shared with the account (PL-10)."""
        row = self.get(world, kind, id)
        if row.owner_id != self.account_id:
            raise fault("OperationNotPermitted", message=f"The {kind.noun} '{id}' is not owned by this account")
        return row

    def visible(self, world: World, kind: Kind[R]) -> list[R]:
        """All rows of a kind that the caller may see in this Region: its own, then those of others."""
        return visible(world, kind, self.account_id, self.region)

    def mine(self, world: World, kind: Kind[R]) -> list[R]:
        """All rows of a kind that the caller's account has in this Region, in order of creation."""
        return world.all(kind, self.account_id, self.region)

    def seal(self, secret: bytes, purpose: str) -> str:
        """A secret as it may be stored (DATA-04). ApiError ServiceFailure without a sealing key."""
        if self.sealer is None:
            raise fault("ServiceFailure")
        return base64.b64encode(self.sealer.seal(secret, purpose)).decode()

    def unseal(self, sealed: str, purpose: str) -> bytes:
        """What `seal` was given. ApiError ServiceFailure without the key; SealError."""
        if self.sealer is None:
            raise fault("ServiceFailure")
        return self.sealer.open(base64.b64decode(sealed), purpose)

    def owned(self) -> dict[str, Any]:
        """`owner_id` and `region` for a new row."""
        return {"owner_id": self.account_id, "region": self.region}

    def check_quota(self, name: str, wanted: int, **fields: Any) -> None:
        """ApiError with the quota's own code when `wanted` (the count after this call) exceeds it."""
        if wanted > self.limits[name]:
            quota = QUOTAS[name]
            raise fault(quota.error, limit=self.limits[name], quota=quota.label, **fields)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an operation decided: the change to commit (maybe none) and the reply.

    `caller`: who a call without a signature turned out to be from, for the record. `touched`: the ARNs of the resources that
    the record names besides, `additional`: what it says besides (`additionalEventData`). `shared`: what it has in common with the
    records of the same call in other accounts. `flow`: what comes after the reply, piece by piece.
    """

    reply: Params
    change: Change = NOTHING
    caller: Principal | None = None
    touched: tuple[str, ...] = ()
    additional: Params | None = None
    shared: str = ""
    flow: Flow | None = None


class KnownCaller(ApiError):
    """The refusal of a call without a signature after its token told who calls."""

    def __init__(self, error: ApiError, caller: Principal) -> None:
        super().__init__(error.code, error.status, error.message, error.detail, error.reason)
        self.caller = caller


class Form:
    """A structure that occurs many times with nothing but a few values different: written once, then filled in.

    `make(*values)` gives the members. Values must be text without markup and with nothing to escape, or whole numbers.
    """

    __slots__ = ("count", "make")

    def __init__(self, count: int, make: Callable[..., Params]) -> None:
        self.count, self.make = count, make


@dataclass(slots=True)
class Filled:
    """A Form's structure with these values."""

    form: Form
    values: tuple[str | int, ...]

    def fill(self) -> Params:
        return self.form.make(*self.values)


@dataclass(slots=True)  # not frozen: a thousand of them are made for one reply
class Memo:
    """A structure in a reply that depends on nothing but `row` (and `tag`): its bytes may be reused.

    The serialiser remembers them by the identity of `row`. `fill` gives the members when they are needed.
    """

    row: Any
    tag: str
    fill: Any  # Callable[[], Params]
    written: tuple[Any, bytes] | None = None  # the serialiser's: the list's shape, and the item as it stands in it
