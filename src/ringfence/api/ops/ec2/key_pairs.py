"""Key pairs (Amazon EC2 User Guide: "Key pairs"). Only public halves are stored."""

from __future__ import annotations

import base64
import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.model.errors import fault
from ringfence.model.kinds import KEY_PAIR
from ringfence.model.nouns.instance import KeyPair
from ringfence.model.world import World, delete, put

_BEGIN_RFC4716, _END_RFC4716 = "---- BEGIN SSH2 PUBLIC KEY ----", "---- END SSH2 PUBLIC KEY ----"
_Private = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def _sha1(data: bytes) -> str:
    digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, 40, 2))


def _md5(data: bytes) -> str:
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, 32, 2))


def _openssh_fingerprint(public: str) -> str:
    """SHA-256 as OpenSSH shows it: what AWS gives for ED25519 keys."""
    return base64.b64encode(hashlib.sha256(base64.b64decode(public.split()[1])).digest()).decode()


def _public_text(key: rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> str:
    raw = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return raw.decode()


def _created_fingerprint(key: _Private, public: str) -> str:
    """AWS: SHA-1 of the DER private key for keys it made (RSA)."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return _openssh_fingerprint(public)
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return _sha1(der)


def _pem(key: _Private) -> str:
    shape = (
        serialization.PrivateFormat.TraditionalOpenSSL
        if isinstance(key, rsa.RSAPrivateKey)
        else serialization.PrivateFormat.OpenSSH
    )
    return key.private_bytes(serialization.Encoding.PEM, shape, serialization.NoEncryption()).decode()


def _check_name(call: Call, world: World, name: str) -> None:
    if not 1 <= len(name) <= 255 or not name.isascii():
        raise fault("InvalidParameterValue", message="Key names are 1 to 255 ASCII characters")
    if any(key.name == name for key in call.mine(world, KEY_PAIR)):
        raise fault("InvalidKeyPair.Duplicate", message=f"The keypair '{name}' already exists.")


@operation("ec2:CreateKeyPair")
def create_key_pair(call: Call, world: World, params: Params) -> Outcome:
    """The private key is in this reply and nowhere else."""
    name, kind = params["KeyName"], params.get("KeyType") or "rsa"
    _check_name(call, world, name)
    if params.get("KeyFormat") not in (None, "pem"):
        raise fault("UnsupportedOperation", message="Only KeyFormat pem is supported by this installation")
    key: _Private = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if kind == "rsa"
        else ed25519.Ed25519PrivateKey.generate()
    )
    public = _public_text(key.public_key())
    pair = KeyPair(
        id=call.ids.new("key-"), **call.owned(), tags=tags_on_create(call, params, KEY_PAIR), name=name, key_type=kind,
        fingerprint=_created_fingerprint(key, public), public_key=public, created=call.timestamp,
    )  # fmt: skip
    return Outcome(_reply(pair) | {"KeyMaterial": _pem(key)}, put(KEY_PAIR, pair))


def _reply(pair: KeyPair) -> dict[str, object]:
    out: dict[str, object] = {"KeyPairId": pair.id, "KeyName": pair.name, "KeyFingerprint": pair.fingerprint}
    return out | ({"Tags": tag_list(pair.tags)} if pair.tags else {})


@operation("ec2:ImportKeyPair")
def import_key_pair(call: Call, world: World, params: Params) -> Outcome:
    """OpenSSH, RFC 4716, PEM or base64 DER public keys, RSA or ED25519."""
    name = params["KeyName"]
    _check_name(call, world, name)
    key = _read_public(params["PublicKeyMaterial"])
    public = f"{_public_text(key)} {name}"
    if isinstance(key, rsa.RSAPublicKey):
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        kind, fingerprint = "rsa", _md5(der)
    else:
        kind, fingerprint = "ed25519", _openssh_fingerprint(public)
    pair = KeyPair(
        id=call.ids.new("key-"), **call.owned(), tags=tags_on_create(call, params, KEY_PAIR), name=name, key_type=kind,
        fingerprint=fingerprint, public_key=public, created=call.timestamp,
    )  # fmt: skip
    return Outcome(_reply(pair), put(KEY_PAIR, pair))


def _load_rfc4716(data: bytes) -> serialization.SSHPublicKeyTypes:
    """RFC 4716: the OpenSSH blob in base64 between marker lines, after headers that `\\` continues. ValueError."""
    lines = [line.strip() for line in data.decode("ascii").strip().splitlines()]
    if len(lines) < 3 or lines[0] != _BEGIN_RFC4716 or lines[-1] != _END_RFC4716:
        raise ValueError("not an RFC 4716 file")
    body, header = "", False
    for line in lines[1:-1]:
        starts = not header and ":" in line
        if not (starts or header):
            body += line
        header = (starts or header) and line.endswith("\\")
    blob = base64.b64decode(body, validate=True)
    kind = blob[4 : 4 + int.from_bytes(blob[:4], "big")]
    return serialization.load_ssh_public_key(kind + b" " + base64.b64encode(blob))


def _load_der(data: bytes) -> PublicKeyTypes:
    return serialization.load_der_public_key(base64.b64decode(data, validate=False))


def _read_public(data: bytes) -> rsa.RSAPublicKey | ed25519.Ed25519PublicKey:
    for load in (serialization.load_ssh_public_key, serialization.load_pem_public_key, _load_rfc4716, _load_der):
        try:
            key = load(data)
        except (ValueError, UnsupportedAlgorithm):
            continue
        if isinstance(key, rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
            return key
    raise fault("InvalidKey.Format")


_FILTERS: dict[str, Values] = {
    "key-pair-id": lambda _, key: (key.id,),
    "key-name": lambda _, key: (key.name,),
    "fingerprint": lambda _, key: (key.fingerprint,),
}


def _by_name(call: Call, world: World, name: str) -> KeyPair:
    for key in call.mine(world, KEY_PAIR):
        if key.name == name:
            return key
    raise fault("InvalidKeyPair.NotFound", id=name)


@operation("ec2:DescribeKeyPairs")
def describe_key_pairs(call: Call, world: World, params: Params) -> Outcome:
    """By name, id or filter; the public key on request."""
    rows = [_by_name(call, world, name) for name in params.get("KeyNames") or ()]
    rows += [call.get(world, KEY_PAIR, id) for id in params.get("KeyPairIds") or ()]
    if not params.get("KeyNames") and not params.get("KeyPairIds"):
        rows = call.mine(world, KEY_PAIR)
    rows = apply_filters(world, rows, params.get("Filters") or (), _FILTERS)
    shown = []
    for key in rows:
        item = _reply(key) | {"KeyType": key.key_type, "CreateTime": key.created}
        shown.append(item | ({"PublicKey": key.public_key} if params.get("IncludePublicKey") else {}))
    return Outcome({"KeyPairs": shown})


@operation("ec2:DeleteKeyPair")
def delete_key_pair(call: Call, world: World, params: Params) -> Outcome:
    """AWS: deleting a key pair that does not exist succeeds."""
    name, id = params.get("KeyName"), params.get("KeyPairId")
    if not name and not id:
        raise fault("MissingParameter", name="KeyName")
    for key in call.mine(world, KEY_PAIR):
        if key.name == name or key.id == id:
            return Outcome({"Return": True, "KeyPairId": key.id}, delete(KEY_PAIR, key.id))
    return Outcome({"Return": True})
