"""What KMS keys encrypt (DATA-05; AWS KMS Developer Guide: "Encryption context")."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.identity.ciphertext import CiphertextError, decrypt, encrypt, named_in, new_material

CONTEXTS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4)
MATERIAL, OTHER, KEY = new_material(), new_material(), str(uuid.UUID(int=7))


@given(plain=st.binary(min_size=1, max_size=64), context=CONTEXTS, other=CONTEXTS)
def test_it_opens_with_its_own_context_and_with_no_other(
    plain: bytes, context: dict[str, str], other: dict[str, str]
) -> None:
    blob = encrypt(MATERIAL, KEY, plain, context)
    assert decrypt(MATERIAL, blob, dict(reversed(context.items()))) == plain
    if other != context:
        with pytest.raises(CiphertextError):
            decrypt(MATERIAL, blob, other)


def _opened(blob: bytes, context: dict[str, str]) -> bytes:
    """As the service does it: only what names the key and the material is tried."""
    inside = named_in(blob)
    if inside.key != KEY or not MATERIAL.id.startswith(inside.material):
        raise CiphertextError
    return decrypt(MATERIAL, blob, context)


@given(plain=st.binary(min_size=1, max_size=64), place=st.integers(0, 1000), bit=st.integers(0, 7))
def test_no_bit_of_it_can_be_changed(plain: bytes, place: int, bit: int) -> None:
    blob = bytearray(encrypt(MATERIAL, KEY, plain, {"a": "b"}))
    blob[place % len(blob)] ^= 1 << bit
    with pytest.raises(CiphertextError):
        _opened(bytes(blob), {"a": "b"})


def test_contexts_that_look_alike_are_told_apart() -> None:
    blob = encrypt(MATERIAL, KEY, b"x", {"ab": "c"})
    for other in ({"a": "bc"}, {"abc": ""}, {"": "abc"}, {"ab": "c", "": ""}, {"AB": "c"}):
        with pytest.raises(CiphertextError):
            decrypt(MATERIAL, blob, other)


def test_it_names_its_key_and_material_and_opens_with_no_other() -> None:
    blob = encrypt(MATERIAL, KEY, b"secret text", {})
    assert named_in(blob).key == KEY
    assert MATERIAL.id.startswith(named_in(blob).material)
    assert b"secret text" not in blob
    assert encrypt(MATERIAL, KEY, b"secret text", {}) != blob
    with pytest.raises(CiphertextError):
        decrypt(OTHER, blob, {})
    for damaged in (b"", b"\x01", b"\x02" + blob[1:], blob[:40]):
        with pytest.raises(CiphertextError):
            named_in(damaged)


def test_material_is_not_shown() -> None:
    assert repr(MATERIAL.secret) not in repr(MATERIAL)
    assert MATERIAL.secret.hex() not in repr(MATERIAL)
