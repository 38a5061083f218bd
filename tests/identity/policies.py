"""Short ways to write policies, callers and questions."""

from __future__ import annotations

import json
from typing import Any

from ringfence.identity.evaluate import decide
from ringfence.identity.principal import Principal, PrincipalKind, Session
from ringfence.identity.question import Attached, Context, Decision, Policies, Question, Target

ACCOUNT, OTHER = "111122223333", "444455556666"
ARN = f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/vpc-1"
USER = Principal(
    account_id=ACCOUNT,
    arn=f"arn:aws:iam::{ACCOUNT}:user/team/ann",
    user_id="AIDAANN",
    kind=PrincipalKind.USER,
    name="ann",
)
ROOT = Principal(account_id=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:root", user_id=ACCOUNT)
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/app/web"
SESSION_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/web/s1"
SESSION = Principal(
    account_id=ACCOUNT, arn=SESSION_ARN, user_id="AROAWEB:s1", kind=PrincipalKind.ROLE, name="web",
    session=Session(name="s1", issued_at=0, expires_at=1 << 40, issuer_arn=ROLE_ARN, issuer_id="AROAWEB"),
)  # fmt: skip
FEDERATED = Principal(
    account_id=ACCOUNT, arn=f"arn:aws:sts::{ACCOUNT}:federated-user/fred", user_id=f"{ACCOUNT}:fred",
    kind=PrincipalKind.FEDERATED, name="fred",
    session=Session(name="fred", issued_at=0, expires_at=1 << 40, issuer_arn=USER.arn, issuer_id=USER.user_id),
)  # fmt: skip
SERVICE = Principal(
    account_id="", arn="vpc-flow-logs.amazonaws.com", user_id="vpc-flow-logs.amazonaws.com",
    kind=PrincipalKind.SERVICE, name="vpc-flow-logs.amazonaws.com",
)  # fmt: skip


def statement(effect: str = "Allow", action: Any = "ec2:DeleteVpc", resource: Any = "*", **more: Any) -> dict[str, Any]:
    """A statement; `resource` None leaves the element out."""
    held = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return {name: value for name, value in held.items() if value is not None}


def policy(*statements: dict[str, Any], version: str | None = "2012-10-17") -> str:
    """The JSON of a policy."""
    held: dict[str, Any] = {"Statement": list(statements)}
    return json.dumps(held | ({"Version": version} if version else {}))


def attached(*statements: dict[str, Any], name: str = "p") -> Attached:
    return Attached(name, policy(*statements))


def allow(action: Any = "ec2:DeleteVpc", **more: Any) -> Attached:
    return attached(statement(action=action, **more))


def deny(action: Any = "ec2:DeleteVpc", **more: Any) -> Attached:
    return attached(statement("Deny", action, **more))


def granting(principal: Any, *, effect: str = "Allow", action: Any = "ec2:DeleteVpc", **more: Any) -> Attached:
    """A resource's policy."""
    return attached(statement(effect, action, Principal=principal, **more))


def ask(
    *, identity: Attached | tuple[Attached, ...] = (), caller: Principal = USER, action: str = "ec2:DeleteVpc",
    arn: str = ARN, account: str = ACCOUNT, context: Context | None = None, resource: Attached | None = None,
    **layers: Any,
) -> Decision:  # fmt: skip
    """The decision about one target."""
    target = Target(arn=arn, account_id=account, policy=resource)
    question = Question(principal=caller, action=action, targets=(target,), context=context or {})
    held = identity if isinstance(identity, tuple) else (identity,)
    return decide(question, Policies(identity=held, **layers))
