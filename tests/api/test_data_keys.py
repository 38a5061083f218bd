"""Data keys for services that encrypt at rest (DATA-05; AWS KMS Developer Guide: kms:ViaService; CloudTrail's events of KMS)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ringfence.api import data_keys
from ringfence.api.ops.context import Call
from ringfence.api.record import shown
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.model.errors import ApiError
from tests.api.front import ACCOUNT, OTHER_ACCOUNT, Front

REGION = "us-east-1"
LOGS = f"logs.{REGION}.amazonaws.com"
GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:g"
CONTEXT = {"aws:s3:arn": "arn:aws:s3:::bucket/Key"}
ROOT = f"arn:aws:iam::{ACCOUNT}:root"


@pytest.fixture(scope="module")
def front() -> Front:
    return Front()


@pytest.fixture(scope="module")
def kms(front: Front) -> Any:
    return front.client("kms")


def policy(*statements: dict[str, Any]) -> str:
    own = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [own, *statements]})


def statement(
    principal: Any, action: Any = "kms:*", effect: str = "Allow", **condition: dict[str, Any]
) -> dict[str, Any]:
    tests = {"Condition": condition} if condition else {}
    return {"Effect": effect, "Principal": principal, "Action": action, "Resource": "*", **tests}


def key(kms: Any, *statements: dict[str, Any]) -> str:
    return str(kms.create_key(Policy=policy(*statements))["KeyMetadata"]["Arn"])


def root() -> Principal:
    return Principal(account_id=ACCOUNT, arn=ROOT, user_id=ACCOUNT)


def asker(front: Front, who: Principal | None = None) -> data_keys.Asker:
    """S3 in the name of a caller."""
    call = Call(
        service="s3", action="PutObject", region=REGION, principal=who or root(), request_id="r", now=front.clock.now(),
        ids=front.pipeline.ids, sealer=front.sealer, witness=front.store.audit, commit=front.pipeline._commit_first,
    )  # fmt: skip
    return data_keys.for_caller(call, front.store.world, "s3")


def service(front: Front, name: str = LOGS, source: str = GROUP) -> data_keys.Asker:
    return data_keys.for_service(
        world=front.store.world, sealer=front.sealer, ids=front.pipeline.ids, now=front.clock.now(), region=REGION,
        audit=front.store.audit, name=name, source_arn=source, source_account=ACCOUNT,
    )  # fmt: skip


def code(function: Any, *given: Any) -> str:
    try:
        function(*given)
    except ApiError as error:
        return error.code
    return "allowed"


def test_what_was_sealed_opens_with_its_context_alone(front: Front, kms: Any) -> None:
    arn = key(kms)
    made = data_keys.generate(asker(front), arn, CONTEXT)
    assert (made.key_arn, len(made.plain)) == (arn, 32)
    assert made.plain not in made.sealed
    assert data_keys.open(asker(front), made.sealed, CONTEXT) == made.plain
    for context in ({}, {"aws:s3:arn": "arn:aws:s3:::bucket/key"}, CONTEXT | {"more": "x"}):
        assert code(data_keys.open, asker(front), made.sealed, context) == "InvalidCiphertextException"
    assert code(data_keys.open, asker(front), made.sealed[:-1] + b"x", CONTEXT) == "InvalidCiphertextException"
    assert code(data_keys.open, asker(front), b"", CONTEXT) == "InvalidCiphertextException"
    assert made.plain.hex() not in repr(made)
    assert repr(made.plain) not in repr(made)


@pytest.mark.parametrize("ref", ["id", "arn", "alias", "alias arn"])
def test_keys_are_named_in_four_ways(front: Front, kms: Any, ref: str) -> None:
    arn = key(kms)
    kms.create_alias(AliasName=f"alias/{ref.replace(' ', '-')}", TargetKeyId=arn)
    alias = f"alias/{ref.replace(' ', '-')}"
    given = {"id": arn[-36:], "arn": arn, "alias": alias, "alias arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:{alias}"}[ref]
    assert data_keys.generate(asker(front), given, {}).key_arn == arn
    assert data_keys.check(asker(front), given, {}) == arn
    found = data_keys.arn_of(front.store.world, given, region=REGION, account_id=ACCOUNT, now=front.clock.now())
    assert found == arn


def test_states_are_refused_as_kms_does_and_in_the_words_of_services(front: Front, kms: Any) -> None:
    arn = key(kms)
    made = data_keys.generate(asker(front), arn, {})
    kms.disable_key(KeyId=arn)
    assert code(data_keys.open, asker(front), made.sealed, {}) == "DisabledException"
    kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    assert code(data_keys.generate, asker(front), arn, {}) == "KMSInvalidStateException"
    missing = f"{arn[:-1]}{'0' if arn[-1] != '0' else '1'}"
    words = {
        "s3": "KMS.NotFoundException",
        "logs": "InvalidParameterException",
        "cloudtrail": "KmsKeyNotFoundException",
    }
    for name, expected in words.items():
        with pytest.raises(ApiError) as caught, data_keys.told_by(name):
            data_keys.generate(asker(front), missing, {})
        assert caught.value.code == expected


_USE = ["kms:GenerateDataKey*", "kms:Decrypt"]
#: of a key that a service principal asks for: the statement, and whether it lets CloudWatch Logs in
SERVICES: dict[str, tuple[dict[str, Any], bool]] = {
    "no statement": (statement({"AWS": ROOT}), False),
    "the service": (statement({"Service": LOGS}, _USE), True),
    "another service": (statement({"Service": "cloudtrail.amazonaws.com"}, _USE), False),
    "the same service elsewhere": (statement({"Service": "logs.eu-west-1.amazonaws.com"}, _USE), False),
    "another action": (statement({"Service": LOGS}, "kms:Encrypt"), False),
    "for this source": (statement({"Service": LOGS}, _USE, ArnEquals={"aws:SourceArn": GROUP}), True),
    "for another source": (statement({"Service": LOGS}, _USE, ArnEquals={"aws:SourceArn": GROUP + "x"}), False),
    "for this account": (statement({"Service": LOGS}, _USE, StringEquals={"aws:SourceAccount": ACCOUNT}), True),
    "for another account": (
        statement({"Service": LOGS}, _USE, StringEquals={"aws:SourceAccount": OTHER_ACCOUNT}), False
    ),
    "with this context": (
        statement({"Service": LOGS}, _USE, ArnLike={"kms:EncryptionContext:aws:logs:arn": f"{GROUP[:-1]}*"}), True
    ),
    "with another context": (
        statement({"Service": LOGS}, _USE, ArnEquals={"kms:EncryptionContext:aws:logs:arn": GROUP + "x"}), False
    ),
    "with context keys": (
        statement({"Service": LOGS}, _USE, **{"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["aws:logs:arn"]}}), True
    ),
    "never by way of a service": (statement({"Service": LOGS}, _USE, Null={"kms:ViaService": "false"}), False),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_principal_needs_the_key_policy(front: Front, kms: Any, name: str) -> None:
    given, allowed = SERVICES[name]
    arn = key(kms, given)
    context = {"aws:logs:arn": GROUP}
    assert code(data_keys.generate, service(front), arn, context) == ("allowed" if allowed else "AccessDeniedException")
    if allowed:
        made = data_keys.generate(service(front), arn, context)
        assert data_keys.open(service(front), made.sealed, context) == made.plain


#: of a key whose policy has this statement besides the account's: whether S3 may use it for the root
FORWARDED: dict[str, tuple[dict[str, Any], bool]] = {
    "nothing more": (statement({"AWS": ROOT}), True),
    "denied by way of S3": (
        statement("*", effect="Deny", StringEquals={"kms:ViaService": f"s3.{REGION}.amazonaws.com"}), False
    ),
    "denied by way of others": (
        statement("*", effect="Deny", StringEquals={"kms:ViaService": f"ec2.{REGION}.amazonaws.com"}), True
    ),
    "denied unless by way of S3": (
        statement("*", _USE, "Deny", StringNotEquals={"kms:ViaService": f"s3.{REGION}.amazonaws.com"}), True
    ),
    "denied from elsewhere": (  # AWS: the request is the service's, not from the caller's address
        statement("*", _USE, "Deny", NotIpAddress={"aws:SourceIp": "127.0.0.0/8"}), False
    ),
    "denied to services": (statement("*", _USE, "Deny", Bool={"aws:ViaAWSService": "true"}), False),
}  # fmt: skip


@pytest.mark.parametrize("name", FORWARDED)
def test_a_service_uses_keys_with_the_permissions_of_its_caller(front: Front, kms: Any, name: str) -> None:
    given, allowed = FORWARDED[name]
    expected = "allowed" if allowed else "AccessDeniedException"
    arn = key(kms, given)
    assert code(data_keys.generate, asker(front), arn, {}) == expected


def test_identity_policies_do_not_count_where_the_key_policy_names_others(front: Front) -> None:
    """Key policies: the root of trust; not even the account's root gets past them."""
    nobody = replace(root(), account_id=OTHER_ACCOUNT, arn=f"arn:aws:iam::{OTHER_ACCOUNT}:root", user_id=OTHER_ACCOUNT)
    only = json.dumps({"Version": "2012-10-17", "Statement": [statement({"Service": LOGS}, _USE)]})
    made = front.client("kms").create_key(Policy=only, BypassPolicyLockoutSafetyCheck=True)
    arn = made["KeyMetadata"]["Arn"]
    assert code(data_keys.generate, asker(front), arn, {}) == "AccessDeniedException"
    assert code(data_keys.generate, asker(front, nobody), arn, {}) == "AccessDeniedException"
    assert code(data_keys.generate, service(front), arn, {}) == "allowed"


def test_the_event_is_in_the_trail_by_the_hand_of_the_service(front: Front, kms: Any) -> None:
    """CloudTrail: who called, invokedBy the service, the encryption context, the key; no plaintext, no ciphertext."""
    arn = key(kms, statement({"Service": LOGS}, _USE))
    made = data_keys.generate(asker(front), arn, CONTEXT)
    event = shown(front.audit()[-1])
    assert event["userIdentity"] | {"accessKeyId": ""} == {
        "type": "Root", "principalId": ACCOUNT, "arn": ROOT, "accountId": ACCOUNT, "accessKeyId": "", "invokedBy": "s3.amazonaws.com"
    }  # fmt: skip
    assert (event["eventSource"], event["eventName"], event["readOnly"]) == (
        "kms.amazonaws.com",
        "GenerateDataKey",
        True,
    )
    assert event["sourceIPAddress"] == event["userAgent"] == "s3.amazonaws.com"
    assert event["requestParameters"] == {"keyId": arn, "encryptionContext": CONTEXT, "keySpec": "AES_256"}
    assert event["resources"] == [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": arn}]
    data_keys.open(asker(front), made.sealed, CONTEXT)
    event = front.audit()[-1]
    assert (event["eventName"], event["requestParameters"]["EncryptionContext"]) == ("Decrypt", CONTEXT)
    assert "CiphertextBlob" not in json.dumps(event)
    data_keys.generate(service(front), arn, {})
    event = front.audit()[-1]
    assert event["userIdentity"] == {"type": "AWSService", "invokedBy": LOGS}
    assert (event["sourceIPAddress"], event["recipientAccountId"]) == (LOGS, ACCOUNT)


def test_a_refusal_is_in_the_trail_too(front: Front, kms: Any) -> None:
    arn = key(kms)
    before = len(front.audit())
    assert code(data_keys.generate, service(front), arn, {}) == "AccessDeniedException"
    event = front.audit()[-1]
    assert len(front.audit()) == before + 1
    assert (event["eventName"], event["errorCode"]) == ("GenerateDataKey", "AccessDeniedException")


def test_a_key_of_another_account_tells_both(front: Front, kms: Any) -> None:
    """Cross-account: key policy and the caller's own permission; both accounts see the event, with one id."""
    other = Principal(account_id=OTHER_ACCOUNT, arn=f"arn:aws:iam::{OTHER_ACCOUNT}:root", user_id=OTHER_ACCOUNT)
    closed, opened = key(kms), key(kms, statement({"AWS": OTHER_ACCOUNT}, _USE))
    assert code(data_keys.generate, asker(front, other), closed, {}) == "AccessDeniedException"
    assert front.audit()[-1]["recipientAccountId"] == OTHER_ACCOUNT
    data_keys.generate(asker(front, other), opened, {})
    events = front.audit()[-2:]
    assert [event["recipientAccountId"] for event in events] == [OTHER_ACCOUNT, ACCOUNT]
    assert events[0]["sharedEventID"] == events[1]["sharedEventID"]


def test_the_managed_key_of_a_service_is_made_on_first_use(front: Front, kms: Any) -> None:
    """AWS managed keys: for everybody in the account, by way of the service alone."""
    call = Call(
        service="s3", action="PutObject", region=REGION, principal=root(), request_id="r", now=front.clock.now(),
        ids=front.pipeline.ids, sealer=front.sealer, witness=front.store.audit, commit=front.pipeline._commit_first,
    )  # fmt: skip
    assert code(data_keys.generate, asker(front), "alias/aws/s3", {}) == "NotFoundException"
    world = call.commit(lambda world: data_keys.first_use(call, world, "s3"))
    assert not data_keys.first_use(call, world, "s3")
    nobody = Principal(
        account_id=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:user/x", user_id="AIDAX", kind=PrincipalKind.USER, name="x"
    )
    made = data_keys.generate(asker(front, nobody), "alias/aws/s3", {})
    assert code(data_keys.generate, replace(asker(front), service="ec2"), "alias/aws/s3", {}) == "AccessDeniedException"
    held = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert (held["Arn"], held["KeyManager"]) == (made.key_arn, "AWS")
    with pytest.raises(kms.exceptions.ClientError, match="AccessDeniedException"):
        kms.schedule_key_deletion(KeyId=made.key_arn)
    with pytest.raises(kms.exceptions.ClientError, match="AccessDeniedException"):
        kms.encrypt(KeyId="alias/aws/s3", Plaintext=b"x")
