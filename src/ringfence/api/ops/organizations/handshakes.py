"""Invitations of existing accounts (AWS Organizations User Guide: "Inviting an AWS account to join your organization")."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.organizations.nodes import arn, members, parse_tags, put_node
from ringfence.api.ops.organizations.organization import join
from ringfence.api.ops.organizations.serve import (
    Caller,
    invalid_input,
    letters,
    moment,
    now,
    organizations,
    own_organization,
    page,
)
from ringfence.model.accounts import account_of
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import ACCOUNT, HANDSHAKE, ORGANIZATION
from ringfence.model.nouns.organization import Account, Handshake, Organization
from ringfence.model.world import NOTHING, World, put

#: AWS: an invitation lasts this long, and its record stays this long after it ended
VALID_SECONDS, SHOWN_SECONDS = 15 * 86_400.0, 30 * 86_400.0


def _state(call: Call, found: Handshake) -> str:
    return "EXPIRED" if found.state == "OPEN" and found.expires <= now(call) else found.state


def _show(call: Call, world: World, found: Handshake) -> dict[str, Any]:
    organization = world.find(ORGANIZATION, found.organization)
    if organization is None:  # not possible: handshakes go with their organization
        raise fault("HandshakeNotFoundException")
    kind = "EMAIL" if "@" in found.target else "ACCOUNT"
    management = account_of(world, organization.owner_id)
    about = [
        {"Type": "MASTER_EMAIL", "Value": management.email},
        {"Type": "MASTER_NAME", "Value": management.name},
        {"Type": "ORGANIZATION_FEATURE_SET", "Value": "ALL" if organization.all_features else "CONSOLIDATED_BILLING"},
    ]
    resources = [
        {"Type": "ORGANIZATION", "Value": organization.id, "Resources": about},
        {"Type": kind, "Value": found.target},
    ]
    if found.notes:
        resources.append({"Type": "NOTES", "Value": found.notes})
    return {
        "Id": found.id,
        "Arn": arn(organization, "handshake", f"invite/{found.id}"),
        "Parties": [{"Id": organization.id[2:], "Type": "ORGANIZATION"}, {"Id": found.target, "Type": kind}],
        "State": _state(call, found),
        "RequestedTimestamp": moment(found.requested),
        "ExpirationTimestamp": moment(found.expires),
        "Action": "INVITE",
        "Resources": resources,
    }


def _names(call: Call, world: World) -> set[str]:
    """How an invitation may name the caller's account."""
    return {call.account_id, account_of(world, call.account_id).email.lower()}


def _broken(reason: str, message: str) -> ApiError:
    return fault("HandshakeConstraintViolationException", message=message, reason=reason)


# ---------------------------------------------------------------------- the organization's side
@organizations("InviteAccountToOrganization")
def invite_account(call: Call, world: World, params: Params) -> Outcome:
    """ApiError DuplicateHandshakeException, HandshakeConstraintViolationException, InvalidInputException."""
    organization, target = own_organization(call, world), _invited(world, params["Target"])
    tags = parse_tags(call, params.get("Tags"))
    if account_of(world, target).organization == organization.id:
        raise _broken("ALREADY_IN_AN_ORGANIZATION", "The account is already a member of an organization.")
    open_ones = [one for one in world.by(HANDSHAKE, "target", target.lower()) if one.organization == organization.id]
    if any(_state(call, one) == "OPEN" for one in open_ones):
        raise fault("DuplicateHandshakeException")
    _check_room(call, world, organization)
    made = Handshake(
        id=f"h-{letters(call.ids, 32)}", **call.owned(), organization=organization.id, target=target, requested=now(call),
        expires=now(call) + VALID_SECONDS, notes=params.get("Notes"), account_tags=tags,
    )  # fmt: skip
    return Outcome({"Handshake": _show(call, world, made)}, put(HANDSHAKE, made))


def _invited(world: World, target: Params) -> str:
    """An account's number; an e-mail address stays one when no account here has it. ApiError InvalidInputException."""
    kind, id = target["Type"], target["Id"]
    if kind == "ACCOUNT" and len(id) == 12 and id.isascii() and id.isdigit():
        return str(id)
    if kind == "EMAIL" and "@" in id:
        held = world.by(ACCOUNT, "email", id.lower())
        return held[0].id if held else str(id)
    reason = "INVALID_PARTY_TYPE_TARGET" if kind not in ("ACCOUNT", "EMAIL") else "INVALID_PATTERN_TARGET_ID"
    raise invalid_input(reason, "You specified a target that is neither an account ID nor an e-mail address.")


def _check_room(call: Call, world: World, organization: Organization) -> None:
    if len(members(world, organization)) + 1 > call.limits["organizations-accounts"]:
        raise _broken("ACCOUNT_NUMBER_LIMIT_EXCEEDED", "You have exceeded the allowed number of AWS accounts.")


@organizations("CancelHandshake")
def cancel_handshake(call: Call, world: World, params: Params) -> Outcome:
    """By the management account that sent it."""
    return _end(call, world, _found(call, world, params, sender=True), "CANCELED")


@organizations("ListHandshakesForOrganization")
def list_for_organization(call: Call, world: World, params: Params) -> Outcome:
    return _listed(call, world, world.by(HANDSHAKE, "organization", own_organization(call, world).id), params)


# ---------------------------------------------------------------------- the account's side
@organizations("AcceptHandshake", Caller.ANYONE)
def accept_handshake(call: Call, world: World, params: Params) -> Outcome:
    """The caller's account joins. ApiError HandshakeNotFound, HandshakeAlreadyInState, HandshakeConstraintViolation…"""
    found = _found(call, world, params, sender=False)
    ended = _end(call, world, found, "ACCEPTED")
    account, organization = account_of(world, call.account_id), world.find(ORGANIZATION, found.organization)
    assert organization is not None
    if account.organization is not None:
        raise _broken("ALREADY_IN_AN_ORGANIZATION", "The account is already a member of an organization.")
    _check_room(call, world, organization)
    joined: Account = replace(join(account, organization, invited=True, at=now(call)), tags=found.account_tags)
    return Outcome(ended.reply, ended.change + put_node(joined))


@organizations("DeclineHandshake", Caller.ANYONE)
def decline_handshake(call: Call, world: World, params: Params) -> Outcome:
    return _end(call, world, _found(call, world, params, sender=False), "DECLINED")


@organizations("ListHandshakesForAccount", Caller.ANYONE)
def list_for_account(call: Call, world: World, params: Params) -> Outcome:
    names = _names(call, world)
    return _listed(call, world, [one for name in names for one in world.by(HANDSHAKE, "target", name)], params)


@organizations("DescribeHandshake", Caller.ANYONE)
def describe_handshake(call: Call, world: World, params: Params) -> Outcome:
    """By either party. ApiError HandshakeNotFoundException, AccessDeniedException."""
    found = world.find(HANDSHAKE, params["HandshakeId"])
    if found is None:
        raise fault("HandshakeNotFoundException")
    if found.owner_id != call.account_id and found.target.lower() not in _names(call, world):
        raise _stranger()
    return Outcome({"Handshake": _show(call, world, found)})


# ---------------------------------------------------------------------- small parts
def _stranger() -> ApiError:
    return fault("AccessDeniedException", message="You don't have permissions to access this resource.")


def _found(call: Call, world: World, params: Params, *, sender: bool) -> Handshake:
    """The handshake that the caller, as its sender or its target, may end."""
    found = world.find(HANDSHAKE, params["HandshakeId"])
    if found is None:
        raise fault("HandshakeNotFoundException")
    if not (found.owner_id == call.account_id if sender else found.target.lower() in _names(call, world)):
        raise _stranger()
    return found


def _end(call: Call, world: World, found: Handshake, state: str) -> Outcome:
    """ApiError HandshakeAlreadyInStateException, InvalidHandshakeTransitionException."""
    held = _state(call, found)
    if held == state:
        raise fault("HandshakeAlreadyInStateException", state=held)
    if held != "OPEN":
        raise fault("InvalidHandshakeTransitionException", state=held, wanted=state)
    ended = replace(found, state=state)
    return Outcome({"Handshake": _show(call, world, ended)}, NOTHING + put(HANDSHAKE, ended))


def _listed(call: Call, world: World, rows: list[Handshake], params: Params) -> Outcome:
    wanted = (params.get("Filter") or {}).get("ActionType")
    kept = [one for one in rows if wanted in (None, "INVITE") and one.expires + SHOWN_SECONDS > now(call)]
    shown, more = page(kept, params)
    return Outcome({"Handshakes": [_show(call, world, one) for one in shown], **more})
