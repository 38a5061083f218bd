"""Roles for users of other identity providers: AssumeRoleWithWebIdentity, AssumeRoleWithSAML (AWS STS API Reference; IAM
User Guide: "Identity providers and federation"; IAM-12).

These calls carry no signature: the provider's token stands for it, and the trust policy alone decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from ringfence.api.ops.context import Call, KnownCaller, Outcome, Params
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


def _holder(
    kind: PrincipalKind, account_id: str, provider_arn: str, subject: str, known_as: str, call: Call
) -> Principal:
    """Who holds the token; `known_as`: CloudTrail's `principalId`."""
    now = seconds_of(call)
    session = Session(name=subject, issued_at=now, expires_at=now, provider=provider_arn)
    return Principal(
        account_id=account_id, arn=provider_arn, user_id=known_as, kind=kind, name=subject, session=session,
    )  # fmt: skip


@contextmanager
def _known(holder: Principal) -> Iterator[None]:
    """What is refused in here is on the record of the holder."""
    try:
        yield
    except ApiError as error:
        raise KnownCaller(error, holder) from None


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
    known_as = f"{provider.id}:{identity.audience}:{identity.subject}"
    holder = _holder(PrincipalKind.WEB_IDENTITY, role.owner_id, provider.id, identity.subject, known_as, call)
    with _known(holder):
        return _web_session(call, world, params, role, holder, provider, identity)


def _web_session(
    call: Call, world: World, params: Params, role: Role, holder: Principal, provider: OidcProvider,
    identity: oidc.WebIdentity,
) -> Outcome:  # fmt: skip
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
    session = _assume(call, world, role, holder, given, wanted, keys, "AssumeRoleWithWebIdentity")
    extra = {"SubjectFromWebIdentityToken": identity.subject, "Provider": provider.id, "Audience": identity.audience}
    return Outcome({**assumed_view(issue(call, session, params), given), **extra}, caller=holder)


def _web_identity(call: Call, world: World, role: Role, token: str) -> tuple[OidcProvider, oidc.WebIdentity]:
    """The verified token and its provider, which must be one of the role's account."""
    try:
        issuer = oidc.issuer_of(token)
        provider = world.find(OIDC_PROVIDER, f"arn:aws:iam::{role.owner_id}:oidc-provider/{oidc.address_of(issuer)}")
        if (
            provider is None
            or oidc.address_of(provider.url) != oidc.address_of(issuer)
            or urlsplit(issuer).scheme != "https"
        ):
            raise oidc.TokenFault(f"No OpenIDConnect provider found in your account for {issuer}")
        if provider.keys is None:
            raise fault("IDPCommunicationError", message=f"The installation was not given the keys of {issuer}")
        return provider, oidc.verify(token, provider.keys, provider.client_ids, call.now)
    except oidc.TokenExpired as refused:
        raise fault("ExpiredTokenException", message=str(refused)) from None
    except oidc.TokenFault as refused:
        raise fault("InvalidIdentityToken", message=str(refused)) from None


def _web_keys(provider: OidcProvider, identity: oidc.WebIdentity) -> dict[str, str | tuple[str, ...]]:
    """`ISSUER:aud`, `ISSUER:sub` … AWS: where a token has `azp`, that is `aud`, and the audience `oaud`."""
    name = oidc.address_of(provider.url).lower()
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
    keys = _saml_keys(provider, assertion)
    known_as = f"{keys['saml:namequalifier']}:{assertion.subject}"
    holder = _holder(PrincipalKind.SAML, role.owner_id, provider.id, assertion.subject, known_as, call)
    with _known(holder):
        if (params["RoleArn"], provider.id) not in assertion.roles:
            raise _denied("sts:AssumeRoleWithSAML")
        return _saml_session(call, world, params, role, holder, assertion, keys)


def _saml_session(
    call: Call, world: World, params: Params, role: Role, holder: Principal, assertion: saml.Assertion,
    keys: dict[str, str],
) -> Outcome:  # fmt: skip
    given = _with_tags(limits(call, world, params, role.owner_id), assertion.tags, assertion.transitive)
    wanted = Wanted(
        name=assertion.session_name, now=seconds_of(call), seconds=_saml_seconds(call, role, assertion, params),
        policies=given.policies, policy_arns=given.policy_arns, tags=given.tags, transitive_tags=given.transitive,
        source_identity=assertion.source_identity, provider=holder.arn, keys=tuple(keys.items()),
    )  # fmt: skip
    session = _assume(call, world, role, holder, given, wanted, keys, "AssumeRoleWithSAML")
    extra = {
        "Subject": assertion.subject,
        "SubjectType": assertion.subject_type,
        "Issuer": assertion.issuer,
        "Audience": assertion.recipient,
        "NameQualifier": keys["saml:namequalifier"],
    }
    return Outcome({**assumed_view(issue(call, session, params), given), **extra}, caller=holder)


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
