"""What every call that gives out temporary credentials has in common: session policies, tags, sizes, the credentials.

AWS STS API Reference, AssumeRole: Policy, PolicyArns, Tags, TransitiveTagKeys, PackedPolicySize, SessionTokenSize.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ringfence.api.ops.context import Call, Params
from ringfence.api.ops.iam import policies
from ringfence.identity import document, sessions
from ringfence.identity.credentials import Credential
from ringfence.identity.document import DocumentKind
from ringfence.identity.identifiers import access_key_id, secret_key
from ringfence.identity.principal import Principal, Session
from ringfence.identity.sealing import Sealer
from ringfence.model.errors import ApiError, fault
from ringfence.model.ids import IdSource
from ringfence.model.row import Tags
from ringfence.model.world import World

MAX_PLAIN_POLICY = 2048  # characters of session policies together
MAX_POLICY_ARNS, MAX_TAGS = 10, 50
MAX_TOKEN = 4096  # bytes
#: AWS publishes neither its packed format nor its size. Tags: what percentages reported by users come to (9 tags of 252
#: characters are 498 %). Policies are compressed; with these sizes a token stays within MAX_TOKEN.
_TAG_SPACE, _TAG_OVERHEAD, _POLICY_SPACE = 477, 12, 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a request lays upon a session, and the percentage of the space it takes. `packed` None: it lays nothing on."""

    policies: tuple[str, ...] = ()
    policy_arns: tuple[str, ...] = ()
    tags: Tags = ()
    transitive: tuple[str, ...] = ()
    packed: int | None = None


def limits(call: Call, world: World, params: Params, account_id: str, inherited: Tags = ()) -> Limits:
    """The request's session policies and tags. `account_id`: where its managed policies are; `inherited`: transitive tags.

    ApiError MalformedPolicyDocument, PackedPolicyTooLarge, ValidationError, InvalidParameterValue.
    """
    text = params.get("Policy")
    arns = tuple(dict.fromkeys(item.get("arn", "") for item in params.get("PolicyArns") or ()))
    if text is not None:
        document.malformed(text, DocumentKind.SESSION)
    if len(arns) > MAX_POLICY_ARNS:
        raise _refused("PolicyArns", f"at most {MAX_POLICY_ARNS} managed policies can be passed")
    for arn in arns:
        _check_managed(call, world, account_id, arn)
    if len(text or "") > MAX_PLAIN_POLICY:
        raise _refused("policy", f"Member must have length less than or equal to {MAX_PLAIN_POLICY}")
    given = tuple((tag["Key"], tag.get("Value", "")) for tag in params.get("Tags") or ())
    transitive = tuple(params.get("TransitiveTagKeys") or ())
    tags = session_tags(given, transitive, inherited)
    return Limits(
        policies=(text,) if text is not None else (), policy_arns=arns, tags=tags,
        transitive=tuple(dict.fromkeys((*(key for key, _ in inherited), *transitive))), packed=packed(text, arns, given),
    )  # fmt: skip


def _check_managed(call: Call, world: World, account_id: str, arn: str) -> None:
    """AWS: the managed policies must be in the account of the session."""
    principal = replace(call.principal, account_id=account_id)
    if policies.find(replace(call, principal=principal), world, arn) is None:
        raise _refused("PolicyArns", f"the policy {arn} does not exist in the account")


def _refused(member: str, why: str) -> ApiError:
    text = (
        f"1 validation error detected: Value at '{member[0].lower()}{member[1:]}' failed to satisfy constraint: {why}"
    )
    return fault("ValidationError", message=text)


def session_tags(given: Tags, transitive: Sequence[str], inherited: Tags) -> Tags:
    """The tags of a session: those passed, and the transitive ones of the session before. ApiError InvalidParameterValue."""
    keys = [key.lower() for key, _ in given]
    if len(set(keys)) != len(keys):
        text = "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        raise fault("InvalidParameterValue", message=text)
    if any(key.startswith("aws:") for key in keys):
        raise fault("InvalidParameterValue", message="Tag keys that begin with 'aws:' are reserved")
    if not {key.lower() for key in transitive} <= set(keys):
        text = "The specified transitive tag key must be included in the requested tags."
        raise fault("InvalidParameterValue", message=text)
    clash = {key.lower() for key, _ in inherited} & set(keys)
    if clash:
        text = (
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from "
            "the calling session."
        )
        raise fault("InvalidParameterValue", message=text)
    if len(given) + len(inherited) > MAX_TAGS:
        raise _refused("Tags", f"Member must have length less than or equal to {MAX_TAGS}")
    return (*inherited, *given)


def packed(policy: str | None, arns: Sequence[str], tags: Tags) -> int | None:
    """The percentage of the space for session policies and tags that a request takes. ApiError PackedPolicyTooLarge."""
    if policy is None and not arns and not tags:
        return None
    small = "" if policy is None else json.dumps(json.loads(policy), separators=(",", ":"))
    written = zlib.compress("\n".join((small, *arns)).encode(), 9) if small or arns else b""
    of_policy = -(-100 * len(written) // _POLICY_SPACE)
    of_tags = 100 * sum(len(k.encode()) + len(v.encode()) + _TAG_OVERHEAD for k, v in tags) // _TAG_SPACE
    if of_policy > 100:
        text = f"Packed policy consumes {of_policy}% of allotted space, please use smaller policy."
        raise fault("PackedPolicyTooLarge", message=text)
    if of_tags > 100:
        raise fault(
            "PackedPolicyTooLarge", message=f"Packed size of session tags consumes {of_tags}% of allotted space."
        )
    return max(of_policy, of_tags)


# ---------------------------------------------------------------------- the credentials
@dataclass(frozen=True, slots=True, repr=False)
class Issued:
    """Temporary credentials and their token."""

    credential: Credential
    token: str

    @property
    def session(self) -> Session:
        found = self.credential.principal.session
        assert found is not None
        return found

    def view(self, limits: Limits | None = None) -> dict[str, Any]:
        """The members that replies with credentials share."""
        out: dict[str, Any] = {
            "Credentials": {
                "AccessKeyId": self.credential.access_key_id,
                "SecretAccessKey": self.credential.secret,
                "SessionToken": self.token,
                "Expiration": datetime.fromtimestamp(self.session.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "SessionTokenSize": len(self.token),
            "SessionTokenUtilization": 100 * len(self.token) // MAX_TOKEN,
        }
        if limits is not None and limits.packed is not None:
            out["PackedPolicySize"] = limits.packed
        return out


def issue(call: Call, principal: Principal, params: Params | None = None) -> Issued:
    """Credentials for a session. ApiError PackedPolicyTooLarge when its token would be too large."""
    if call.sealer is None:
        raise fault("ServiceFailure")
    issued = new_session(call.sealer, call.ids, principal, (params or {}).get("MinimumSessionTokenSize") or 0)
    if len(issued.token) > MAX_TOKEN:
        text = f"Packed size of session tags consumes {100 * len(issued.token) // MAX_TOKEN}% of allotted space."
        raise fault("PackedPolicyTooLarge", message=text)
    return issued


def new_session(sealer: Sealer, ids: IdSource, principal: Principal, at_least: int = 0) -> Issued:
    """A fresh key, its secret and its token for the session of a principal."""
    named = replace(principal, access_key_id=access_key_id(ids, principal.account_id, "ASIA"))
    credential = Credential(secret_key(ids), named)
    return Issued(credential, sessions.seal_token(sealer, credential, at_least=at_least))


def seconds_of(call: Call) -> int:
    """The moment of the call, seconds since 1970."""
    return int(call.now.timestamp())
