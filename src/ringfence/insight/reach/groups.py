"""Security groups as sets of services: which an interface's groups let through, and which of these are not tracked."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ringfence.insight.reach.atoms import Services, code_of
from ringfence.policy.ir import Allow, Group

FAMILIES = (4, 6)
Move = Callable[[int], int]  # `Services.finer`


def far_name(group_id: str, vpc_id: str) -> str:
    """A group of a peer VPC, as rules that name one mean it there (SG-52)."""
    return f"{group_id}@{vpc_id}"


class Way:
    """One direction of one group: services by remote block and by remote group, for each family."""

    __slots__ = ("blocks", "groups", "lengths", "wide")

    def __init__(self, services: Services, rules: Iterable[Allow]) -> None:
        self.blocks: dict[int, dict[int, int]] = {4: {}, 6: {}}
        self.groups: dict[int, dict[str, int]] = {4: {}, 6: {}}
        self.wide = {4: 0, 6: 0}
        for rule in rules:
            self._add(services.of(rule.match) if rule.match is not None else 0, rule)
        self.lengths = {
            family: tuple(sorted({code.bit_length() for code in self.blocks[family]}, reverse=True))
            for family in FAMILIES
        }
        self.blocks = {family: _inherited(self.blocks[family]) for family in FAMILIES}

    def _add(self, mask: int, rule: Allow) -> None:
        match = rule.match
        for family in FAMILIES:
            if match.family not in (None, family):
                continue
            if match.group is not None:
                named = self.groups[family]
                named[match.group] = named.get(match.group, 0) | mask
                if match.peer is not None:
                    far = far_name(match.group, match.peer)
                    named[far] = named.get(far, 0) | mask
            elif match.remote is None or match.remote.version == family:
                blocks, code = self.blocks[family], 1 if match.remote is None else code_of(match.remote)
                blocks[code] = blocks.get(code, 0) | mask
                if rule.wide:
                    self.wide[family] |= mask

    def moved(self, move: Move) -> Way:
        """The same on finer atoms."""
        new = object.__new__(Way)
        new.blocks = {family: {code: move(mask) for code, mask in self.blocks[family].items()} for family in FAMILIES}
        new.groups = {family: {id: move(mask) for id, mask in self.groups[family].items()} for family in FAMILIES}
        new.wide = {family: move(mask) for family, mask in self.wide.items()}
        new.lengths = self.lengths
        return new

    def differs(self, other: Way) -> int:
        """Services that the two do not let through alike, from or to somewhere. Both on the same atoms."""
        out = 0
        for family in FAMILIES:
            for code in self.blocks[family].keys() | other.blocks[family].keys():
                out |= self.at(family, code) ^ other.at(family, code)
            for id in self.groups[family].keys() | other.groups[family].keys():
                out |= self.groups[family].get(id, 0) ^ other.groups[family].get(id, 0)
        return out

    def at(self, family: int, atom: int) -> int:
        """What its blocks let through from, or to, an address of an atom."""
        blocks, size = self.blocks[family], atom.bit_length()
        for length in self.lengths[family]:
            if length <= size:
                found = blocks.get(atom >> size - length)
                if found is not None:
                    return found
        return 0


def _inherited(blocks: dict[int, int]) -> dict[int, int]:
    """To each block what the blocks around it let through: the innermost one says everything."""
    out: dict[int, int] = {}
    for code in sorted(blocks):  # the shorter the prefix, the smaller its code
        around = code >> 1
        while around and around not in out:
            around >>= 1
        out[code] = blocks[code] | out.get(around, 0)
    return out


class GroupTable:
    """One security group, both directions."""

    __slots__ = ("egress", "ingress", "opens", "unread")

    def __init__(self, services: Services, group: Group) -> None:
        self.egress, self.ingress = Way(services, group.egress), Way(services, group.ingress)
        #: (egress?, what a list may let through, the list)
        self.unread = [(rule.egress, services.of(rule.match), rule.list_id) for rule in group.unread]
        #: (egress?, family) -> protocols a flow of that direction is not tracked for, if a wide rule admits it (CT-03)
        protocols = {6: services.tcp, 17: services.udp}
        self.opens = {(egress, family): 0 for egress in (True, False) for family in FAMILIES}
        for egress, opening in ((True, group.opens_ingress), (False, group.opens_egress)):
            for family, protocol in opening.pairs:
                self.opens[egress, family] |= protocols[protocol]

    def moved(self, move: Move) -> GroupTable:
        """The same on finer atoms."""
        new = object.__new__(GroupTable)
        new.egress, new.ingress = self.egress.moved(move), self.ingress.moved(move)
        new.opens = {key: move(mask) for key, mask in self.opens.items()}
        new.unread = [(egress, move(mask), id) for egress, mask, id in self.unread]
        return new


class GroupSet:
    """The groups of an interface together: any rule of any of them allows (SG-65)."""

    __slots__ = ("_memo", "_untracked", "lists", "tables")

    def __init__(self, tables: tuple[GroupTable, ...]) -> None:
        self.tables = tables
        #: (egress?, services, list): what lists whose entries are not known may let through besides
        self.lists = [unread for table in tables for unread in table.unread]
        self._memo: dict[tuple[bool, int, int], int] = {}
        self._untracked: dict[tuple[bool, int], int] = {}

    def _ways(self, egress: bool) -> list[Way]:
        return [table.egress if egress else table.ingress for table in self.tables]

    def by_block(self, egress: bool, family: int, atom: int) -> int:
        """What rules with blocks allow."""
        found = self._memo.get((egress, family, atom))
        if found is None:
            found = 0
            for table in self.tables:
                found |= (table.egress if egress else table.ingress).at(family, atom)
            self._memo[egress, family, atom] = found
        return found

    def by_group(self, egress: bool, family: int, carried: Iterable[str]) -> int:
        """What rules that name one of the remote's groups allow (SG-67)."""
        out = 0
        for table in self.tables:
            named = (table.egress if egress else table.ingress).groups[family]
            if named:
                for group in carried:
                    if group in named:
                        out |= named[group]
        return out

    def names(self, egress: bool, family: int) -> dict[str, int]:
        """What rules allow that name a group, by the group."""
        ways = self._ways(egress)
        if len(ways) == 1:
            return ways[0].groups[family]
        out: dict[str, int] = {}
        for way in ways:
            for group, services in way.groups[family].items():
                out[group] = out.get(group, 0) | services
        return out

    @property
    def certain(self) -> bool:
        """Are the entries of all lists known?"""
        return not self.lists

    def untracked(self, egress: bool, family: int) -> int:
        """What is not tracked if it is let through: everyone may, and everyone may answer (CT-03)."""
        found = self._untracked.get((egress, family))
        if found is None:
            wide = opens = 0
            for way, table in zip(self._ways(egress), self.tables, strict=True):
                wide |= way.wide[family]
                opens |= table.opens[egress, family]
            found = self._untracked[egress, family] = wide & opens
        return found
