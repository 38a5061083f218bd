"""Sealed secrets: what is sealed opens unchanged, for its own purpose only, and never when altered (DATA-04)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence import keyfile
from ringfence.identity.sealing import Sealer, SealError, SealingKey, dump_keys, new_key, parse_keys
from ringfence.settings import SettingsError

KEY = SealingKey(b"key1", bytes(range(32)))
SEALER = Sealer([KEY])


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_is_sealed_opens(plain: bytes, purpose: str) -> None:
    assert SEALER.open(SEALER.seal(plain, purpose), purpose) == plain


@given(st.binary(max_size=60), st.data())
def test_any_altered_byte_is_noticed(plain: bytes, data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal(plain, "token"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SealError):
        SEALER.open(bytes(sealed), "token")


@given(st.binary(max_size=100))
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(SealError):
        SEALER.open(text, "token")


def test_the_purpose_is_bound() -> None:
    with pytest.raises(SealError):
        SEALER.open(SEALER.seal(b"x", "token"), "secret")


def test_the_same_text_never_looks_the_same_nor_shows() -> None:
    one, two = SEALER.seal(b"very secret", "p"), SEALER.seal(b"very secret", "p")
    assert one != two
    assert b"secret" not in one


def test_rotation_opens_the_old_and_seals_with_the_new() -> None:
    old, new = new_key(), new_key()
    sealed = Sealer([old]).seal(b"x", "p")
    both = Sealer([new, old])
    assert both.open(sealed, "p") == b"x"
    with pytest.raises(SealError, match="not held"):
        Sealer([old]).open(both.seal(b"x", "p"), "p")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sealing_keys": []}', '{"sealing_keys": [{"id": "00"}]}',
                                  '{"sealing_keys": [{"id": "00", "secret": "00"}]}', '{"sealing_keys": 3}'])  # fmt: skip
def test_a_damaged_key_file_is_said_so(text: str) -> None:
    with pytest.raises(ValueError):
        parse_keys(text)


def test_keys_survive_the_file() -> None:
    keys = (new_key(), new_key())
    assert parse_keys(dump_keys(keys)) == keys


def test_the_file_is_made_once_and_private(tmp_path: Path) -> None:
    sealed = keyfile.sealer_of(tmp_path).seal(b"x", "p")
    assert (tmp_path / keyfile.NAME).stat().st_mode & 0o777 == 0o600
    assert keyfile.sealer_of(tmp_path).open(sealed, "p") == b"x"
    assert keyfile.rotate(tmp_path).open(sealed, "p") == b"x"


def test_a_file_others_can_read_or_damaged_is_refused(tmp_path: Path) -> None:
    keyfile.sealer_of(tmp_path)
    path = tmp_path / keyfile.NAME
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="open to other users"):
        keyfile.sealer_of(tmp_path)
    path.chmod(0o600)
    path.write_text("{")
    with pytest.raises(SettingsError, match="damaged"):
        keyfile.sealer_of(tmp_path)
