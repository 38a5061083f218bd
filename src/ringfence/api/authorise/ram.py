"""AWS RAM's calls as policies see them (Service Authorization Reference: "AWS Resource Access Manager").

A share or invitation that names nothing is asked about all the same: the call is authorised before anything is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.api.authorise.ask import Ask, Values, request_tags, tag_keys, truth
from ringfence.api.ops.context import Call, Params
from ringfence.api.ops.ram.serve import PREFIX_LIST_TYPE
from ringfence.identity import actions
from ringfence.identity.question import Target
from ringfence.model.kinds import RESOURCE_SHARE, SHARE_INVITATION
from ringfence.model.world import World


def asks(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """One question, on the share or invitation that the request names."""
    about = actions.action("ram", call.action)
    if about is None:
        yield Ask(f"ram:{call.action}", ())
        return
    named = params.get("resourceShareInvitationArn") or params.get("resourceShareArn")
    arn = str(named) if named and about.resources else "*"
    held = _of_share(world, arn)
    target = Target(arn=arn, account_id=call.account_id, context=held)
    yield Ask(f"ram:{call.action}", (target,), {**_request(call, params), **held})


def _of_share(world: World, arn: str) -> Values:
    """What is known of the share or invitation."""
    id = arn.rpartition("/")[2]
    share, invitation = world.find(RESOURCE_SHARE, id), world.find(SHARE_INVITATION, id)
    if invitation is not None and SHARE_INVITATION.arn(invitation) == arn:
        return {"ram:resourcesharename": invitation.share_name, "ram:shareowneraccountid": invitation.owner_id}
    if share is None or RESOURCE_SHARE.arn(share) != arn:
        return {}
    own: Values = {"ram:resourcesharename": share.name, "ram:allowsexternalprincipals": truth(share.external)}
    return {**own, **tag_keys(("aws:resourcetag", "ram:resourcetag"), share.tags)}


def _request(call: Call, params: Params) -> Values:
    """What the request asks for."""
    out: Values = request_tags(
        (str(tag.get("key") or ""), str(tag.get("value") or "")) for tag in params.get("tags") or ()
    )
    if params.get("tagKeys"):
        out["aws:tagkeys"] = tuple(dict.fromkeys(map(str, params["tagKeys"])))
    resources, principals = params.get("resourceArns"), params.get("principals")
    if resources and call.action != "ListResources":
        out |= {"ram:resourcearn": tuple(map(str, resources)), "ram:requestedresourcetype": PREFIX_LIST_TYPE}
    if principals and call.action != "ListPrincipals":
        out["ram:principal"] = tuple(map(str, principals))
    external = params.get("allowExternalPrincipals")
    if call.action in ("CreateResourceShare", "UpdateResourceShare") and external is not None:
        out["ram:requestedallowsexternalprincipals"] = truth(external)
    return out
