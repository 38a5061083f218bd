"""Rulesets → the kernel, through libnftables in this process; each change is one transaction."""

from __future__ import annotations

import ctypes
import json
import threading
from typing import Any

from ringfence.dataplane import linux
from ringfence.dataplane.nftables.objects import Chain, Object, Ruleset, Set, Timeout, changes


class NftError(Exception):
    """The kernel or libnftables refused a ruleset."""


class Nft:
    """libnftables by ctypes. One context per call: a context remembers the namespace it was used in."""

    _lock = threading.Lock()

    def __init__(self) -> None:
        try:
            self._lib = ctypes.CDLL("libnftables.so.1")
        except OSError as problem:
            raise NftError(f"libnftables is missing ({problem}): apt-get install libnftables1") from None
        self._lib.nft_ctx_new.restype = ctypes.c_void_p
        self._lib.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        self._lib.nft_ctx_get_output_buffer.restype = ctypes.c_char_p

    def run(self, netns: int, commands: str, *, as_json: bool = False) -> str:
        """Run commands in a network namespace as one transaction; their output. NftError when refused."""
        with self._lock, linux.inside(netns):
            context = ctypes.c_void_p(self._lib.nft_ctx_new(0))
            try:
                self._lib.nft_ctx_buffer_output(context)
                self._lib.nft_ctx_buffer_error(context)
                if as_json:
                    self._lib.nft_ctx_output_set_flags(context, 1 << 4)
                failed = self._lib.nft_run_cmd_from_buffer(context, commands.encode())
                if failed:
                    raise NftError((self._lib.nft_ctx_get_error_buffer(context) or b"").decode())
                return (self._lib.nft_ctx_get_output_buffer(context) or b"").decode()
            finally:
                self._lib.nft_ctx_free(context)


class Filter:
    """One namespace's table: what is in force, and how to get to what is wanted."""

    def __init__(self, nft: Nft, netns: int) -> None:
        self._nft, self._netns = nft, netns
        self._applied: Ruleset | None = None

    def sync(self, wanted: Ruleset) -> bool:
        """Bring the kernel to the wanted ruleset in one transaction; whether anything changed."""
        if self._applied is None:
            commands = self._converge(wanted)
        else:
            commands = changes(self._applied, wanted)
        if commands:
            self._nft.run(self._netns, commands)
        self._applied = wanted
        return bool(commands)

    def _converge(self, wanted: Ruleset) -> str:
        """From an unknown state: an earlier agent's chains and sets are refilled, never a base chain deleted."""
        found = self._found(wanted.table)
        if found is None:
            return changes(None, wanted)
        emptied = [f"flush chain {wanted.table} {name}" for name, item in found.items() if isinstance(item, Chain)]
        emptied += [f"flush {item.noun} {wanted.table} {name}" for name, item in found.items() if isinstance(item, Set)]
        known = {name: found[name] for name in found}
        refill = changes(Ruleset(wanted.table, wanted.static, known), wanted)
        return "\n".join((*emptied, refill, wanted.static)) + "\n"

    def _found(self, table: str) -> dict[str, Object] | None:
        """The regular chains, sets, maps and timeouts that are there, all taken as empty; None without the table."""
        family, name = table.split()
        try:
            listed: dict[str, Any] = json.loads(self._nft.run(self._netns, f"list table {table}", as_json=True))
        except NftError:
            return None
        out: dict[str, Object] = {}
        for entry in listed["nftables"]:
            kind, body = next(iter(entry.items()))
            if body.get("table") != name or body.get("family") != family:
                continue
            if kind == "chain" and "hook" not in body:
                out[body["name"]] = Chain(body["name"], ("unknown",))
            elif kind in ("set", "map"):
                out[body["name"]] = Set(body["name"], "", frozenset(), is_map=kind == "map")
            elif kind == "ct timeout":
                out[body["name"]] = Timeout(body["name"], "")
        return out
