"""Member accounts: made, moved, closed, released (AWS Organizations User Guide: "Managing accounts in an organization").

An account is there when CreateAccount answers, so that its status is SUCCEEDED at once. Billing does not exist here, so that
IamUserAccessToBilling has nothing to open.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.organizations.nodes import (
    account,
    members,
    node,
    parent,
    parse_tags,
    put_node,
    show_account,
)
from ringfence.api.ops.organizations.organization import join, leave
from ringfence.api.ops.organizations.serve import (
    Caller,
    letters,
    moment,
    now,
    organizations,
    own_organization,
    page,
    violation,
)
from ringfence.identity.accounts import new_account
from ringfence.identity.identifiers import unique_id
from ringfence.model.errors import fault
from ringfence.model.kinds import ACCOUNT, ACCOUNT_REQUEST, ROLE
from ringfence.model.nouns.identity import Role
from ringfence.model.nouns.organization import Account, AccountRequest, Organization
from ringfence.model.world import NOTHING, Change, World, put

ROLE_NAME = "OrganizationAccountAccessRole"
_ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
_DAY = 86_400.0
#: AWS: a created account stays for at least four days
WAIT_DAYS = 4


# ---------------------------------------------------------------------- making
@organizations("CreateAccount")
def create_account(call: Call, world: World, params: Params) -> Outcome:
    """A member with a role that the management account may assume.

    ApiError ConstraintViolationException, InvalidInputException. An e-mail address in use is told by the request's status.
    """
    organization = own_organization(call, world)
    if len(members(world, organization)) + 1 > call.limits["organizations-accounts"]:
        raise violation("ACCOUNT_NUMBER_LIMIT_EXCEEDED", "You have exceeded the allowed number of AWS accounts.")
    tags = parse_tags(call, params.get("Tags"))
    request = AccountRequest(
        id=f"car-{letters(call.ids, 32)}", **call.owned(), organization=organization.id, name=params["AccountName"],
        requested=now(call),
    )  # fmt: skip
    if world.by(ACCOUNT, "email", params["Email"].lower()):
        request = replace(request, failure="EMAIL_ALREADY_EXISTS")
        return Outcome({"CreateAccountStatus": _show_request(request)}, put(ACCOUNT_REQUEST, request))
    made = new_account(world, call.ids, name=params["AccountName"], email=params["Email"], now=now(call))
    made = replace(join(made, organization, invited=False, at=now(call)), tags=tags)
    request = replace(request, account=made.id)
    change = (
        put_node(made) + _access_role(call, made, params.get("RoleName") or ROLE_NAME) + put(ACCOUNT_REQUEST, request)
    )
    return Outcome({"CreateAccountStatus": _show_request(request)}, change)


def _access_role(call: Call, made: Account, name: str) -> Change:
    """AWS: an administrator's role in the new account, trusted to the management account."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{call.account_id}:root"},
        "Action": "sts:AssumeRole",
    }
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))
    role = Role(
        id=unique_id(call.ids, "AROA"), owner_id=made.id, region=call.region, name=name, created=now(call), trust=trust,
        managed=(_ADMINISTRATOR,),
    )  # fmt: skip
    return put(ROLE, role)


def _show_request(request: AccountRequest) -> dict[str, Any]:
    return {
        "Id": request.id,
        "AccountName": request.name,
        "State": "SUCCEEDED" if request.failure is None else "FAILED",
        "RequestedTimestamp": moment(request.requested),
        "CompletedTimestamp": moment(request.requested),
        "AccountId": request.account,
        "FailureReason": request.failure,
    }


@organizations("DescribeCreateAccountStatus")
def describe_create_account_status(call: Call, world: World, params: Params) -> Outcome:
    """ApiError CreateAccountStatusNotFoundException."""
    found = world.find(ACCOUNT_REQUEST, params["CreateAccountRequestId"])
    if found is None or found.organization != own_organization(call, world).id:
        raise fault("CreateAccountStatusNotFoundException")
    return Outcome({"CreateAccountStatus": _show_request(found)})


@organizations("ListCreateAccountStatus")
def list_create_account_status(call: Call, world: World, params: Params) -> Outcome:
    rows = [_show_request(row) for row in world.by(ACCOUNT_REQUEST, "organization", own_organization(call, world).id)]
    states = params.get("States")
    shown, more = page([row for row in rows if not states or row["State"] in states], params)
    return Outcome({"CreateAccountStatuses": shown, **more})


# ---------------------------------------------------------------------- reading
@organizations("ListAccounts")
def list_accounts(call: Call, world: World, params: Params) -> Outcome:
    organization = own_organization(call, world)
    found, more = page(members(world, organization), params)
    return Outcome({"Accounts": [show_account(world, organization, one) for one in found], **more})


@organizations("DescribeAccount")
def describe_account(call: Call, world: World, params: Params) -> Outcome:
    """ApiError AccountNotFoundException."""
    found = account(call, world, params["AccountId"])
    return Outcome({"Account": show_account(world, own_organization(call, world), found)})


@organizations("ListAccountsForParent")
def list_accounts_for_parent(call: Call, world: World, params: Params) -> Outcome:
    """ApiError ParentNotFoundException."""
    organization = own_organization(call, world)
    parent(call, world, params["ParentId"])
    found, more = page(world.by(ACCOUNT, "parent", params["ParentId"]), params)
    return Outcome({"Accounts": [show_account(world, organization, one) for one in found], **more})


# ---------------------------------------------------------------------- changing
@organizations("MoveAccount")
def move_account(call: Call, world: World, params: Params) -> Outcome:
    """ApiError AccountNotFound, SourceParentNotFound, DestinationParentNotFound and DuplicateAccountException."""
    found = account(call, world, params["AccountId"])
    source, destination = params["SourceParentId"], params["DestinationParentId"]
    parent(call, world, source, "SourceParentNotFoundException")
    parent(call, world, destination, "DestinationParentNotFoundException")
    if found.parent == destination:
        raise fault("DuplicateAccountException")
    if found.parent != source:
        raise fault("SourceParentNotFoundException")
    return Outcome({}, put_node(replace(found, parent=destination)))


@organizations("CloseAccount")
def close_account(call: Call, world: World, params: Params) -> Outcome:
    """Its credentials open nothing any more; its resources stay, as AWS keeps them for 90 days.

    ApiError AccountNotFoundException, AccountAlreadyClosedException, ConstraintViolationException.
    """
    organization, found = own_organization(call, world), account(call, world, params["AccountId"])
    if found.id == organization.owner_id:
        raise violation("CANNOT_CLOSE_MANAGEMENT_ACCOUNT", "You cannot close the management account.")
    if found.closed is not None:
        raise fault("AccountAlreadyClosedException", id=found.id)
    if _closed_lately(call, world, organization) >= max(10, len(members(world, organization)) // 10):
        text = "You have exceeded the quota of accounts that may be closed within 30 days."
        raise violation("CLOSE_ACCOUNT_QUOTA_EXCEEDED", text)
    return Outcome({}, put_node(replace(found, closed=now(call))))


def _closed_lately(call: Call, world: World, organization: Organization) -> int:
    since = now(call) - 30 * _DAY
    return sum(1 for one in members(world, organization) if one.closed is not None and one.closed > since)


@organizations("RemoveAccountFromOrganization")
def remove_account(call: Call, world: World, params: Params) -> Outcome:
    """ApiError AccountNotFound, MasterCannotLeaveOrganization and ConstraintViolationException."""
    return Outcome({}, _released(call, world, account(call, world, params["AccountId"])))


@organizations("LeaveOrganization", Caller.MEMBER)
def leave_organization(call: Call, world: World, params: Params) -> Outcome:
    """Called by the member. ApiError MasterCannotLeaveOrganization and ConstraintViolationException."""
    found = node(call, world, call.account_id, "AccountNotFoundException")
    assert isinstance(found, Account)
    return Outcome({}, _released(call, world, found))


def _released(call: Call, world: World, found: Account) -> Change:
    if found.id == own_organization(call, world).owner_id:
        raise fault("MasterCannotLeaveOrganizationException")
    if found.closed is not None:
        raise violation("ACCOUNT_CANNOT_LEAVE_ORGANIZATION", "A closed account cannot leave the organization.")
    if not found.invited and now(call) < found.created + WAIT_DAYS * _DAY:
        text = f"An account that was created in an organization stays in it for at least {WAIT_DAYS} days."
        raise violation("WAIT_PERIOD_ACTIVE", text)
    return NOTHING + put_node(leave(found))
