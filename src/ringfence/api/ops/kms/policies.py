"""Key policies (AWS KMS API Reference: PutKeyPolicy, GetKeyPolicy, ListKeyPolicies; AWS KMS Developer Guide: "Default key policy",
lockout safety check)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from ringfence.api.authorise import kms as authorise
from ringfence.api.authorise.request import request_context
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam.entities import named
from ringfence.api.ops.kms.serve import key_itself, kms, page
from ringfence.identity.document import DocumentKind, listed, malformed, read, statements_of
from ringfence.identity.organization import organization_levels
from ringfence.identity.question import Question
from ringfence.model.errors import fault
from ringfence.model.kinds import KMS_KEY, ROLE, USER
from ringfence.model.nouns.kms import KmsKey
from ringfence.model.world import World, put

ONLY = "default"
MAX_POLICY = 32_768
_ENTITY = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):(user|role)/(?:.*/)?([^/]+)")
_MALFORMED = "MalformedPolicyDocumentException"


@kms("PutKeyPolicy", changes_world=True)
def put_key_policy(call: Call, world: World, params: Params) -> Outcome:
    """MalformedPolicyDocumentException, LimitExceededException, NotFoundException. Also of a key that is disabled or pending deletion."""
    key = key_itself(call, world, params["KeyId"])
    _check_name(params)
    checked_policy(call, world, key, params["Policy"], bypass=bool(params.get("BypassPolicyLockoutSafetyCheck")))
    return Outcome({}, put(KMS_KEY, replace(key, policy=params["Policy"])), touched=(key.id,))


@kms("GetKeyPolicy", changes_world=False)
def get_key_policy(call: Call, world: World, params: Params) -> Outcome:
    key = key_itself(call, world, params["KeyId"])
    _check_name(params)
    return Outcome({"Policy": key.policy, "PolicyName": ONLY}, touched=(key.id,))


@kms("ListKeyPolicies", changes_world=False)
def list_key_policies(call: Call, world: World, params: Params) -> Outcome:
    """Every key has one policy, named so."""
    key = key_itself(call, world, params["KeyId"])
    shown, rest = page([ONLY], str, params, default=100, most=1000)
    return Outcome({"PolicyNames": shown, **rest}, touched=(key.id,))


def _check_name(params: Params) -> None:
    if (params.get("PolicyName") or ONLY) != ONLY:
        raise fault("NotFoundException", message="No such policy exists")


def checked_policy(call: Call, world: World, key: KmsKey, text: str, *, bypass: bool) -> None:
    """ApiError MalformedPolicyDocumentException: no policy; principals that do not exist; one that would lock its author out, unless
    `bypass`. LimitExceededException."""
    if len(text.encode()) > MAX_POLICY:
        raise fault("LimitExceededException", message=f"A key policy can have at most {MAX_POLICY} bytes.")
    malformed(text, DocumentKind.RESOURCE, _MALFORMED)
    if any(not exists(world, arn) for arn in _principals(text)):
        raise fault(_MALFORMED, message="Policy contains a statement with one or more invalid principals.")
    if not bypass and not _could_put_again(call, world.apply(put(KMS_KEY, replace(key, policy=text))), key):
        text = "The new key policy will not allow you to update the key policy in the future."
        raise fault(_MALFORMED, message=text)


def _principals(text: str) -> Iterator[str]:
    for statement in statements_of(read(text)):
        for name in ("Principal", "NotPrincipal"):
            element = statement.get(name)
            if isinstance(element, dict):
                yield from (str(value) for value in listed(element.get("AWS", [])))


def exists(world: World, arn: str) -> bool:
    """Users and roles must be there; of sessions and accounts only the form is checked."""
    found = _ENTITY.fullmatch(arn)
    if found is None:
        return True
    if found[2] == "user":
        user = named(world, USER, found[1], found[3])
        return user is not None and USER.arn(user) == arn
    role = named(world, ROLE, found[1], found[3])
    return role is not None and ROLE.arn(role) == arn


def _could_put_again(call: Call, after: World, key: KmsKey) -> bool:
    """AWS: the caller must be able to put a policy once more, by the new policy."""
    use = authorise.use_of(call, {}, "PutKeyPolicy", key.id)
    asked = authorise.ask(after, use)
    whole = {**request_context(call, organization_levels(after, call.account_id)), **asked.context}
    question = Question(principal=call.principal, action=asked.action, targets=asked.targets, context=whole)
    return authorise.decided(after, question, key.owner_id).allowed
