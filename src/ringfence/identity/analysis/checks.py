"""The three questions of Access Analyzer's custom policy checks, with a request as witness.

IAM User Guide: "Validate policies with IAM Access Analyzer custom policy checks"; API Reference: CheckNoNewAccess,
CheckAccessNotGranted, CheckNoPublicAccess. An answer "fails" is always on the safe side: where the policies compare what
cannot be enumerated, a failure says that it could not be decided. An answer "passes" is always proven.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ringfence.identity.analysis import clauses, people
from ringfence.identity.analysis.candidates import TooComplex
from ringfence.identity.analysis.clauses import Clause
from ringfence.identity.analysis.engine import Engine
from ringfence.identity.analysis.search import Region, Search
from ringfence.identity.analysis.space import FIELDS, Space, principal_of
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.question import Attached, Policies, Question, Target

_ALL = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}'
_NOWHERE = "nowhere-----"  # an account that no principal is in, so that only the resource policy can let anybody in


@dataclass(frozen=True, slots=True)
class Failure:
    """A statement that gives the access asked about. `witness` None: it could not be decided, `why` says what is in the way."""

    statement: int
    sid: str | None
    witness: Question | None
    why: str = ""


class _Check:
    """A set of policies and the searches in it."""

    def __init__(
        self,
        engine: Engine,
        texts: Sequence[str],
        *,
        named: bool,
        access: tuple[Sequence[str], Sequence[str]] = ((), ()),
    ) -> None:
        self.engine, self.named, self.texts = engine, named, texts
        self.policies = [clauses.read(text) for text in texts]
        self.space = Space(self.policies, engine, named=named, access=access)
        self.parts = [[(clause, self.space.regions(clause)) for clause in policy] for policy in self.policies]
        whole = {name: (1 << len(values)) - 1 for name, values in self.space.values.items()}
        self.search = Search(whole)

    def regions(self, policy: int, *, allows: bool) -> list[Region]:
        return [r for clause, regions in self.parts[policy] if clause.allows is allows for r in regions]

    def granting(self, policy: int) -> list[tuple[Clause, list[Region]]]:
        return [part for part in self.parts[policy] if part[0].allows]

    def question(self, box: dict[str, int], *, sampled: bool) -> Question:
        """A point of the box as a question; `sampled`: with a value for each variable that no test compares."""
        chosen = self.space.choose(box)
        who = principal_of(chosen)
        arn = "*" if chosen["named"] == "*" else ":".join(chosen[name] for name in FIELDS)
        loose = {n for n in clauses.names(self.texts) if f"key:{n}" not in chosen} if sampled else ()
        keys: dict[str, Any] = dict.fromkeys(loose, clauses.SAMPLE)
        keys |= {n[4:]: v for n, v in chosen.items() if n.startswith("key:") and v is not None}
        if self.named:
            keys |= people.context(who)
        account = _NOWHERE if self.named else who.account_id
        return Question(
            principal=who, action=chosen["action"], targets=(Target(arn=arn, account_id=account),), context=keys
        )

    def allowed(self, policy: int, question: Question) -> bool:
        """The evaluator's word."""
        attached = Attached("policy", self.texts[policy])
        if not self.named:
            return self.engine.permits(question, Policies(identity=(attached,)))
        target = question.targets[0]
        there = Target(arn=target.arn, account_id=target.account_id, policy=attached)
        asked = Question(
            principal=question.principal, action=question.action, targets=(there,), context=question.context
        )
        return self.engine.permits(asked, Policies(identity=(Attached("all", _ALL),)))

    def failure(self, clause: Clause, box: dict[str, int], proven: Callable[[Question], bool]) -> Failure:
        for sampled in (False, True):
            question = self.question(box, sampled=sampled)
            if proven(question):
                return Failure(clause.index, clause.sid, question)
        held = sorted(name[1:] for name in self.space.opaque if box.get(name, 3) != 3)
        return Failure(clause.index, clause.sid, None, "; ".join(held) or "the conditions cannot be compared")


def _undecided(text: str, why: str) -> list[Failure]:
    return [Failure(c.index, c.sid, None, why) for c in clauses.read(text) if c.allows]


def new_access(engine: Engine, new: str, old: str, *, named: bool) -> list[Failure]:
    """The statements of `new` that allow what `old` does not; none: everything `new` allows, `old` allows."""
    try:
        check = _Check(engine, (new, old), named=named)
        denied, before = check.regions(0, allows=False), check.regions(1, allows=True)
        held = [None, *check.regions(1, allows=False)]
        found = []
        for clause, regions in check.granting(0):
            boxes = (
                # what the old policy does not allow, or what it denies
                check.search.point([r] if deny is None else [r, deny], [*denied, *before] if deny is None else denied)
                for r in regions
                for deny in held
            )
            box = next((b for b in boxes if b is not None), None)
            if box is not None:
                found.append(check.failure(clause, box, lambda q: check.allowed(0, q) and not check.allowed(1, q)))
    except TooComplex as limit:
        return _undecided(new, str(limit))
    return found


def access_granted(
    engine: Engine, policy: str, actions: Sequence[str], resources: Sequence[str], *, named: bool
) -> list[Failure]:
    """The statements that allow one of these actions on one of these resources; no list: any."""
    try:
        check = _Check(engine, (policy,), named=named, access=(actions, resources))
        denied = check.regions(0, allows=False)
        asked = [Region({"action": check.space.action_mask(actions)})] if actions else [Region({})]
        boxes = [box for r in resources for box in check.space.resource_boxes(r, False)] if resources else [{}]
        wanted = [Region({**one.box, **box}) for one in asked for box in boxes]
        found = []
        for clause, regions in check.granting(0):
            points = (check.search.point([r, want], denied) for r in regions for want in wanted)
            box = next((b for b in points if b is not None), None)
            if box is not None:
                found.append(check.failure(clause, box, lambda q: check.allowed(0, q)))
    except TooComplex as limit:
        return _undecided(policy, str(limit))
    return found


# ---------------------------------------------------------------------------------------------------------------- public
#: keys by which a policy tells its own from strangers, if it compares them with fixed values (S3 User Guide: "The meaning
#: of 'public'"; IAM Access Analyzer holds the same)
TRUSTED = frozenset((
    "aws:sourcearn", "aws:sourceaccount", "aws:sourceowner", "aws:sourcevpc", "aws:sourcevpce", "aws:sourceip", "aws:userid",
    "aws:principalorgid", "aws:principalorgpaths", "aws:sourceorgid", "aws:sourceorgpaths", "aws:principalaccount",
    "aws:principalarn", "aws:resourceorgid", "s3:dataaccesspointarn", "s3:dataaccesspointaccount", "kms:calleraccount",
    "kms:viaservice", "lambda:eventsourcetoken", "aws:vpcsourceip",
))  # fmt: skip
_WIDE = {4: 8, 6: 32}  # a block of addresses wider than these is no group of known machines


def public_access(engine: Engine, policy: str) -> list[Failure]:
    """The statements of a resource policy that let strangers in: nobody's principal, and no known source or network."""
    try:
        check = _Check(engine, (policy,), named=True)
        space, denied = check.space, check.regions(0, allows=False)
        strangers = Region({
            "who": _bits([_stranger(who, check.policies[0]) for who in space.values["who"]]),
            **{
                name: _bits([not _known(engine, name[4:], value, check.policies[0]) for value in space.values[name]])
                for name in space.values
                if name[4:] in TRUSTED
            },
        })  # fmt: skip
        found = []
        for clause, regions in check.granting(0):
            box = next((b for r in regions if (b := check.search.point([r, strangers], denied)) is not None), None)
            if box is not None:
                found.append(check.failure(clause, box, lambda q: check.allowed(0, q)))
    except TooComplex as limit:
        return _undecided(policy, str(limit))
    return found


def _bits(flags: Sequence[bool]) -> int:
    return sum(1 << i for i, flag in enumerate(flags) if flag)


def _stranger(who: Principal, policy: Sequence[Clause]) -> bool:
    """Nobody, or a user or session of an account that no statement names; services are AWS's own."""
    if who.kind is PrincipalKind.ANONYMOUS:
        return True
    named = [v for c in policy for _, v in people.elements(c.element)]
    named += [v for c in policy for t in c.tests if t.key in people.KEYS for v in t.values]
    inside = who.kind in (PrincipalKind.USER, PrincipalKind.ROLE)
    return inside and not any(who.account_id in text for text in named)


def _known(engine: Engine, key: str, value: Any, policy: Sequence[Clause]) -> bool:
    """Whether the value of a trusted key is, or has, one that the policy names: strangers have none."""
    if value is None:
        return False
    for clause in policy:
        for test in clause.tests:
            fixed = [v for v in test.values if _names_one(key, v)]
            if test.key != key or test.name == "null" or not fixed:
                continue
            positive = test.name.replace("not", "", 1) if "not" in test.name else test.name
            operator = "ForAnyValue:" + positive if isinstance(value, tuple) else positive
            if engine.compile_test(operator, key, fixed, False, True)({key: value}):
                return True
    return False


def _names_one(key: str, value: str) -> bool:
    """Whether a policy's value stands for one source, not for any."""
    if key in ("aws:sourceip", "aws:vpcsourceip"):
        try:
            block = ipaddress.ip_network(value, strict=False)
        except ValueError:
            return False
        return block.prefixlen >= _WIDE[block.version]
    if not any(sign in value for sign in ("*", "?", "${")):
        return True
    fields = value.split(":", 5)
    return len(fields) == 6 and re.fullmatch(r"\d{12}", fields[4]) is not None
