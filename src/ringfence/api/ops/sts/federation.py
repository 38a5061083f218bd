"""Roles for users of other identity providers: AssumeRoleWithWebIdentity, AssumeRoleWithSAML (AWS STS API Reference; IAM
User Guide: "Identity providers and federation"; IAM-12).

These calls carry no signature: the provider's token stands for it, and the trust policy alone decides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.sts.asking import ask
from ringfence.api.ops.sts.issue import Limits, issue, limits, packed, seconds_of, session_tags
from ringfence.api.ops.sts.roles import DEFAULT_SECONDS, assumed_view, check_duration, session_keys
from ringfence.api.ops.sts.serve import sts
from ringfence.identity import oidc, saml
from ringfence.identity.principal import Principal, PrincipalKind, Session
from ringfence.identity.question import Context
from ringfence.identity.roles import NotAllowed, Wanted, role_of, session_of
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import OIDC_PROVIDER, SAML_PROVIDER
from ringfence.model.nouns.identity import OidcProvider, Role, SamlProvider
from ringfence.model.row import Tags
from ringfence.model.world import World

#: claims that are condition keys (Service Authorization: "AWS federated principals", OIDC)
_CLAIM_KEYS = ("sub", "email", "amr", "azp", "oaud")
_TAGS_CLAIM = "https://aws.amazon.com/tags"
_SOURCE_CLAIM = "https://aws.amazon.com/source_identity"


# ---------------------------------------------------------------------- what both share
def _assume(
    call: Call,
    world: World,
    role: Role,
    holder: Principal,
    given: Limits,
    wanted: Wanted,
    context: Context,
    action: str,
) -> Principal:
    """The session, if the trust policy admits the holder of the token. ApiError AccessDenied."""
    actions = [f"sts:{action}", *(["sts:TagSession"] if given.tags else [])]
    actions += ["sts:SetSourceIdentity"] if wanted.source_identity else []
    asked = {**session_keys(given, wanted.name, wanted.source_identity), **context}
    try:
        ask(call, world, holder, role, actions, asked)
    except NotAllowed as refused:
        raise _denied(refused.action) from None
    return session_of(role, wanted)


def _denied(action: str) -> ApiError:
    return fault("AccessDenied", message=f"Not authorized to perform {action}")


def _role(world: World, arn: str, action: str) -> Role:
    role = role_of(world, arn)
    if role is None:
        raise _denied(f"sts:{action}")
    return role


def _holder(kind: PrincipalKind, account_id: str, provider_arn: str, subject: str, call: Call) -> Principal:
    now = seconds_of(call)
    session = Session(name=subject, issued_at=now, expires_at=now, provider=provider_arn)
    return Principal(
        account_id=account_id, arn=provider_arn, user_id=f"{provider_arn}:{subject}", kind=kind, name=subject,
        session=session,
    )  # fmt: skip


# ---------------------------------------------------------------------- OpenID Connect
@sts("AssumeRoleWithWebIdentity")
def assume_role_with_web_identity(call: Call, world: World, params: Params) -> Outcome:
    """A session for the holder of an OpenID Connect token whose provider the role trusts.

    ApiError InvalidIdentityToken, ExpiredTokenException, IDPCommunicationError, AccessDenied, ValidationError.
    """
    if params.get("ProviderId"):
        text = (
            "ProviderId is for OAuth 2.0 access tokens, which this installation does not accept: give an OpenID token."
        )
        raise fault("InvalidParameterValue", message=text)
    role = _role(world, params["RoleArn"], "AssumeRoleWithWebIdentity")
    provider, identity = _web_identity(call, world, role, str(params["WebIdentityToken"]))
    tags, transitive = _claimed_tags(identity)
    given = _with_tags(limits(call, world, params, role.owner_id), tags, transitive)
    keys = _web_keys(provider, identity)
    seconds = int(params.get("DurationSeconds") or min(DEFAULT_SECONDS, role.max_session_seconds))
    check_duration(role, seconds)
    source = identity.claims.get(_SOURCE_CLAIM)
    wanted = Wanted(
        name=params["RoleSessionName"], now=seconds_of(call), seconds=seconds, policies=given.policies,
        policy_arns=given.policy_arns, tags=given.tags, transitive_tags=given.transitive, provider=provider.id,
        source_identity=source if isinstance(source, str) and source else None,
        keys=tuple((key, value) for key, value in keys.items() if isinstance(value, str)),
    )  # fmt: skip
    holder = _holder(PrincipalKind.WEB_IDENTITY, role.owner_id, provider.id, identity.subject, call)
    session = _assume(call, world, role, holder, given, wanted, keys, "AssumeRoleWithWebIdentity")
    extra = {"SubjectFromWebIdentityToken": identity.subject, "Provider": provider.id, "Audience": identity.audience}
    return Outcome({**assumed_view(issue(call, session, params), given), **extra})


def _web_identity(call: Call, world: World, role: Role, token: str) -> tuple[OidcProvider, oidc.WebIdentity]:
    """The verified token and its provider, which must be one of the role's account."""
    try:
        issuer = oidc.issuer_of(token)
        provider = world.find(OIDC_PROVIDER, f"arn:aws:iam::{role.owner_id}:oidc-provider/{_bare(issuer)}")
        if provider is None or _bare(provider.url) != _bare(issuer) or urlsplit(issuer).scheme != "https":
            raise oidc.TokenFault(f"No OpenIDConnect provider found in your account for {issuer}")
        if provider.keys is None:
            raise fault("IDPCommunicationError", message=f"The installation was not given the keys of {issuer}")
        return provider, oidc.verify(token, provider.keys, provider.client_ids, call.now)
    except oidc.TokenExpired as refused:
        raise fault("ExpiredTokenException", message=str(refused)) from None
    except oidc.TokenFault as refused:
        raise fault("InvalidIdentityToken", message=str(refused)) from None


def _bare(url: str) -> str:
    """A provider's URL without scheme and closing slash, as its ARN and its condition keys have it."""
    return url.removeprefix("https://").rstrip("/")


def _web_keys(provider: OidcProvider, identity: oidc.WebIdentity) -> dict[str, str | tuple[str, ...]]:
    """`ISSUER:aud`, `ISSUER:sub` … AWS: where a token has `azp`, that is `aud`, and the audience `oaud`."""
    name = _bare(provider.url).lower()
    keys: dict[str, str | tuple[str, ...]] = {}
    for claim in _CLAIM_KEYS:
        value = identity.claims.get(claim)
        if isinstance(value, str):
            keys[f"{name}:{claim}"] = value
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            keys[f"{name}:{claim}"] = tuple(value)
    keys[f"{name}:aud"] = identity.authorized_party or identity.audience
    keys[f"{name}:oaud"] = identity.audience
    return keys


def _claimed_tags(identity: oidc.WebIdentity) -> tuple[Tags, tuple[str, ...]]:
    """Session tags in a token (IAM User Guide: "Passing session tags using AssumeRoleWithWebIdentity")."""
    claim = identity.claims.get(_TAGS_CLAIM)
    if claim is None:
        return (), ()
    try:
        tags = tuple((str(key), _first(value)) for key, value in claim.get("principal_tags", {}).items())
        transitive = tuple(str(key) for key in claim.get("transitive_tag_keys", ()))
    except (AttributeError, TypeError, IndexError):
        raise fault("InvalidIdentityToken", message="The session tags in the token cannot be read") from None
    return tags, transitive


def _first(value: Any) -> str:
    found = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(found, str):
        raise TypeError(found)
    return found


def _with_tags(given: Limits, tags: Tags, transitive: tuple[str, ...]) -> Limits:
    """Limits with the session tags of a token or assertion. ApiError as `session_tags`."""
    if not tags and not transitive:
        return given
    checked = session_tags(tags, transitive, ())
    return replace(given, tags=checked, transitive=transitive, packed=packed(None, (), checked))


# ---------------------------------------------------------------------- SAML
@sts("AssumeRoleWithSAML")
def assume_role_with_saml(call: Call, world: World, params: Params) -> Outcome:
    """A session for the subject of a SAML assertion whose provider the role trusts.

    ApiError InvalidIdentityToken, ExpiredTokenException, AccessDenied, ValidationError.
    """
    role = _role(world, params["RoleArn"], "AssumeRoleWithSAML")
    provider, assertion = _assertion(call, world, params)
    if (params["RoleArn"], provider.id) not in assertion.roles:
        raise _denied("sts:AssumeRoleWithSAML")
    given = _with_tags(limits(call, world, params, role.owner_id), assertion.tags, assertion.transitive)
    keys = _saml_keys(provider, assertion)
    wanted = Wanted(
        name=assertion.session_name, now=seconds_of(call), seconds=_saml_seconds(call, role, assertion, params),
        policies=given.policies, policy_arns=given.policy_arns, tags=given.tags, transitive_tags=given.transitive,
        source_identity=assertion.source_identity, provider=provider.id, keys=tuple(keys.items()),
    )  # fmt: skip
    holder = _holder(PrincipalKind.SAML, role.owner_id, provider.id, assertion.subject, call)
    session = _assume(call, world, role, holder, given, wanted, keys, "AssumeRoleWithSAML")
    extra = {
        "Subject": assertion.subject,
        "SubjectType": assertion.subject_type,
        "Issuer": assertion.issuer,
        "Audience": assertion.recipient,
        "NameQualifier": keys["saml:namequalifier"],
    }
    return Outcome({**assumed_view(issue(call, session, params), given), **extra})


def _assertion(call: Call, world: World, params: Params) -> tuple[SamlProvider, saml.Assertion]:
    provider = world.find(SAML_PROVIDER, params["PrincipalArn"])
    if provider is None:
        raise fault(
            "InvalidIdentityToken", message="Specified provider doesn't exist (service: AWSOpenIdDiscoveryService)"
        )
    if provider.valid_until is not None and provider.valid_until <= call.now.timestamp():
        raise fault("InvalidIdentityToken", message="The metadata of the provider has expired")
    try:
        found = saml.verify(str(params["SAMLAssertion"]), saml.read_metadata(provider.metadata), call.now)
        return provider, found
    except saml.AssertionExpired as refused:
        raise fault("ExpiredTokenException", message=str(refused)) from None
    except saml.AssertionFault as refused:
        raise fault("InvalidIdentityToken", message=str(refused)) from None


def _saml_keys(provider: SamlProvider, assertion: saml.Assertion) -> dict[str, str]:
    """The SAML condition keys (IAM User Guide: "Available keys for SAML-based AWS STS federation")."""
    return {
        "saml:aud": assertion.recipient,
        "saml:iss": assertion.issuer,
        "saml:sub": assertion.subject,
        "saml:sub_type": assertion.subject_type,
        "saml:namequalifier": saml.name_qualifier(assertion.issuer, provider.owner_id, provider.name),
        "saml:doc": f"{provider.owner_id}/{provider.name}",
    }


def _saml_seconds(call: Call, role: Role, assertion: saml.Assertion, params: Params) -> int:
    """The duration asked for, no longer than the assertion's and than the provider's own session."""
    wanted = int(
        params.get("DurationSeconds") or assertion.session_seconds or min(DEFAULT_SECONDS, role.max_session_seconds)
    )
    check_duration(role, wanted)
    seconds = min(wanted, assertion.session_seconds or wanted)
    if assertion.not_on_or_after is not None:
        seconds = min(seconds, int(assertion.not_on_or_after.timestamp()) - seconds_of(call))
    if seconds <= 0:
        raise fault("ExpiredTokenException", message="The session of the identity provider is over")
    return seconds
