"""What free text gives away: names, tags and descriptions land in logs, audit records and replies (DATA-06; Amazon VPC User
Guide, "Data protection": no confidential or sensitive information in tags or free-form text fields).

Looks for payment cards, e-mail addresses, and keys and tokens that have a form of their own. A finding names the place and
the sort, never the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from ringfence.model.kinds import KINDS, Kind
from ringfence.model.row import Row
from ringfence.model.world import World

#: members of rows, and of what rows are made of, that users fill as they like
FREE = frozenset({"name", "description", "tags", "account_tags", "alias"})


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Where something is, and what it looks like."""

    resource: str  # an ARN
    member: str  # `tags/Owner`, `rules/sgr-…/description`
    sort: str


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort of text. `proof` tells chance hits from real ones."""

    name: str
    pattern: re.Pattern[str]

    def proof(self, text: str) -> bool:
        return self.name not in _PROOFS or _PROOFS[self.name](text)


def is_card(text: str) -> bool:
    """A payment card's number: an issuer's first digits and length, and the check digit (ISO/IEC 7812-1, Luhn)."""
    digits = [int(digit) for digit in text if digit.isdigit()]
    number = "".join(map(str, digits))
    if len(set(digits)) == 1 or not _ISSUED.fullmatch(number):
        return False
    doubled = [digit * 2 - 9 * (digit > 4) if place % 2 else digit for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def is_secret(text: str) -> bool:
    """40 characters as AWS's secret keys have: of every class, and no hexadecimal digest."""
    return all(re.search(part, text) for part in ("[a-z]", "[A-Z]", "[0-9]")) and len(set(text)) > 15


#: Visa, Mastercard, American Express, Diners, Discover, JCB
_ISSUED = re.compile(
    r"4\d{12}(\d{3}){0,2}|5[1-5]\d{14}|2(22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|3(0[0-5]|[68]\d)\d{11}"
    r"|6(011|5\d\d|4[4-9]\d)\d{12}|35(2[89]|[3-8]\d)\d{12}"
)
_PROOFS = {"payment card": is_card, "secret key": is_secret}
SORTS = (
    Sort("payment card", re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d.-])")),
    Sort("e-mail address", re.compile(r"[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}")),
    Sort("access key id", re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])")),
    Sort("secret key", re.compile(r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")),
    Sort("private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")),
    Sort("token", re.compile(
        r"(?<![\w-])(?:gh[pousr]_\w{36,}|github_pat_\w{22,}|xox[abeprs]-[\w-]{10,}|sk_live_\w{16,}|glpat-[\w-]{20}|AIza[\w-]{35}"
        r"|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*)")),
    Sort("password in a URL", re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/@]+@")),
)  # fmt: skip
#: without any of these there is nothing to find: most texts end here
_HINT = re.compile(
    r"@|\d(?:[ -]?\d){12}|AKIA|ASIA|[A-Za-z0-9/+]{40}|BEGIN|gh[pousr]_|github_pat|xox|sk_live|glpat|AIza|eyJ"
)


def sorts_in(text: str) -> list[str]:
    """The sorts of sensitive text in a text, each once."""
    if not _HINT.search(text):
        return []
    return [sort.name for sort in SORTS if any(sort.proof(hit[0]) for hit in sort.pattern.finditer(text))]


def in_row(kind: Kind[Any], row: Row) -> Iterator[Finding]:
    """What a resource's free texts give away."""
    for member, text in _texts(row, ""):
        for sort in sorts_in(text):
            yield Finding(kind.arn(row), member, sort)


def in_world(world: World) -> list[Finding]:
    """What all free texts of an installation give away."""
    return sorted(finding for kind in KINDS.values() for row in world.all(kind) for finding in in_row(kind, row))


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """(member, text) of every free text in a row."""
    for member in fields(value):
        held, path = getattr(value, member.name), f"{where}{member.name}"
        if member.name in ("tags", "account_tags"):
            yield from _tags(held, path)
        elif member.name in FREE and isinstance(held, str):
            yield path, held
        elif isinstance(held, tuple | frozenset):
            for item in held:
                if is_dataclass(item):
                    yield from _texts(item, f"{path}/{getattr(item, 'id', '')}/".replace("//", "/"))


def _tags(tags: Iterable[tuple[str, str]], path: str) -> Iterator[tuple[str, str]]:
    """A key that itself gives something away is not shown."""
    for number, (key, value) in enumerate(tags, 1):
        shown = f"{path}/{number}" if sorts_in(key) else f"{path}/{key}"
        yield shown, key
        yield shown, value
