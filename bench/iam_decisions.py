"""`python -m bench.iam_decisions`: decisions per second and core, one policy and the whole chain, beside cedarpy in the same run.

cedarpy is not a dependency: have it on PYTHONPATH, or only our own numbers are printed. Its policies say the same as the
one policy here (it has no boundaries, sessions, service or resource control policies). CPU time, the best of five rounds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from ringfence.identity.evaluate import decide
from ringfence.identity.principal import Principal, PrincipalKind, Session
from ringfence.identity.question import Attached, Policies, Question, Target

ACCOUNT = "123456789012"
STATEMENTS = [
    {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"},
    {"Effect": "Allow", "Action": ["ec2:RunInstances", "ec2:CreateTags"], "Resource": "*"},
    {"Effect": "Deny", "Action": "ec2:Delete*", "Resource": f"arn:aws:ec2:*:{ACCOUNT}:vpc/vpc-prod*"},
    {"Effect": "Allow", "Action": ["ec2:DeleteVpc", "ec2:DeleteSubnet"], "Resource": f"arn:aws:ec2:*:{ACCOUNT}:*"},
]
REQUESTS = [
    ("ec2:DescribeVpcs", "*"),
    ("ec2:DeleteVpc", f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/vpc-prod1"),
    ("ec2:DeleteVpc", f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/vpc-dev1"),
    ("ec2:CreateVpc", f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/x"),
]
CEDAR = """permit(principal, action in [Action::"ec2:Describe"], resource);
permit(principal, action in [Action::"ec2:RunInstances", Action::"ec2:CreateTags"], resource);
forbid(principal, action in [Action::"ec2:Delete"], resource) when { resource.id like "vpc-prod*" };
permit(principal, action in [Action::"ec2:DeleteVpc", Action::"ec2:DeleteSubnet"], resource);"""
PARENTS = {
    "ec2:Describe": None, "ec2:Delete": None, "ec2:DescribeVpcs": "ec2:Describe", "ec2:DeleteVpc": "ec2:Delete", "ec2:CreateVpc": None,
    "ec2:RunInstances": None,
}  # fmt: skip
GUARD = {
    "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"StringNotEquals": {"aws:RequestedRegion": ["us-east-1", "eu-west-1"]}},
}  # fmt: skip
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def attached(*statements: Any) -> Attached:
    return Attached("p", json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))


def chain() -> Policies:
    """Every layer but a resource's own policy, three levels of each kind of control policy."""
    levels = ((attached(EVERYTHING),), (attached(EVERYTHING), attached(GUARD)), (attached(EVERYTHING),))
    everybody = tuple(
        tuple(attached({**json.loads(p.text)["Statement"][0], "Principal": "*"}) for p in lv) for lv in levels
    )
    return Policies(
        identity=(attached(*STATEMENTS), attached(*STATEMENTS[:2])), boundary=attached(EVERYTHING, GUARD),
        session=(attached({"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}),), service_control=levels, resource_control=everybody,
    )  # fmt: skip


def best(ask: Callable[[int], object], count: int, rounds: int = 5) -> float:
    """Questions per CPU second."""
    found = 0.0
    for _ in range(rounds):
        started = time.process_time()
        for number in range(count):
            ask(number)
        found = max(found, count / (time.process_time() - started))
    return found


def ours(policies: Policies) -> Callable[[int], object]:
    session = Session(name="s", issued_at=0, expires_at=1, issuer_arn=f"arn:aws:iam::{ACCOUNT}:role/ops")
    who = Principal(
        account_id=ACCOUNT, arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/ops/s", user_id="AROA:s", kind=PrincipalKind.ROLE,
        name="ops", session=session,
    )  # fmt: skip
    context = {"aws:requestedregion": "us-east-1", "aws:sourceip": "203.0.113.9", "aws:principaltag/team": "net"}
    asked = [
        Question(principal=who, action=a, targets=(Target(arn=r, account_id=ACCOUNT),), context=context)
        for a, r in REQUESTS
    ]
    return lambda number: decide(asked[number & 3], policies)


def cedar() -> Sequence[tuple[str, Callable[[int], object]]]:
    """From text, and parsed before; nothing where cedarpy is not to be had."""
    try:
        import cedarpy  # type: ignore[import-not-found]
    except ImportError:
        return ()
    entities: list[dict[str, Any]] = [
        {
            "uid": {"type": "Action", "id": name},
            "attrs": {},
            "parents": [{"type": "Action", "id": parent}] if parent else [],
        }
        for name, parent in PARENTS.items()
    ]
    entities += [
        {"uid": {"type": "R", "id": r}, "attrs": {"id": r.rsplit("/", 1)[-1]}, "parents": []} for _, r in REQUESTS
    ]
    asked = [
        {"principal": 'U::"bob"', "action": f'Action::"{a}"', "resource": f'R::"{r}"', "context": {}}
        for a, r in REQUESTS
    ]
    text = json.dumps(entities)
    found = [("cedarpy, policies as text", lambda number: cedarpy.is_authorized(asked[number & 3], CEDAR, text))]
    if hasattr(cedarpy, "PolicySet"):
        policies, held = cedarpy.PolicySet.from_str(CEDAR), cedarpy.Entities.from_json_str(text)
        found.append(
            ("cedarpy, parsed before", lambda number: cedarpy.is_authorized(asked[number & 3], policies, held))
        )
    return found


def main() -> None:
    """One line each."""
    one = Policies(identity=(attached(*STATEMENTS),))
    for name, ask, count in [
        ("Ringfence, one policy of 4 statements", ours(one), 20_000),
        ("Ringfence, whole chain: 12 policies", ours(chain()), 5_000),
        *((name, ask, 2_000) for name, ask in cedar()),
    ]:
        print(f"{name:40} {best(ask, count):10,.0f} decisions/s")


if __name__ == "__main__":
    main()
