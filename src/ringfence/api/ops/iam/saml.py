"""SAML 2.0 providers (IAM User Guide: "Create a SAML identity provider in IAM"; IAM-12).

Encrypted assertions are not supported: a private key or an encryption mode is refused, never ignored.
"""

from __future__ import annotations

from dataclasses import replace

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import tagging
from ringfence.api.ops.iam.entities import taken_arn
from ringfence.api.ops.iam.pages import instant, now
from ringfence.api.ops.iam.serve import iam
from ringfence.identity.saml import AssertionFault, read_metadata
from ringfence.model.errors import fault
from ringfence.model.kinds import SAML_PROVIDER
from ringfence.model.nouns.identity import SamlProvider
from ringfence.model.world import World, delete, put

_YEARS = 100 * 365.25 * 86_400  # AWS: the validity of metadata that names none


def _find(call: Call, world: World, params: Params) -> SamlProvider:
    """ApiError NoSuchEntity."""
    arn = params["SAMLProviderArn"]
    found = world.find(SAML_PROVIDER, arn)
    if found is None or found.owner_id != call.account_id:
        raise fault("NoSuchEntity", message=f"SAMLProvider not found for arn {arn}")
    return found


def _valid_until(metadata: str, created: float) -> float:
    """When the metadata ends. ApiError InvalidInput for what is no provider's metadata."""
    try:
        found = read_metadata(metadata)
    except AssertionFault as problem:
        raise fault("InvalidInput", message=f"Could not parse metadata: {problem}") from None
    return created + _YEARS if found.valid_until is None else found.valid_until.timestamp()


def _check_encryption(params: Params) -> None:
    for name in ("AssertionEncryptionMode", "AddPrivateKey", "RemovePrivateKey"):
        if params.get(name) is not None:
            raise fault("UnsupportedOperation", message="Encrypted SAML assertions are not supported here")


@iam("CreateSAMLProvider")
def create_provider(call: Call, world: World, params: Params) -> Outcome:
    """EntityAlreadyExists, InvalidInput for metadata that cannot be read."""
    _check_encryption(params)
    arn = f"arn:aws:iam::{call.account_id}:saml-provider/{params['Name']}"
    if taken_arn(call, world, SAML_PROVIDER, arn):
        raise fault("EntityAlreadyExists", message=f"SAMLProvider already exists for arn {arn}")
    call.check_quota("iam-saml-providers", world.count_owned(SAML_PROVIDER, call.account_id, call.region) + 1)
    made = SamlProvider(
        id=arn, **call.owned(), name=params["Name"], metadata=params["SAMLMetadataDocument"], created=now(call),
        valid_until=_valid_until(params["SAMLMetadataDocument"], now(call)), uuid=call.ids.uuid(),
        tags=tagging.parse(call, params.get("Tags") or ()),
    )  # fmt: skip
    return Outcome({"SAMLProviderArn": arn} | tagging.member(made.tags), put(SAML_PROVIDER, made))


@iam("UpdateSAMLProvider")
def update_provider(call: Call, world: World, params: Params) -> Outcome:
    """Other metadata: other signing certificates, from the next assertion on."""
    _check_encryption(params)
    found = _find(call, world, params)
    metadata = params.get("SAMLMetadataDocument") or found.metadata
    changed = replace(found, metadata=metadata, valid_until=_valid_until(metadata, found.created))
    return Outcome({"SAMLProviderArn": found.id}, put(SAML_PROVIDER, changed))


def _dates(found: SamlProvider) -> dict[str, str]:
    return {"CreateDate": instant(found.created), "ValidUntil": instant(found.valid_until or found.created + _YEARS)}


@iam("GetSAMLProvider")
def get_provider(call: Call, world: World, params: Params) -> Outcome:
    found = _find(call, world, params)
    shown = {"SAMLProviderUUID": found.uuid, "SAMLMetadataDocument": found.metadata, "Tags": tagging.shown(found.tags)}
    return Outcome(shown | _dates(found))


@iam("ListSAMLProviders")
def list_providers(call: Call, world: World, params: Params) -> Outcome:
    held = call.mine(world, SAML_PROVIDER)
    return Outcome({"SAMLProviderList": [{"Arn": found.id} | _dates(found) for found in held]})


@iam("DeleteSAMLProvider")
def delete_provider(call: Call, world: World, params: Params) -> Outcome:
    """Roles that trust it can be assumed through it no longer."""
    return Outcome({}, delete(SAML_PROVIDER, _find(call, world, params).id))


tagging.tag_operations("SAMLProvider", SAML_PROVIDER, _find)
