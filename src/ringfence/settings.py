"""What `ringfence up` was asked for, and the root key of an installation."""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path


class SettingsError(Exception):
    """The settings cannot be honoured; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`data` None = ephemeral. `tls`: certificate chain and key files. `home`: where running installations are noted."""

    data: Path | None
    host: str
    port: int
    home: Path
    dataplane: str = "auto"  # auto | nftables | none
    account_id: str | None = None
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = None
    ready_file: Path | None = None
    tls: tuple[Path, Path] | None = None
    tls_names: tuple[str, ...] = ()  # names of a certificate that the installation makes itself; () = it makes none
    quotas: dict[str, int] = field(default_factory=dict)
    lab: bool = False
    fips: bool = False  # algorithms that FIPS approves only
    encrypt_buckets: bool = False  # objects whose request and bucket say nothing are sealed too
    rate_factor: float | None = 1.0  # of AWS's request rates; None = no limit
    images: tuple[Path, ...] = ()  # directories that hold images; none given: `images` in the data directory
    metrics_token: Path | None = None  # the file with the token that the measurements ask for
    trail_seconds: float = 300.0  # AWS: trails are delivered about every five minutes
    imported: Path | None = None  # a network to start with
    assume_defaults: bool = False  # what a Terraform state does not tell is as AWS made it
    streams: tuple[tuple[str, str, Path | None], ...] = ()  # delivery streams: name, address, file with the key
    flow_count: str = "auto"  # auto | cut: how segments are counted (docs/adr/0016)
    flow_seconds: float = 300.0  # AWS: flow logs about every five to ten (FL-47)

    @property
    def ephemeral(self) -> bool:
        return self.data is None

    @property
    def endpoint(self) -> str:
        scheme = "https" if self.tls or self.tls_names else "http"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  never bound to here
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Root:
    """The installation's root key; `made` now rather than given or found in the data directory."""

    account_id: str
    access_key: str
    secret_key: str
    made: bool = False


_SHAPES = {
    "account_id": (r"[0-9]{12}", "an account id has 12 digits"),
    "access_key": (r"[A-Za-z0-9]{1,128}", "an access key id has letters and digits only"),
    "secret_key": (r"[\x21-\x7e]{1,256}", "a secret key has printable characters without spaces"),
}


def root_of(settings: Settings, directory: Path) -> Root:
    """The root key of a data directory: given keys win, stored ones come next, else one is made; then it is stored.

    SettingsError when the directory belongs to another account.
    """
    path = directory / "root.json"
    stored = _stored(path)
    root = {
        "account_id": settings.account_id or stored.get("account_id") or f"{secrets.randbelow(10**12):012d}",
        "access_key": settings.access_key or stored.get("access_key") or "AKIA" + secrets.token_hex(8).upper(),
        "secret_key": settings.secret_key or stored.get("secret_key") or secrets.token_urlsafe(30),
    }
    for name, (shape, rule) in _SHAPES.items():
        if not re.fullmatch(shape, root[name]):
            raise SettingsError(rule)
    if stored and root["account_id"] != stored["account_id"]:
        raise SettingsError(f"this data directory belongs to account {stored['account_id']}, not {root['account_id']}")
    if root != stored:
        write_private(path, json.dumps(root))
    return Root(**root, made=not stored and settings.secret_key is None)


def _stored(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
        return {name: str(found[name]) for name in _SHAPES}
    except (ValueError, KeyError, TypeError) as problem:
        raise SettingsError(
            f"{path} is damaged ({problem!r}): restore it, or remove it to get a new root key"
        ) from None


def write_private(path: Path, text: str) -> None:
    """Replace a file of mode 0600: after a crash it holds the old text or the new one."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
