"""The root key of an installation: given, found or made; and private."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from ringfence.settings import Settings, SettingsError, root_of, write_private


def settings(tmp_path: Path, **more: Any) -> Settings:
    return Settings(data=tmp_path, host="127.0.0.1", port=4566, home=tmp_path, **more)


def test_a_key_is_made_once(tmp_path: Path) -> None:
    first, second = root_of(settings(tmp_path), tmp_path), root_of(settings(tmp_path), tmp_path)
    assert (first.made, second.made) == (True, False)
    assert (first.account_id, first.access_key, first.secret_key) == (
        second.account_id,
        second.access_key,
        second.secret_key,
    )
    assert stat.S_IMODE((tmp_path / "root.json").stat().st_mode) == 0o600
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert root_of(settings(tmp_path), elsewhere).secret_key != first.secret_key


def test_a_given_key_wins_and_stays(tmp_path: Path) -> None:
    root_of(settings(tmp_path), tmp_path)
    given = root_of(settings(tmp_path, access_key="A", secret_key="B"), tmp_path)
    assert (given.access_key, given.secret_key, given.made) == ("A", "B", False)
    kept = root_of(settings(tmp_path), tmp_path)
    assert (kept.access_key, kept.secret_key, kept.account_id) == ("A", "B", given.account_id)


@pytest.mark.parametrize(
    "given",
    [{"account_id": "1"}, {"account_id": "12345678901a"}, {"access_key": "a b", "secret_key": "x"},
     {"access_key": "A", "secret_key": "with space"}, {"access_key": "A/B", "secret_key": "x"}],
)  # fmt: skip
def test_keys_no_client_could_use_are_refused(tmp_path: Path, given: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        root_of(settings(tmp_path, **given), tmp_path)
    assert not (tmp_path / "root.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"account_id": "123456789012"}'])
def test_a_damaged_key_file_is_not_replaced_silently(tmp_path: Path, text: str) -> None:
    (tmp_path / "root.json").write_text(text)
    with pytest.raises(SettingsError, match="damaged"):
        root_of(settings(tmp_path), tmp_path)
    assert (tmp_path / "root.json").read_text() == text


def test_private_files_are_private_even_over_open_ones(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for name in ("f", "f.new"):
        (tmp_path / name).write_text("old")
        (tmp_path / name).chmod(0o666)
    write_private(path, json.dumps({"secret": 1}))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not (tmp_path / "f.new").exists()


@pytest.mark.parametrize(
    ("host", "tls", "endpoint"),
    [("127.0.0.1", None, "http://127.0.0.1:4566"), ("::1", None, "http://[::1]:4566"),
     ("localhost", (Path("c"), Path("k")), "https://localhost:4566")],
)  # fmt: skip
def test_endpoint(host: str, tls: tuple[Path, Path] | None, endpoint: str) -> None:
    assert Settings(data=None, host=host, port=4566, home=Path(), tls=tls).endpoint == endpoint
