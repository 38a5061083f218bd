"""The file that holds the sealing keys: beside the database, never in it; made once, readable to its owner only."""

from __future__ import annotations

import stat
from pathlib import Path

from ringfence.identity.sealing import Sealer, SealingKey, dump_keys, new_key, parse_keys
from ringfence.settings import SettingsError, write_private

NAME = "sealing.json"


def sealer_of(directory: Path) -> Sealer:
    """The sealer of a data directory; its key is made when there is none. SettingsError when the file cannot be used."""
    path = directory / NAME
    keys = _stored(path)
    if not keys:
        keys = (new_key(),)
        write_private(path, dump_keys(keys))
    return Sealer(keys)


def rotate(directory: Path) -> Sealer:
    """Seal with a new key from now on; what older keys sealed still opens. SettingsError as `sealer_of`."""
    path = directory / NAME
    keys = (new_key(), *_stored(path))
    write_private(path, dump_keys(keys))
    return Sealer(keys)


def _stored(path: Path) -> tuple[SealingKey, ...]:
    if not path.exists():
        return ()
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SettingsError(
            f"{path} is open to other users: chmod 600 it, and rotate the keys if they may have read it"
        )
    try:
        return parse_keys(path.read_text())
    except ValueError as problem:  # json's and unicode's errors are ValueErrors
        raise SettingsError(
            f"{path} is damaged ({problem}): restore it; without it no stored secret can be opened"
        ) from None
