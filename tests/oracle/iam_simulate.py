"""Our cases put to an outside simulator, `@cloud-copilot/iam-simulate` (npm, AGPL-3.0; a process of its own, never a
dependency): `python -m tests.oracle.iam_simulate [COUNT] [DIRECTORY]`.

DIRECTORY is where the package is installed, or is to be; a temporary one without it. Not part of any test run. Every
kind of disagreement is in `KNOWN`, with the document that settles it; exit 1 on any other.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ringfence.identity import spec
from ringfence.identity.principal import PrincipalKind
from ringfence.identity.question import Attached, Effect
from tests.differential.iam_generator import Case, case

PACKAGE = "@cloud-copilot/iam-simulate@0.1.173"
#: its core engine, since what it exports either checks requests against AWS's services or leaves layers out
_PROGRAM = """
const path = require('path').resolve('node_modules/@cloud-copilot');
const core = path + '/iam-simulate/dist/cjs/';
const { loadPolicy } = require('@cloud-copilot/iam-policy');
const { authorize } = require(core + 'core_engine/CoreSimulatorEngine.js');
const { AwsRequestImpl } = require(core + 'request/request.js');
const { RequestContextImpl } = require(core + 'requestContext.js');
const { DiscoveryContextKeyConstraints } = require(core + 'context_keys/discoveryContextKeyConstraints.js');
const load = (p) => loadPolicy(p.policy, { name: p.name });
const levels = (all) => all.map((l) => ({ orgIdentifier: l.orgIdentifier, policies: l.policies.map(load) }));
for (const line of require('fs').readFileSync(0, 'utf8').trim().split('\\n')) {
  let answer;
  try {
    const s = JSON.parse(line), r = s.request;
    answer = authorize({
      request: new AwsRequestImpl(r.principal, r.resource, r.action, new RequestContextImpl(r.contextVariables)),
      sessionPolicy: s.session ? load(s.session) : undefined,
      identityPolicies: s.identity.map(load),
      serviceControlPolicies: levels(s.serviceControl),
      resourceControlPolicies: levels(s.resourceControl),
      resourcePolicy: s.resource ? load(s.resource) : undefined,
      permissionBoundaries: s.boundary ? [load(s.boundary)] : undefined,
      vpcEndpointPolicies: s.endpoint ? [load(s.endpoint)] : undefined,
      simulationParameters: {
        simulationMode: 'Strict', discoveryContextKeyConstraints: new DiscoveryContextKeyConstraints([]),
      },
      serviceSettings: { s3: {} },
    }).result;
  } catch (e) { answer = 'error: ' + e.message; }
  console.log(JSON.stringify(answer));
}
"""
_ALL = Attached("root", '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}')
_EFFECTS = {
    "Allowed": Effect.ALLOWED, "ExplicitlyDenied": Effect.EXPLICIT_DENY, "ImplicitlyDenied": Effect.IMPLICIT_DENY,
}  # fmt: skip


def _policy(attached: Attached) -> dict[str, Any]:
    return {"name": attached.name, "policy": json.loads(attached.text)}


def _levels(levels: tuple[tuple[Attached, ...], ...]) -> list[dict[str, Any]]:
    return [{"orgIdentifier": f"ou-{n}", "policies": [_policy(p) for p in level]} for n, level in enumerate(levels)]


def _simulation(asked: Case) -> dict[str, Any]:
    """One case in the simulator's words."""
    question, policies = asked.question, asked.policies
    who, (target,) = question.principal, question.targets
    anonymous = who.kind is PrincipalKind.ANONYMOUS
    context = {k: list(v) if isinstance(v, tuple) else v for k, v in {**question.context, **target.context}.items()}
    return {
        "request": {
            "principal": {"type": "Anonymous"} if anonymous else who.arn, "action": question.action,
            "resource": {"resource": target.arn, "accountId": target.account_id}, "contextVariables": context,
        },
        # the simulator has no root user: one who may everything is the same
        "identity": [_policy(p) for p in ((_ALL,) if who.is_root else policies.identity)],
        "serviceControl": _levels(policies.service_control),
        "resourceControl": _levels(policies.resource_control),
        "boundary": policies.boundary and _policy(policies.boundary),
        "endpoint": policies.endpoint and _policy(policies.endpoint),
        "session": policies.session and _policy(policies.session[0]),
        "resource": target.policy and _policy(target.policy),
    }  # fmt: skip


def _single(seed: int) -> Case | None:
    """A case as the simulator can take it: one resource, one session policy, nobody it has no words for."""
    asked = case(seed)
    if asked.question.principal.kind in (PrincipalKind.SAML, PrincipalKind.WEB_IDENTITY):
        return None
    question = replace(asked.question, targets=asked.question.targets[:1])
    session = asked.policies.session
    return Case(asked.theme, question, replace(asked.policies, session=session[:1] if session else session))


def _texts(asked: Case) -> Iterator[str]:
    policies, (target,) = asked.policies, asked.question.targets
    single = (policies.boundary, policies.endpoint, target.policy)
    levels = [p for level in (*policies.service_control, *policies.resource_control) for p in level]
    yield from (p.text for p in (*policies.identity, *(policies.session or ()), *single, *levels) if p is not None)


def _context(asked: Case) -> dict[str, Any]:
    return {**asked.question.context, **asked.question.targets[0].context}


def _statements(asked: Case) -> Iterator[dict[str, Any]]:
    for text in _texts(asked):
        found = json.loads(text)["Statement"]
        yield from found if isinstance(found, list) else [found]


def _resources(asked: Case) -> Iterator[str]:
    for statement in _statements(asked):
        for element in ("Resource", "NotResource"):
            listed = statement.get(element, [])
            yield from listed if isinstance(listed, list) else [listed]


def _open_variables(asked: Case) -> bool:
    keys = (name.partition(",") for text in _texts(asked) for name in re.findall(r"\$\{([^}]*)\}", text))
    return any(
        not isinstance(_context(asked).get(key.strip().lower()), str)
        for key, _, _ in keys
        if key not in ("*", "?", "$")
    )


def _crossing(asked: Case) -> bool:
    arn = asked.question.targets[0].arn
    return any(r != "*" and (r.count(":") < 5 or (arn.count(":") > 5 and "*:" in r)) for r in _resources(asked))


def _sessionless(asked: Case) -> bool:
    return asked.question.principal.kind is PrincipalKind.FEDERATED and asked.policies.session is None


def _unreadable(asked: Case) -> bool:
    """A number, date or block that is none, or a date that JavaScript reads and no calendar has."""
    values = {key: _context(asked).get(key) for key in ("s3:max-keys", "aws:currenttime", "aws:sourceip")}
    context = any(value in _UNREADABLE for value in values.values())
    tests = [block for s in _statements(asked) for op, block in s.get("Condition", {}).items() if _TYPED.match(op)]
    wanted = [str(v) for block in tests for vs in block.values() for v in (vs if isinstance(vs, list) else [vs])]
    return context or any(value in _UNREADABLE or "${" in value for value in wanted)


_TYPED = re.compile("numeric|date|ipaddress|notipaddress", re.IGNORECASE)
_UNREADABLE = ("", "ten", "1.2.3", "2020-13-01", "2020-02-30T00:00:00Z", "tomorrow", "300.1.1.1", "nowhere", "nonsense",
               "203.0.113.0/33")  # fmt: skip


def _says(*words: str) -> Callable[[Case], bool]:
    return lambda asked: any(word in text for text in _texts(asked) for word in words)


def _granted_in_session(asked: Case) -> bool:
    """A role session with a session policy (or boundary), and a resource policy that names everybody or the session."""
    policies = asked.policies
    return asked.question.targets[0].policy is not None and (policies.session, policies.boundary) != (None, None)


#: why we differ -> which cases that can be the reason of; docs/iam.md cites the documents
KNOWN: dict[str, Callable[[Case], bool]] = {
    "a federated user without a session policy has no permissions": _sessionless,
    "an action without resource-level permission has the resource *": lambda asked: (
        asked.question.targets[0].arn == "*"
    ),
    "a star at the end of a field goes on past the colon": _crossing,
    "a variable without a single value is like nothing": _open_variables,
    "what cannot be read does not match, so its negation does": _unreadable,
    "a block of prefix length 0 holds every address": _says('"0.0.0.0/0"', '"::/0"'),
    "nobody may be denied sts:GetCallerIdentity": lambda asked: asked.question.action == "sts:GetCallerIdentity",
    "SCPs and RCPs do not bind service-linked roles": lambda asked: "/SLR/" in asked.question.principal.arn,
    "resources of requests have no wildcards": lambda asked: asked.question.targets[0].arn[-1] in "*?",
    "${*}, ${?} and ${$} are the characters themselves": _says("${$}", "${*}", "${?}"),
    "a value that is no ARN is like none": lambda asked: _context(asked).get("ec2:vpc") == "vpc-a",
    "an IPv4 address is in no IPv6 block": _says("2001:"),
    "an epoch time is a date like any other": lambda asked: "15778368" in str((_context(asked), *_texts(asked))),
    "a wildcard may stand in a service's name": _says('"*:Get*"'),
    "two spellings of an IPv6 address are one": lambda asked: _context(asked).get("aws:sourceip") == "2001:DB8:0::1",
    "an endpoint's policy must allow, whatever the service": lambda asked: asked.policies.endpoint is not None,
    "NotPrincipal asks account, role and session in turn": _says("NotPrincipal"),
    "a grant to everybody or to the session is not limited by session policy or boundary": _granted_in_session,
    "a set without values is null": lambda asked: () in _context(asked).values(),
}


def simulated(cases: list[Case], directory: Path) -> list[Any]:
    """The simulator's answers."""
    if not (directory / "node_modules").is_dir():
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", PACKAGE]
        subprocess.run(command, cwd=directory, check=True)
    asked = "\n".join(json.dumps(_simulation(one)) for one in cases)
    done = subprocess.run(
        ["node", "-e", _PROGRAM], cwd=directory, input=asked, text=True, stdout=subprocess.PIPE, check=True
    )
    return [_EFFECTS.get(str(answer), answer) for answer in map(json.loads, done.stdout.splitlines())]


def ours(asked: Case) -> Effect:
    return spec.answer(asked.question, asked.policies)


def compare(count: int, directory: Path) -> tuple[Counter[str], list[tuple[int, Effect, Any]]]:
    """How often each known reason explains a difference, and what none does."""
    seeds = [seed for seed in range(count) if _single(seed) is not None]
    cases = [one for seed in seeds if (one := _single(seed)) is not None]
    reasons: Counter[str] = Counter()
    unexplained = []
    for seed, asked, said in zip(seeds, cases, simulated(cases, directory), strict=True):
        if said is ours(asked):
            reasons["the same answer"] += 1
            continue
        known = next((name for name, explains in KNOWN.items() if explains(asked)), None)
        if known is None:
            unexplained.append((seed, ours(asked), said))
        else:
            reasons[known] += 1
    return reasons, unexplained


def main() -> int:
    """Exit 1 when a difference has no known reason."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 11_000
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(scratch)
        reasons, unexplained = compare(count, directory)
    for seed, mine, theirs in unexplained[:20]:
        print(f"case {seed}: specification {mine}, simulator {theirs}")
    for reason, often in reasons.most_common():
        print(f"{often:7} {reason}")
    print(f"{len(unexplained)} differences without a known reason")
    return bool(unexplained)


if __name__ == "__main__":
    sys.exit(main())
