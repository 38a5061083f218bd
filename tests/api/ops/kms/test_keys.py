"""Keys of AWS KMS as an unmodified boto3 meets them (AWS KMS API Reference; AWS KMS Developer Guide: "Key states", "Aliases",
"Rotate AWS KMS keys"; DATA-05)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence import key_upkeep
from ringfence.identity.sealing import Sealer, new_key
from ringfence.model.kinds import KMS_ALIAS, KMS_GRANT, KMS_KEY, KMS_MATERIAL
from ringfence.model.quotas import Limits
from ringfence.model.world import World, put
from ringfence.store.store import Commit
from tests.api.front import ACCOUNT, OTHER_ACCOUNT, OTHER_KEY, Front

REGION = "us-east-1"
START = f"arn:aws:kms:{REGION}:{ACCOUNT}:"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
MISSING = "12345678-1234-1234-1234-123456789012"


@pytest.fixture(scope="module")
def front() -> Front:
    return Front(strict_clients=False)


@pytest.fixture(scope="module")
def kms(front: Front) -> Any:
    return front.client("kms")


def new(kms: Any, **how: Any) -> str:
    return str(kms.create_key(**how)["KeyMetadata"]["KeyId"])


def code(call: Any, **params: Any) -> str:
    try:
        call(**params)
    except ClientError as problem:
        return str(problem.response["Error"]["Code"])
    return "ok"


def turn(front: Front, arn: str, **later: float) -> None:
    """Time has passed for a key."""

    def decide(world: World) -> Commit:
        row = world.find(KMS_KEY, arn)
        assert row is not None
        return Commit(change=put(KMS_KEY, replace(row, **later)))  # type: ignore[arg-type]

    front.store.write(decide)


def upkeep(front: Front) -> None:
    key_upkeep.keep(front.store, front.sealer, front.clock, front.pipeline.ids)


# ---------------------------------------------------------------------- made and described
def test_a_key_is_described_as_aws_does(kms: Any) -> None:
    made = kms.create_key(Description="mine", Tags=[{"TagKey": "Team", "TagValue": "a"}])["KeyMetadata"]
    for ref in (made["KeyId"], made["Arn"]):
        shown = kms.describe_key(KeyId=ref)["KeyMetadata"]
        assert shown == made
    assert made["Arn"] == f"{START}key/{made['KeyId']}"
    expected = {
        "AWSAccountId": ACCOUNT, "Enabled": True, "Description": "mine", "KeyUsage": "ENCRYPT_DECRYPT", "KeyState": "Enabled",
        "Origin": "AWS_KMS", "KeyManager": "CUSTOMER", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT", "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"], "MultiRegion": False,
    }  # fmt: skip
    assert {name: made[name] for name in expected} == expected
    assert kms.list_resource_tags(KeyId=made["KeyId"])["Tags"] == [{"TagKey": "Team", "TagValue": "a"}]
    policy = json.loads(kms.get_key_policy(KeyId=made["KeyId"])["Policy"])
    assert policy["Statement"][0]["Principal"] == {"AWS": ROOT}
    assert kms.list_key_policies(KeyId=made["KeyId"])["PolicyNames"] == ["default"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}, "UnsupportedOperationException"),
        ({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}, "UnsupportedOperationException"),
        ({"KeyUsage": "SIGN_VERIFY"}, "ValidationException"), ({"Origin": "EXTERNAL"}, "UnsupportedOperationException"),
        ({"MultiRegion": True}, "UnsupportedOperationException"),
        ({"CustomKeyStoreId": "cks-1"}, "UnsupportedOperationException"),
        ({"KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT"}, "ValidationException"),
        ({"KeySpec": "NONE"}, "ValidationException"), ({"Policy": "{"}, "MalformedPolicyDocumentException"),
        ({"Tags": [{"TagKey": "aws:x", "TagValue": ""}]}, "TagException"),
        ({"Tags": [{"TagKey": "x", "TagValue": ""}] * 2}, "TagException"),
        ({"Description": "x" * 8193}, "ValidationException"),
        ({"CustomerMasterKeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT", "Origin": "AWS_KMS"}, "ok"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_refused(front: Front, kms: Any, params: dict[str, Any], expected: str) -> None:
    before = front.store.world
    assert code(kms.create_key, **params) == expected
    assert (front.store.world is before) is (expected != "ok")


@pytest.mark.parametrize(
    "action",
    ["sign", "verify", "get_public_key", "get_parameters_for_import", "generate_data_key_pair", "replicate_key"],
)
def test_other_kinds_of_keys_are_not_served(kms: Any, action: str) -> None:
    params: dict[str, dict[str, Any]] = {
        "sign": {"Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"},
        "verify": {"Message": b"x", "Signature": b"x", "SigningAlgorithm": "ECDSA_SHA_256"},
        "get_parameters_for_import": {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
        "generate_data_key_pair": {"KeyPairSpec": "RSA_2048"}, "replicate_key": {"ReplicaRegion": "eu-west-1"},
    }  # fmt: skip
    assert code(getattr(kms, action), KeyId=new(kms), **params.get(action, {})) == "UnsupportedOperation"


@pytest.mark.parametrize(
    ("ref", "expected", "words"),
    [
        (MISSING, "NotFoundException", f"Key '{START}key/{MISSING}' does not exist"),
        (f"{START}key/{MISSING}", "NotFoundException", "does not exist"),
        ("alias/none", "NotFoundException", f"Alias {START}alias/none is not found."),
        ("nonsense", "NotFoundException", "Invalid keyId 'nonsense'"), ("arn:aws:kms:x", "InvalidArnException", "Invalid arn"),
        (f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/{MISSING}", "NotFoundException", "Invalid arn eu-west-1"),
        (f"arn:aws:kms:{REGION}:{OTHER_ACCOUNT}:key/{MISSING}", "AccessDeniedException", "is not authorized"),
    ],
)  # fmt: skip
def test_names_of_nothing(kms: Any, ref: str, expected: str, words: str) -> None:
    with pytest.raises(ClientError) as caught:
        kms.encrypt(KeyId=ref, Plaintext=b"x")
    assert caught.value.response["Error"]["Code"] == expected
    assert words in caught.value.response["Error"]["Message"]


# ---------------------------------------------------------------------- encrypting
def test_what_is_encrypted_is_decrypted(kms: Any) -> None:
    key = new(kms)
    made = kms.encrypt(KeyId=key, Plaintext=b"x" * 4096, EncryptionContext={"A": "1", "B": "2"})
    assert made["KeyId"] == f"{START}key/{key}"
    read = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"B": "2", "A": "1"})
    assert (read["Plaintext"], read["KeyId"]) == (b"x" * 4096, made["KeyId"])
    data = kms.generate_data_key(KeyId=key, NumberOfBytes=5, EncryptionContext={"A": "1"})
    assert len(data["Plaintext"]) == 5
    opened = kms.decrypt(CiphertextBlob=data["CiphertextBlob"], KeyId=key, EncryptionContext={"A": "1"})
    assert opened["Plaintext"] == data["Plaintext"]
    hidden = kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_128")
    assert "Plaintext" not in hidden
    assert len(kms.decrypt(CiphertextBlob=hidden["CiphertextBlob"])["Plaintext"]) == 16
    assert len(kms.generate_random(NumberOfBytes=1024)["Plaintext"]) == 1024


def test_it_is_encrypted_anew_without_being_seen(kms: Any) -> None:
    one, two = new(kms), new(kms)
    first = kms.encrypt(KeyId=one, Plaintext=b"plain", EncryptionContext={"A": "1"})["CiphertextBlob"]
    moved = kms.re_encrypt(
        CiphertextBlob=first, SourceEncryptionContext={"A": "1"}, DestinationKeyId=two, DestinationEncryptionContext={"B": "2"}
    )  # fmt: skip
    assert (moved["SourceKeyId"], moved["KeyId"]) == (f"{START}key/{one}", f"{START}key/{two}")
    kms.disable_key(KeyId=one)
    read = kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"B": "2"})
    assert (read["Plaintext"], read["KeyId"]) == (b"plain", f"{START}key/{two}")
    again = {"CiphertextBlob": first, "DestinationKeyId": two, "SourceEncryptionContext": {"A": "1"}}
    assert code(kms.re_encrypt, **again) == "DisabledException"
    kms.enable_key(KeyId=one)
    assert code(kms.re_encrypt, **again | {"SourceEncryptionContext": {}}) == "InvalidCiphertextException"
    assert code(kms.re_encrypt, **again | {"SourceKeyId": two}) == "IncorrectKeyException"


def test_bad_input_to_cryptography(front: Front, kms: Any) -> None:
    key, other = new(kms), new(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.create_alias(AliasName="alias/other", TargetKeyId=other)
    elsewhere = front.client("kms", region="eu-west-1")
    cells: list[tuple[Any, dict[str, Any], str]] = [
        (kms.decrypt, {"CiphertextBlob": b"nothing"}, "InvalidCiphertextException"),
        (kms.decrypt, {"CiphertextBlob": blob[:-1] + bytes([blob[-1] ^ 1])}, "InvalidCiphertextException"),
        (kms.decrypt, {"CiphertextBlob": blob, "EncryptionContext": {"A": "1"}}, "InvalidCiphertextException"),
        (kms.decrypt, {"CiphertextBlob": blob, "KeyId": other}, "IncorrectKeyException"),
        (kms.decrypt, {"CiphertextBlob": blob, "KeyId": "alias/other"}, "IncorrectKeyException"),
        (elsewhere.decrypt, {"CiphertextBlob": blob}, "AccessDeniedException"),
        (kms.decrypt, {"CiphertextBlob": blob, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}, "InvalidKeyUsageException"),
        (kms.encrypt, {"KeyId": key, "Plaintext": b"x" * 4097}, "ValidationException"),
        (kms.encrypt, {"KeyId": key, "Plaintext": b"x", "EncryptionContext": {"A": "x" * 8192}}, "ValidationException"),
        (kms.generate_data_key, {"KeyId": key}, "ValidationException"),
        (kms.generate_data_key, {"KeyId": key, "KeySpec": "AES_256", "NumberOfBytes": 8}, "ValidationException"),
        (kms.generate_data_key, {"KeyId": key, "NumberOfBytes": 1025}, "ValidationException"),
        (kms.generate_random, {}, "ValidationException"),
        (kms.encrypt, {"KeyId": key, "Plaintext": b"x", "GrantTokens": ["none"]}, "InvalidGrantTokenException"),
        (kms.encrypt, {"KeyId": key, "Plaintext": b"x", "DryRun": True}, "DryRunOperationException"),
        (kms.decrypt, {"CiphertextBlob": blob, "DryRun": True}, "DryRunOperationException"),
    ]  # fmt: skip
    for call, params, expected in cells:
        assert code(call, **params) == expected, params


# ---------------------------------------------------------------------- states
_DISABLED, _STATE, _OK = "DisabledException", "KMSInvalidStateException", "ok"
#: AWS KMS Developer Guide, "Key states of AWS KMS keys": operation -> what a disabled key and one pending deletion answer
STATES: dict[str, tuple[dict[str, Any], str, str]] = {
    "encrypt": ({"Plaintext": b"x"}, _DISABLED, _STATE),
    "generate_data_key": ({"KeySpec": "AES_256"}, _DISABLED, _STATE),
    "describe_key": ({}, _OK, _OK), "get_key_policy": ({}, _OK, _OK), "get_key_rotation_status": ({}, _OK, _OK),
    "list_resource_tags": ({}, _OK, _OK), "list_grants": ({}, _OK, _OK), "list_key_rotations": ({}, _OK, _OK),
    "enable_key_rotation": ({}, _DISABLED, _STATE), "disable_key_rotation": ({}, _DISABLED, _STATE),
    "rotate_key_on_demand": ({}, _DISABLED, _STATE),
    "create_grant": ({"GranteePrincipal": ROOT, "Operations": ["Decrypt"]}, _DISABLED, _STATE),
    "update_key_description": ({"Description": "x"}, _OK, _STATE),
    "tag_resource": ({"Tags": [{"TagKey": "a", "TagValue": "b"}]}, _OK, _STATE), "untag_resource": ({"TagKeys": ["a"]}, _OK, _STATE),
    "disable_key": ({}, _OK, _STATE), "cancel_key_deletion": ({}, _STATE, _OK), "schedule_key_deletion": ({}, _OK, _STATE),
    "enable_key": ({}, _OK, _STATE),
}  # fmt: skip


@pytest.mark.parametrize("action", STATES)
def test_what_a_state_lets_be_done(kms: Any, action: str) -> None:
    params, disabled, pending = STATES[action]
    for state, expected in (("disable_key", disabled), ("schedule_key_deletion", pending)):
        key = new(kms)
        getattr(kms, state)(KeyId=key)
        assert code(getattr(kms, action), KeyId=key, **params) == expected, state


def test_deletion_waits_can_be_stopped_and_is_for_ever(front: Front, kms: Any) -> None:
    """7 to 30 days; what the key encrypted is lost with its material, its aliases and grants are gone."""
    key, kept = new(kms), new(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.create_alias(AliasName="alias/going", TargetKeyId=key)
    kms.create_grant(KeyId=key, GranteePrincipal=ROOT, Operations=["Decrypt"])
    for days in (1, 6, 31):
        assert code(kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=days) == "ValidationException"
    for one in (key, kept):
        said = kms.schedule_key_deletion(KeyId=one, PendingWindowInDays=7)
        assert (said["KeyState"], said["PendingWindowInDays"]) == ("PendingDeletion", 7)
    assert code(kms.decrypt, CiphertextBlob=blob) == "KMSInvalidStateException"
    kms.cancel_key_deletion(KeyId=kept)
    assert kms.describe_key(KeyId=kept)["KeyMetadata"]["KeyState"] == "Disabled"
    arn = f"{START}key/{key}"
    assert front.store.world.by(KMS_MATERIAL, "key", arn)
    turn(front, arn, deletion=front.clock.now().timestamp() - 1)
    assert code(kms.describe_key, KeyId=key) == "NotFoundException"  # though nobody has looked yet
    assert code(kms.cancel_key_deletion, KeyId=key) == "NotFoundException"
    upkeep(front)
    world = front.store.world
    assert not any(world.by(kind, "key", arn) for kind in (KMS_MATERIAL, KMS_ALIAS, KMS_GRANT))
    assert code(kms.decrypt, CiphertextBlob=blob) == "AccessDeniedException"
    assert code(kms.describe_key, KeyId="alias/going") == "NotFoundException"
    assert key not in str(kms.list_keys(Limit=1000))
    event = next(event for event in reversed(front.audit()) if event["eventName"] == "DeleteKey")
    assert event["userIdentity"] == {"accountId": ACCOUNT, "invokedBy": "AWS Internal"}
    assert (event["eventType"], event["resources"][0]["ARN"]) == ("AwsServiceEvent", arn)
    kms.enable_key(KeyId=kept)
    kms.encrypt(KeyId=kept, Plaintext=b"x")


# ---------------------------------------------------------------------- rotation
def test_what_older_material_encrypted_still_opens(front: Front, kms: Any) -> None:
    key = new(kms)
    blobs = [kms.encrypt(KeyId=key, Plaintext=b"1")["CiphertextBlob"]]
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
    assert kms.list_key_rotations(KeyId=key)["Rotations"] == []
    kms.rotate_key_on_demand(KeyId=key)
    blobs.append(kms.encrypt(KeyId=key, Plaintext=b"2")["CiphertextBlob"])
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    status = kms.get_key_rotation_status(KeyId=key)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 90)
    assert abs((status["NextRotationDate"] - front.clock.now()).total_seconds() - 90 * 86400) < 60
    upkeep(front)
    assert len(kms.list_key_rotations(KeyId=key)["Rotations"]) == 1
    turn(front, f"{START}key/{key}", rotates=front.clock.now().timestamp() - 1)
    upkeep(front)
    upkeep(front)
    blobs.append(kms.encrypt(KeyId=key, Plaintext=b"3")["CiphertextBlob"])
    read = [kms.decrypt(CiphertextBlob=blob) for blob in blobs]
    assert [one["Plaintext"] for one in read] == [b"1", b"2", b"3"]
    assert len({one["KeyMaterialId"] for one in read}) == 3
    rotations = kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert [one.get("RotationType") for one in rotations] == [None, "ON_DEMAND", "AUTOMATIC"]
    assert [one["KeyMaterialState"] for one in rotations] == ["NON_CURRENT", "NON_CURRENT", "CURRENT"]
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"] == rotations[-1]["KeyMaterialId"]
    kms.disable_key_rotation(KeyId=key)
    assert "NextRotationDate" not in kms.get_key_rotation_status(KeyId=key)
    assert code(kms.enable_key_rotation, KeyId=key, RotationPeriodInDays=89) == "ValidationException"


def test_on_demand_rotations_are_limited(kms: Any) -> None:
    key = new(kms)
    for _ in range(25):
        kms.rotate_key_on_demand(KeyId=key)
    assert code(kms.rotate_key_on_demand, KeyId=key) == "LimitExceededException"


def test_without_the_sealing_key_nothing_opens_and_the_service_says_so() -> None:
    """DATA-04: material is sealed by a key outside the database."""
    front = Front()
    kms = front.client("kms")
    key = new(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    front.pipeline.sealer = Sealer([new_key()])
    assert code(kms.decrypt, CiphertextBlob=blob) == "KMSInternalException"
    assert code(kms.encrypt, KeyId=key, Plaintext=b"x") == "KMSInternalException"
    front.pipeline.sealer = front.sealer
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert front.pipeline.internal_errors == 0


# ---------------------------------------------------------------------- aliases, tags, lists
def test_aliases_name_keys(kms: Any) -> None:
    one, two = new(kms), new(kms)
    kms.create_alias(AliasName="alias/app/one", TargetKeyId=one)
    blob = kms.encrypt(KeyId="alias/app/one", Plaintext=b"x")["CiphertextBlob"]
    kms.update_alias(AliasName="alias/app/one", TargetKeyId=f"{START}key/{two}")
    assert kms.encrypt(KeyId=f"{START}alias/app/one", Plaintext=b"x")["KeyId"].endswith(two)
    assert kms.decrypt(CiphertextBlob=blob)["KeyId"].endswith(one)
    held = kms.list_aliases(KeyId=two)["Aliases"]
    assert [(a["AliasName"], a["AliasArn"], a["TargetKeyId"]) for a in held] == [
        ("alias/app/one", f"{START}alias/app/one", two)
    ]
    assert code(kms.get_key_policy, KeyId="alias/app/one") == "NotFoundException"  # AWS: few operations take aliases
    kms.delete_alias(AliasName="alias/app/one")
    assert code(kms.describe_key, KeyId="alias/app/one") == "NotFoundException"


@pytest.mark.parametrize(
    ("action", "params", "expected"),
    [
        ("create_alias", {"AliasName": "nothing"}, "ValidationException"),
        ("create_alias", {"AliasName": "alias/"}, "InvalidAliasNameException"),
        ("create_alias", {"AliasName": "alias/aws/mine"}, "NotAuthorizedException"),
        ("create_alias", {"AliasName": "alias/a b"}, "ValidationException"),
        ("create_alias", {"AliasName": "alias/taken"}, "AlreadyExistsException"),
        ("create_alias", {"AliasName": "alias/x", "TargetKeyId": MISSING}, "NotFoundException"),
        ("create_alias", {"AliasName": "alias/x", "TargetKeyId": "alias/taken"}, "ValidationException"),
        ("update_alias", {"AliasName": "alias/none"}, "NotFoundException"),
    ],
)
def test_names_that_no_alias_can_have(kms: Any, action: str, params: dict[str, Any], expected: str) -> None:
    key = new(kms)
    code(kms.create_alias, AliasName="alias/taken", TargetKeyId=key)
    assert code(getattr(kms, action), **{"TargetKeyId": key} | params) == expected


def test_a_predefined_alias_gets_its_key_when_it_is_asked_about(front: Front) -> None:
    """ListAliases shows it before, without a key; DescribeKey makes the key."""
    kms = front.client("kms", region="eu-west-1")

    def target() -> list[Any]:
        return [
            a.get("TargetKeyId") for a in kms.list_aliases(Limit=100)["Aliases"] if a["AliasName"] == "alias/aws/ebs"
        ]

    assert target() == [None]
    assert code(kms.describe_key, KeyId="alias/aws/nothing-known") == "NotFoundException"
    made = kms.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]
    assert (made["KeyManager"], target()) == ("AWS", [made["KeyId"]])
    assert kms.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]["KeyId"] == made["KeyId"]
    foreign = front.client("kms", key=OTHER_KEY, region="eu-west-1")
    assert code(foreign.list_aliases, KeyId=made["Arn"]) == "NotFoundException"


def test_limits() -> None:
    front = Front()
    front.pipeline.limits = Limits({"kms-keys": 2, "kms-aliases-per-key": 1, "kms-grants-per-key": 1})
    kms = front.client("kms")
    keys = [new(kms), new(kms)]
    assert code(kms.create_key) == "LimitExceededException"
    kms.describe_key(KeyId="alias/aws/s3")  # AWS managed keys do not count
    kms.create_alias(AliasName="alias/a", TargetKeyId=keys[0])
    assert code(kms.create_alias, AliasName="alias/b", TargetKeyId=keys[0]) == "LimitExceededException"
    kms.update_alias(AliasName="alias/a", TargetKeyId=keys[0])
    grant = {"KeyId": keys[0], "GranteePrincipal": ROOT, "Operations": ["Decrypt"]}
    kms.create_grant(**grant)
    assert code(kms.create_grant, **grant) == "LimitExceededException"
    tags = [{"TagKey": str(n), "TagValue": ""} for n in range(51)]
    kms.tag_resource(KeyId=keys[0], Tags=tags[:50])
    assert code(kms.tag_resource, KeyId=keys[0], Tags=tags[50:]) == "LimitExceededException"
    kms.untag_resource(KeyId=keys[0], TagKeys=["0", "none"])
    assert len(kms.list_resource_tags(KeyId=keys[0], Limit=1000)["Tags"]) == 49
    assert code(kms.put_key_policy, KeyId=keys[0], Policy=" " * 32_768 + "{}") == "LimitExceededException"


def test_lists_come_in_pages() -> None:
    kms = Front(strict_clients=False).client("kms")
    made = sorted(new(kms) for _ in range(5))
    for position, key in enumerate(made):
        kms.create_alias(AliasName=f"alias/{position}", TargetKeyId=key)
    pages = list(kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["Keys"]) for page in pages] == [2, 2, 1]
    assert [key["KeyId"] for page in pages for key in page["Keys"]] == made
    names = [
        a["AliasName"]
        for page in kms.get_paginator("list_aliases").paginate(PaginationConfig={"PageSize": 2})
        for a in page["Aliases"]
    ]
    assert names[:5] == [f"alias/{n}" for n in range(5)]
    assert all(name.startswith("alias/aws/") for name in names[5:])
    assert len(set(names)) == len(names)
    for marker in ("x", "bnVsbA==", "é"):
        assert code(kms.list_keys, Marker=marker) == "InvalidMarkerException"
    assert code(kms.list_aliases, Limit=101) == "ValidationException"
    assert code(kms.list_keys, Limit=0) == "ValidationException"


# ---------------------------------------------------------------------- grants
def test_grants_are_listed_and_ended(kms: Any) -> None:
    key = new(kms)
    how = {
        "KeyId": key, "GranteePrincipal": ROOT, "RetiringPrincipal": ROOT, "Operations": ["Decrypt", "Encrypt"], "Name": "g",
        "Constraints": {"EncryptionContextSubset": {"A": "1"}},
    }  # fmt: skip
    made = kms.create_grant(**how)
    assert kms.create_grant(**how)["GrantId"] == made["GrantId"]  # AWS: the same name and parameters, the same grant
    (shown,) = kms.list_grants(KeyId=key)["Grants"]
    assert shown["Constraints"] == {"EncryptionContextSubset": {"A": "1"}}
    assert (shown["Name"], shown["Operations"], shown["IssuingAccount"]) == ("g", ["Decrypt", "Encrypt"], ROOT)
    assert made["GrantId"] in [
        grant["GrantId"] for grant in kms.list_retirable_grants(RetiringPrincipal=ROOT)["Grants"]
    ]
    assert kms.list_grants(KeyId=key, GrantId="0" * 64)["Grants"] == []
    kms.retire_grant(GrantToken=made["GrantToken"])
    second = kms.create_grant(**how)
    assert second["GrantId"] != made["GrantId"]
    assert code(kms.revoke_grant, KeyId=new(kms), GrantId=second["GrantId"]) == "NotFoundException"
    kms.revoke_grant(KeyId=key, GrantId=second["GrantId"])
    assert code(kms.revoke_grant, KeyId=key, GrantId=second["GrantId"]) == "NotFoundException"
    assert kms.list_grants(KeyId=key)["Grants"] == []


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"Operations": ["Sign"]}, "ValidationException"), ({"Operations": ["None"]}, "ValidationException"),
        ({"Operations": []}, "ValidationException"), ({"GranteePrincipal": "ann"}, "InvalidArnException"),
        ({"GranteePrincipal": f"arn:aws:iam::{ACCOUNT}:user/nobody"}, "InvalidArnException"),
        ({"RetiringPrincipal": f"arn:aws:iam::{ACCOUNT}:role/none"}, "InvalidArnException"),
        ({"Constraints": {"EncryptionContextSubset": {"a": "b"}, "EncryptionContextEquals": {"a": "b"}}}, "ValidationException"),
        ({"GranteeServicePrincipal": "logs.us-east-1.amazonaws.com"}, "ValidationException"),
        ({"DryRun": True}, "DryRunOperationException"),
    ],
)  # fmt: skip
def test_grants_that_cannot_be(front: Front, kms: Any, params: dict[str, Any], expected: str) -> None:
    key = new(kms)
    before = front.store.world
    assert (
        code(kms.create_grant, **{"KeyId": key, "GranteePrincipal": ROOT, "Operations": ["Decrypt"]} | params)
        == expected
    )
    assert front.store.world is before


# ---------------------------------------------------------------------- the trail
def test_the_trail_has_contexts_and_keys_but_nothing_secret(front: Front, kms: Any) -> None:
    """MON-11, DATA-03: as CloudTrail shows KMS's events."""
    key = new(kms)
    context = {"Project": "Alpha", "name": "x"}
    blob = kms.encrypt(KeyId=key, Plaintext=b"the plaintext", EncryptionContext=context)["CiphertextBlob"]
    event = front.audit()[-1]
    assert event["requestParameters"] == {"KeyId": key, "EncryptionContext": context}
    assert event["resources"] == [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": f"{START}key/{key}"}]
    assert (event["readOnly"], event.get("responseElements")) == (True, None)
    kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)
    assert front.audit()[-1]["requestParameters"] == {"EncryptionContext": context}
    assert code(kms.decrypt, CiphertextBlob=blob) == "InvalidCiphertextException"
    assert front.audit()[-1]["errorCode"] == "InvalidCiphertextException"
    kms.create_grant(KeyId=key, GranteePrincipal=ROOT, Operations=["Decrypt"])
    assert set(front.audit()[-1]["responseElements"]) == {"GrantId"}


def test_the_owner_of_a_key_sees_who_used_it(front: Front, kms: Any) -> None:
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "kms:*", "Resource": "*"} for account in (ACCOUNT, OTHER_ACCOUNT)
    ]}  # fmt: skip
    arn = f"{START}key/{new(kms, Policy=json.dumps(policy))}"
    other = front.client("kms", key=OTHER_KEY)
    other.encrypt(KeyId=arn, Plaintext=b"x")
    owners, callers = front.audit()[-2:]
    assert (owners["recipientAccountId"], callers["recipientAccountId"]) == (ACCOUNT, OTHER_ACCOUNT)
    assert owners["sharedEventID"] == callers["sharedEventID"]
    assert owners["eventID"] != callers["eventID"]
    assert code(other.disable_key, KeyId=arn) == "AccessDeniedException"  # AWS: not across accounts
    assert front.audit()[-1]["recipientAccountId"] == OTHER_ACCOUNT
