"""How the operations of AWS RAM enter the registry, and what they have in common: ARNs, pages, views (API Reference)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import register
from ringfence.model.accounts import account_of, shares_reaching
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import ORGANIZATION, RESOURCE_SHARE, SHARE_INVITATION
from ringfence.model.nouns.organization import Organization
from ringfence.model.nouns.resource_share import SERVICE, ResourceShare, SharedResource, SharePrincipal
from ringfence.model.row import Tags
from ringfence.model.world import World

T = TypeVar("T")
MAX_PAGE = 500
SELF, OTHERS = "SELF", "OTHER-ACCOUNTS"
#: `ec2:PrefixList`: RAM's name of what can be shared here
PREFIX_LIST_TYPE = "ec2:PrefixList"
Handler = Callable[[Call, World, Params], Outcome]


def ram(action: str) -> Callable[[Handler], Handler]:
    """Serve `ram:ACTION`. A clientToken that was given comes back."""

    def enter(handler: Handler) -> Handler:
        def handle(call: Call, world: World, params: Params) -> Outcome:
            outcome = handler(call, world, params)
            token = params.get("clientToken")
            return outcome if token is None else Outcome({**outcome.reply, "clientToken": token}, outcome.change)

        register(f"ram:{action}", handle, mutating=not action.startswith(("Get", "List")), module=handler.__module__)
        return handler

    return enter


def invalid(message: str) -> ApiError:
    return fault("InvalidParameterException", message=message)


def refused(message: str) -> ApiError:
    return fault("OperationNotPermittedException", message=message)


def now(call: Call) -> float:
    return float(int(call.now.timestamp()))


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# ---------------------------------------------------------------------- what is named
_ARN = re.compile(r"arn:aws:ram:([a-z0-9-]+):([0-9]{12}):(resource-share|resource-share-invitation)/([0-9a-f-]{36})")


def id_of(arn: Any, kind: str) -> str:
    """The id in the ARN of a share or invitation. ApiError MalformedArnException."""
    found = _ARN.fullmatch(str(arn or ""))
    if found is None or found[3] != kind:
        raise fault("MalformedArnException", arn=str(arn)[:200])
    return found[4]


def own_share(call: Call, world: World, arn: Any) -> ResourceShare:
    """The caller's share. ApiError MalformedArnException, UnknownResourceException."""
    row = world.find(RESOURCE_SHARE, id_of(arn, "resource-share"))
    if row is None or row.owner_id != call.account_id or row.region != call.region or RESOURCE_SHARE.arn(row) != arn:
        raise fault("UnknownResourceException", message=f"ResourceShare {arn} could not be found.")
    return row


def shares_of(call: Call, world: World, owner: Any) -> list[ResourceShare]:
    """The caller's shares, or those of others that reach it. ApiError InvalidParameterException."""
    if owner == SELF:
        return world.all(RESOURCE_SHARE, call.account_id, call.region)
    if owner == OTHERS:
        return shares_reaching(world, call.account_id, call.region)
    raise invalid(f"{owner} is not a valid resource owner. Specify either SELF or OTHER-ACCOUNTS and try again.")


def trusted(world: World, account_id: str) -> Organization | None:
    """The account's organization, if sharing within it was enabled."""
    organization = world.find(ORGANIZATION, account_of(world, account_id).organization)
    enabled = organization is not None and any(access.principal == SERVICE for access in organization.services)
    return organization if enabled else None


# ---------------------------------------------------------------------- views
def tag_list(tags: Tags) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags]


def parse_tags(given: Iterable[Params], held: Tags = ()) -> Tags:
    """`held` with these tags. ApiError InvalidParameterException, TagLimitExceededException."""
    merged = dict(held)
    for tag in given:
        key, value = str(tag.get("key") or ""), str(tag.get("value") or "")
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise invalid(f"The tag key {key[:128]} is not valid.")
        merged[key] = value
    if len(merged) > 50:
        raise fault("TagLimitExceededException")
    return tuple(merged.items())


def share_view(share: ResourceShare, *, own: bool = True) -> dict[str, Any]:
    out: dict[str, Any] = {
        "resourceShareArn": RESOURCE_SHARE.arn(share), "name": share.name, "owningAccountId": share.owner_id,
        "allowExternalPrincipals": share.external, "status": "ACTIVE", "creationTime": moment(share.created),
        "lastUpdatedTime": moment(share.updated), "featureSet": "STANDARD",
    }  # fmt: skip
    return out | ({"tags": tag_list(share.tags)} if own else {})  # tags are not shared


def resource_view(share: ResourceShare, held: SharedResource, status: str = "ASSOCIATED") -> dict[str, Any]:
    return _association(share, held.arn, "RESOURCE", status, held.added) | {"external": False}


def principal_view(
    world: World, share: ResourceShare, held: SharePrincipal, status: str | None = None
) -> dict[str, Any]:
    shown = status or ("ASSOCIATED" if held.accepted else "ASSOCIATING")
    return _association(share, held.id, "PRINCIPAL", shown, held.added) | {"external": external(world, share, held)}


def external(world: World, share: ResourceShare, held: SharePrincipal) -> bool:
    """Is the principal outside of the owner's organization?"""
    home = account_of(world, share.owner_id).organization
    return held.organization is None and (home is None or account_of(world, held.key).organization != home)


def _association(share: ResourceShare, entity: str, type: str, status: str, added: float) -> dict[str, Any]:
    return {
        "resourceShareArn": RESOURCE_SHARE.arn(share), "resourceShareName": share.name, "associatedEntity": entity,
        "associationType": type, "status": status, "creationTime": moment(added), "lastUpdatedTime": moment(added),
    }  # fmt: skip


def invitation_arn(row: Any) -> str:
    return SHARE_INVITATION.arn(row)


def paged(items: Sequence[T], params: Params) -> tuple[list[T], dict[str, Any]]:
    """The items that nextToken and maxResults ask for. ApiError InvalidNextTokenException, InvalidParameterException."""
    token, limit = params.get("nextToken"), params.get("maxResults")
    limit = MAX_PAGE if limit is None else limit
    if not 1 <= limit <= MAX_PAGE:
        raise invalid(f"maxResults must be between 1 and {MAX_PAGE}.")
    if token is not None and not (str(token).isascii() and str(token).isdigit() and 0 < int(token) < 10**9):
        raise fault("InvalidNextTokenException", message="The specified value for nextToken is not valid.")
    start = int(token or 0)
    end = start + limit
    return list(items[start:end]), ({"nextToken": str(end)} if end < len(items) else {})
