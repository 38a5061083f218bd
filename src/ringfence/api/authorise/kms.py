"""AWS KMS's calls as policies see them (Service Authorization Reference: "AWS Key Management Service"; AWS KMS Developer Guide: "Key
policies", "IAM policies", "AWS KMS condition keys", "Allowing users in other accounts to use a KMS key").

The key policy is the root of trust: identity policies of the account count when it hands on to the account, never without
(`identity/evaluate.py`). A key that does not exist counts as one with the default key policy: whoever could use it is told
that it is not there. What a request may be asked about is what the published data lists for the action.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from ringfence.api import keys
from ringfence.api.authorise.ask import Ask, Values, request_tags, tag_keys, truth
from ringfence.api.ops.context import Call, Params
from ringfence.identity import actions, ciphertext, key_policies
from ringfence.identity.evaluate import decide
from ringfence.identity.gather import policies_of
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.question import Attached, Decision, Question, Target
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import KMS_ALIAS, KMS_GRANT, KMS_KEY
from ringfence.model.nouns.kms import KmsGrant, KmsKey
from ringfence.model.world import World

ALGORITHM = "SYMMETRIC_DEFAULT"
#: AWS KMS API Reference, "Cross-account use: Yes"
ACROSS_ACCOUNTS = frozenset(
    {
        "CreateGrant", "Decapsulate", "Decrypt", "DeriveSharedSecret", "DescribeKey", "Encapsulate", "Encrypt", "GenerateDataKey",
        "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext", "GenerateMac",
        "GetKeyRotationStatus", "GetPublicKey", "ListGrants", "ReEncryptFrom", "ReEncryptTo", "RetireGrant", "RevokeGrant", "Sign",
        "Verify", "VerifyMac",
    }
)  # fmt: skip
_ALIASES = frozenset({"CreateAlias", "DeleteAlias", "UpdateAlias"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One action on a key: who asks, and what the request says about it.

    `arn`: the key's or the alias's, as it was named. `via`: the endpoint of the service that forwards the caller.
    """

    principal: Principal
    now: datetime
    action: str  # Decrypt
    arn: str
    context: Mapping[str, str] | None = None  # the encryption context; None: the action has none
    more: Values = field(default_factory=dict)  # condition keys of this action alone
    via: str | None = None
    source_arn: str | None = None
    grant: KmsGrant | None = None


def ask(world: World, use: Use) -> Ask:
    """The question about the key of that ARN."""
    account = use.arn.split(":")[4]
    if account != use.principal.account_id and not _may_cross(use):
        return Ask(f"kms:{use.action}", ())
    return Ask(f"kms:{use.action}", (_target(world, use, account),), _request(use))


def of_aws(world: World, question: Question) -> bool:
    """Is it about an AWS managed key? AWS Organizations User Guide, "Resource control policies": they do not bind those."""
    held = (world.find(KMS_KEY, target.arn) for target in question.targets)
    return any(key is not None and key.managed is not None for key in held)


def decided(world: World, question: Question, owner: str) -> Decision:
    """The answer to one question about a key of an account."""
    policies = policies_of(world, question.principal, owner)
    return decide(question, replace(policies, resource_control=()) if of_aws(world, question) else policies)


def _may_cross(use: Use) -> bool:
    return use.action in ACROSS_ACCOUNTS or use.principal.kind is PrincipalKind.SERVICE


def _target(world: World, use: Use, account: str) -> Target:
    key = keys.found(world, use.arn, use.now)
    if key is None:  # an alias has no policy: only the key would
        policy = Attached(f"{use.arn}/policy", key_policies.default_policy(account))
        arn = use.arn if keys.alias_of(use.arn) is None else keys.start_of(use.arn.split(":")[3], account) + "key/*"
        return Target(arn=arn, account_id=account, policy=policy)
    policy = key_policies.policy_of(world, key, use.action, use.context, use.grant, use.source_arn)
    names = tuple(alias.name for alias in keys.aliases(world, key))
    context = tag_keys(("aws:resourcetag",), key.tags) | {
        "kms:keyorigin": "AWS_KMS", "kms:keyspec": ALGORITHM, "kms:keyusage": "ENCRYPT_DECRYPT", "kms:multiregion": "false",
        "aws:resourceaccount": key.owner_id, **({"kms:resourcealiases": names} if names else {}),
    }  # fmt: skip
    return Target(arn=key.id, account_id=key.owner_id, context=context, policy=policy)


def _request(use: Use) -> Values:
    """The condition keys of the request that the data lists for the action."""
    about = actions.action("kms", use.action)
    held: Values = {
        "kms:encryptionalgorithm": ALGORITHM,
        "kms:grantisforawsresource": truth(use.via is not None),
        **use.more,
    }
    if use.principal.kind is not PrincipalKind.SERVICE:
        held["kms:calleraccount"] = use.principal.account_id
    if use.via is not None:
        held["kms:viaservice"] = use.via
    if (name := keys.alias_of(use.arn)) is not None:
        held["kms:requestalias"] = name
    if use.context:
        held |= _with_colons(use.context) | {"kms:encryptioncontextkeys": tuple(use.context)}
    return {key: value for key, value in held.items() if about is not None and _listed(about, key)}


def _with_colons(context: Mapping[str, str]) -> Values:
    """`kms:encryptioncontext:stack` …; names that differ in letter case only have several values, which no operator takes for one."""
    return {f"kms:encryptioncontext:{key.partition('/')[2]}": value
            for key, value in tag_keys(("kms",), context.items()).items()}  # fmt: skip


def _listed(about: actions.Action, key: str) -> bool:
    start = "kms:encryptioncontext:"
    if key.startswith(start):
        return any(name.lower().startswith(start) for name in about.keys.names)
    return key in about.keys


# ---------------------------------------------------------------------- requests
def asks(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """Every question of a call. ApiError for what names no key, and for a ciphertext that is none."""
    if call.action == "ReEncrypt":
        yield from _re_encrypt(call, world, params)
    elif actions.action("kms", call.action) is None:
        yield Ask(f"kms:{call.action}", ())
    elif call.action in _ALIASES:
        yield from _alias(call, world, params)
    elif call.action in ("Decrypt", "RetireGrant"):
        yield (_decrypt if call.action == "Decrypt" else _retire)(call, world, params)
    elif "KeyId" in params and call.action != "ListAliases":
        yield ask(world, use_of(call, params, call.action, _named(call, params["KeyId"])))
    else:
        use = use_of(call, params, call.action, keys.start_of(call.region, call.account_id))
        yield Ask(f"kms:{call.action}", (Target(arn="*", account_id=call.account_id),), _request(use))


def _named(call: Call, ref: str) -> str:
    return keys.whole(str(ref), call.region, call.account_id)


def use_of(call: Call, params: Params, action: str, arn: str, *, context: str = "EncryptionContext") -> Use:
    given = params.get(context) or {}
    more: Values = {}
    if params.get("TagKeys"):
        more["aws:tagkeys"] = tuple(dict.fromkeys(map(str, params["TagKeys"])))
    if params.get("RotationPeriodInDays"):
        more["kms:rotationperiodindays"] = str(params["RotationPeriodInDays"])
    if action in ("CreateKey", "PutKeyPolicy"):
        more["kms:bypasspolicylockoutsafetycheck"] = truth(params.get("BypassPolicyLockoutSafetyCheck"))
    if action == "CreateKey":
        more |= _new_key(params)
    if action == "ScheduleKeyDeletion":
        more["kms:schedulekeydeletionpendingwindowindays"] = str(params.get("PendingWindowInDays") or 30)
    if action == "CreateGrant":
        given, more = _constrained(params), more | _grant_keys(params)
    if action == "TagResource" or action == "CreateKey":
        more |= request_tags((str(t.get("TagKey")), str(t.get("TagValue"))) for t in params.get("Tags") or ())
    return Use(principal=call.principal, now=call.now, action=action, arn=arn, context=given, more=more)


def _new_key(params: Params) -> Values:
    return {
        "kms:keyorigin": str(params.get("Origin") or "AWS_KMS"),
        "kms:keyspec": str(params.get("KeySpec") or params.get("CustomerMasterKeySpec") or ALGORITHM),
        "kms:keyusage": str(params.get("KeyUsage") or "ENCRYPT_DECRYPT"),
        "kms:multiregion": truth(params.get("MultiRegion")),
    }


def _constrained(params: Params) -> Mapping[str, str]:
    """Of a grant, the encryption context that its constraint names."""
    given = params.get("Constraints") or {}
    held: Mapping[str, str] = given.get("EncryptionContextEquals") or given.get("EncryptionContextSubset") or {}
    return held


def _grant_keys(params: Params) -> Values:
    held: Values = {"kms:grantoperations": tuple(dict.fromkeys(map(str, params.get("Operations") or ())))}
    for name in ("GranteePrincipal", "GranteeServicePrincipal", "RetiringPrincipal", "RetiringServicePrincipal"):
        if params.get(name):
            held[f"kms:{name.lower()}"] = str(params[name])
    constraints = params.get("Constraints") or {}
    kinds = [name for name in ("EncryptionContextEquals", "EncryptionContextSubset") if constraints.get(name)]
    if kinds:
        held["kms:grantconstrainttype"] = kinds[0]
    if constraints.get("SourceArn"):
        held["kms:grantconstraintsourcearn"] = str(constraints["SourceArn"])
    return held


# ---------------------------------------------------------------------- aliases
def _alias(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """AWS: permission on the alias, by identity policies, and on each key that gets or loses it, by key policies too."""
    name = str(params.get("AliasName", ""))
    alias = keys.start_of(call.region, call.account_id) + name
    request = _request(use_of(call, params, call.action, keys.start_of(call.region, call.account_id)))
    yield Ask(f"kms:{call.action}", (Target(arn=alias, account_id=call.account_id),), request)
    held = world.find(KMS_ALIAS, alias)
    arns = [held.key] if held is not None and call.action != "CreateAlias" else []
    if call.action != "DeleteAlias":
        arns.append(_named(call, params["TargetKeyId"]))
    for arn in dict.fromkeys(arns):
        yield ask(world, use_of(call, params, call.action, arn))


# ---------------------------------------------------------------------- ciphertexts
def _decrypt(call: Call, world: World, params: Params) -> Ask:
    arn = encrypted_with(call, world, params.get("CiphertextBlob"), params.get("KeyId"))
    return ask(world, use_of(call, params, "Decrypt", arn))


def _re_encrypt(call: Call, world: World, params: Params) -> Iterator[Ask]:
    source = encrypted_with(call, world, params.get("CiphertextBlob"), params.get("SourceKeyId"))
    target = _named(call, params["DestinationKeyId"])
    ends = [keys.found(world, arn, call.now) for arn in (source, target)]
    same = truth(ends[0] is not None and ends[0] is ends[1])
    for action, arn, name in (("ReEncryptFrom", source, "Source"), ("ReEncryptTo", target, "Destination")):
        use = use_of(call, params, action, arn, context=f"{name}EncryptionContext")
        yield ask(world, Use(principal=use.principal, now=use.now, action=action, arn=arn, context=use.context,
                             more={**use.more, "kms:reencryptonsamekey": same}))  # fmt: skip


def encrypted_with(call: Call, world: World, blob: bytes | None, ref: str | None) -> str:
    """The ARN of the key that a request wants something decrypted with: the one it names, or the one in the ciphertext.

    ApiError InvalidCiphertextException; AccessDeniedException when the ciphertext's key is not there.
    """
    try:
        inside = ciphertext.named_in(blob or b"")
    except ciphertext.CiphertextError:
        raise fault("InvalidCiphertextException") from None
    if ref is not None:
        return _named(call, ref)
    key = of_ciphertext(world, inside.key, call.region)
    if key is None or keys.found(world, key.id, call.now) is None:
        raise not_reachable()
    return key.id


def of_ciphertext(world: World, uuid: str, region: str) -> KmsKey | None:
    return next((key for key in world.by(KMS_KEY, "uuid", uuid) if key.region == region), None)


def not_reachable() -> ApiError:
    """AWS: in these words, which do not tell whether there is such a key."""
    text = (
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not "
        "allowed to access."
    )
    return fault("AccessDeniedException", message=text)


# ---------------------------------------------------------------------- grants
def _retire(call: Call, world: World, params: Params) -> Ask:
    """By the grant's token, or by its key and id."""
    grant = retired(call, world, params)
    if grant is None:
        arn = _named(call, params.get("KeyId") or f"{keys.start_of(call.region, call.account_id)}key/*")
    else:
        arn = grant.key
    constraint = () if grant is None else _kinds(grant)
    more: Values = {"kms:grantconstrainttype": constraint[0]} if constraint else {}
    context = dict((grant.equals or grant.subset or ()) if grant is not None else ())
    return ask(world, Use(principal=call.principal, now=call.now, action="RetireGrant", arn=arn, context=context, more=more,
                          grant=grant))  # fmt: skip


def _kinds(grant: KmsGrant) -> tuple[str, ...]:
    held: Iterable[tuple[str, object]] = (
        ("EncryptionContextEquals", grant.equals), ("EncryptionContextSubset", grant.subset)
    )  # fmt: skip
    return tuple(name for name, value in held if value is not None)


def retired(call: Call, world: World, params: Params) -> KmsGrant | None:
    """The grant that a RetireGrant names, if it is of this Region."""
    id = params.get("GrantId") or grant_of_token(str(params.get("GrantToken") or ""))
    found = world.find(KMS_GRANT, str(id)) if id else None
    return found if found is not None and found.region == call.region else None


def grant_of_token(token: str) -> str:
    """The id of the grant that a token is of: here grants hold at once, so that a token says nothing more."""
    return token.removeprefix(TOKEN) if token.startswith(TOKEN) else ""


TOKEN = "ringfence-grant-"
