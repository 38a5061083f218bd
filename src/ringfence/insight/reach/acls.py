"""Network ACLs as sets of services: the first entry that matches decides, no entry means no (ACL-29..ACL-31)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ringfence.insight.reach.atoms import Services, code_of
from ringfence.policy.ir import Acl, AclEntry


class AclTable:
    """One network ACL; `allowed` remembers what it worked out for an address atom."""

    __slots__ = ("_blocks", "_entries", "_memo")

    def __init__(self, services: Services, acl: Acl) -> None:
        self._entries = {False: _coded(services, acl.ingress), True: _coded(services, acl.egress)}
        self._blocks = {egress: frozenset(e[1] for e in entries) for egress, entries in self._entries.items()}
        self._memo: dict[tuple[bool, int, int], int] = {}

    def moved(self, move: Callable[[int], int]) -> AclTable:
        """The same on finer atoms (`Services.finer`)."""
        new = object.__new__(AclTable)
        new._entries = {
            egress: [(family, block, move(services), allow) for family, block, services, allow in entries]
            for egress, entries in self._entries.items()
        }
        new._blocks = self._blocks
        new._memo = {key: move(mask) for key, mask in self._memo.items()}
        return new

    def allowed(self, egress: bool, family: int, atom: int) -> int:
        """The services it lets through from, or to, an address of an atom."""
        found = self._memo.get((egress, family, atom))
        if found is None:
            found = self._memo[egress, family, atom] = self._judged(egress, family, atom)
        return found

    @property
    def blocks(self) -> frozenset[int]:
        """Those that its entries name."""
        return self._blocks[False] | self._blocks[True]

    def _judged(self, egress: bool, family: int, atom: int) -> int:
        """As the innermost block around the atom that an entry names is: few there are."""
        blocks = self._blocks[egress]
        while atom and atom not in blocks:
            atom >>= 1
        found = self._memo.get((egress, family, atom))
        if found is None:
            found = self._memo[egress, family, atom] = _first_match(self._entries[egress], family, atom)
        return found


Coded = tuple[int | None, int, int, bool]  # family, block, services, allow


def _coded(services: Services, entries: Iterable[AclEntry]) -> list[Coded]:
    return [
        (entry.match.family, 1 if entry.match.remote is None else code_of(entry.match.remote),
         services.of(entry.match), entry.allow)
        for entry in entries
    ]  # fmt: skip


def _first_match(entries: Iterable[Coded], family: int, atom: int) -> int:
    allowed = seen = 0
    size = atom.bit_length()
    for wanted, block, services, allow in entries:
        deeper = size - block.bit_length()
        if wanted in (None, family) and deeper >= 0 and atom >> deeper == block:
            if allow:
                allowed |= services & ~seen
            seen |= services
    return allowed
