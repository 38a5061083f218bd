"""OpenID Connect providers (IAM User Guide: "Create an OpenID Connect (OIDC) identity provider in IAM"; IAM-12).

AWS: without thumbprints IAM fetches the provider's certificate to make one. Nothing leaves this machine: the list stays
empty, and the keys that tokens are checked with are given to the installation.
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlsplit

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import tagging
from ringfence.api.ops.iam.pages import instant, now
from ringfence.api.ops.iam.serve import iam
from ringfence.identity.oidc import address_of
from ringfence.model.errors import fault
from ringfence.model.kinds import OIDC_PROVIDER
from ringfence.model.nouns.identity import OidcProvider
from ringfence.model.world import World, delete, put

_THUMBPRINT = re.compile("[0-9A-Fa-f]{40}")
_ARN = "OpenIDConnectProviderArn"


def _find(call: Call, world: World, params: Params) -> OidcProvider:
    """ApiError NoSuchEntity."""
    found = _maybe(call, world, params)
    if found is None:
        raise fault("NoSuchEntity", message=f"OpenIDConnect Provider not found for arn {params[_ARN]}")
    return found


def _maybe(call: Call, world: World, params: Params) -> OidcProvider | None:
    found = world.find(OIDC_PROVIDER, params[_ARN])
    return found if found is not None and found.owner_id == call.account_id else None


def _address(url: str) -> str:
    """A provider's URL without its scheme, as its ARN has it. ApiError ValidationError."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise fault("ValidationError", message="Invalid Open ID Connect Provider URL")
    return address_of(url)


def _check_lists(call: Call, clients: tuple[str, ...], thumbprints: tuple[str, ...]) -> None:
    call.check_quota("iam-client-ids-per-provider", len(clients))
    call.check_quota("iam-thumbprints-per-provider", len(thumbprints))
    if not all(_THUMBPRINT.fullmatch(text) for text in thumbprints):
        raise fault("InvalidInput", message="Thumbprint list must contain SHA-1 thumbprints of 40 hexadecimal digits.")


@iam("CreateOpenIDConnectProvider")
def create_provider(call: Call, world: World, params: Params) -> Outcome:
    """EntityAlreadyExists for a second provider of one URL."""
    address = _address(params["Url"])
    arn = f"arn:aws:iam::{call.account_id}:oidc-provider/{address}"
    clients, prints = tuple(params.get("ClientIDList") or ()), tuple(params.get("ThumbprintList") or ())
    _check_lists(call, clients, prints)
    if world.find(OIDC_PROVIDER, arn) is not None:
        raise fault("EntityAlreadyExists", message=f"Provider with url https://{address} already exists.")
    call.check_quota("iam-oidc-providers", world.count_owned(OIDC_PROVIDER, call.account_id, call.region) + 1)
    made = OidcProvider(
        id=arn, **call.owned(), url=address, client_ids=tuple(dict.fromkeys(clients)), thumbprints=prints,
        created=now(call), tags=tagging.parse(call, params.get("Tags") or ()),
    )  # fmt: skip
    return Outcome({_ARN: arn} | tagging.member(made.tags), put(OIDC_PROVIDER, made))


@iam("GetOpenIDConnectProvider")
def get_provider(call: Call, world: World, params: Params) -> Outcome:
    found = _find(call, world, params)
    shown = {
        "Url": found.url,
        "ClientIDList": list(found.client_ids),
        "ThumbprintList": list(found.thumbprints),
        "CreateDate": instant(found.created),
        "Tags": tagging.shown(found.tags),
    }
    return Outcome(shown)


@iam("ListOpenIDConnectProviders")
def list_providers(call: Call, world: World, params: Params) -> Outcome:
    return Outcome({"OpenIDConnectProviderList": [{"Arn": found.id} for found in call.mine(world, OIDC_PROVIDER)]})


@iam("UpdateOpenIDConnectProviderThumbprint")
def update_thumbprints(call: Call, world: World, params: Params) -> Outcome:
    """The list as a whole is replaced."""
    found, prints = _find(call, world, params), tuple(params["ThumbprintList"])
    _check_lists(call, (), prints)
    return Outcome({}, put(OIDC_PROVIDER, replace(found, thumbprints=prints)))


@iam("AddClientIDToOpenIDConnectProvider")
def add_client(call: Call, world: World, params: Params) -> Outcome:
    """AWS: adding a client again changes nothing."""
    found, client = _find(call, world, params), params["ClientID"]
    if client in found.client_ids:
        return Outcome({})
    _check_lists(call, (*found.client_ids, client), ())
    return Outcome({}, put(OIDC_PROVIDER, replace(found, client_ids=(*found.client_ids, client))))


@iam("RemoveClientIDFromOpenIDConnectProvider")
def remove_client(call: Call, world: World, params: Params) -> Outcome:
    """AWS: removing a client that is not there changes nothing."""
    found, client = _find(call, world, params), params["ClientID"]
    kept = tuple(held for held in found.client_ids if held != client)
    return Outcome({}, put(OIDC_PROVIDER, replace(found, client_ids=kept)))


@iam("DeleteOpenIDConnectProvider")
def delete_provider(call: Call, world: World, params: Params) -> Outcome:
    """AWS: deleting a provider that does not exist succeeds."""
    found = _maybe(call, world, params)
    return Outcome({}) if found is None else Outcome({}, delete(OIDC_PROVIDER, found.id))


tagging.tag_operations("OpenIDConnectProvider", OIDC_PROVIDER, _find)
