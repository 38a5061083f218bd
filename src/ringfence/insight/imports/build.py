"""Records in the shape of EC2's API → a World."""

from __future__ import annotations

from ringfence.insight.imports import endpoints, hosts, networks, peerings, rules
from ringfence.insight.imports.draft import Archive, Draft
from ringfence.model.world import World

#: lists of EC2's API that are built into rows, in the order they need each other
READ = (
    "PrefixLists", "VpcAttributes", "Vpcs", "DhcpOptions", "SecurityGroups", "SecurityGroupRules",
    "SecurityGroupVpcAssociations", "NetworkAcls", "Subnets", "InternetGateways", "VpcPeeringConnections", "VpcEndpoints", "RouteTables",
    "Reservations", "Instances",
    "NetworkInterfaces", "Addresses",
)  # fmt: skip
#: lists whose elements move packets and are not modelled: routes to them and interfaces of theirs are answered as unknown
NOT_MODELLED: dict[str, str] = {
    "NatGateways": "NatGatewayId", "TransitGateways": "TransitGatewayId",
    "TransitGatewayAttachments": "TransitGatewayAttachmentId", "TransitGatewayVpcAttachments": "TransitGatewayAttachmentId",
    "TransitGatewayRouteTables": "TransitGatewayRouteTableId",
    "EgressOnlyInternetGateways": "EgressOnlyInternetGatewayId", "CarrierGateways": "CarrierGatewayId",
    "LocalGateways": "LocalGatewayId", "VpnGateways": "VpnGatewayId", "VpnConnections": "VpnConnectionId",
    "CustomerGateways": "CustomerGatewayId", "ClientVpnEndpoints": "ClientVpnEndpointId",
    "LoadBalancers": "LoadBalancerArn", "Firewalls": "FirewallArn",
    "VpcBlockPublicAccessExclusions": "ExclusionId",
}  # fmt: skip
#: lists that say nothing about packets
NO_BEARING = frozenset((
    "AvailabilityZones", "Regions", "Images", "KeyPairs", "Volumes", "Snapshots", "FlowLogs", "Tags", "AccountAttributes",
    "LaunchTemplates", "LaunchTemplateVersions", "InstanceTypes", "InstanceTypeOfferings", "InstanceStatuses", "Hosts",
    "PlacementGroups", "SpotInstanceRequests", "ReservedInstances", "VpcEndpointServiceConfigurations", "ServiceConfigurations",
    "StaleSecurityGroupSet", "SecurityGroupReferenceSet", "NetworkInsightsPaths", "NetworkInsightsAnalyses",
    "NetworkInterfacePermissions", "SubnetCidrReservations", "IamInstanceProfileAssociations", "VolumesModifications",
    "VpcEndpointConnections", "VpcEndpointServicePermissions", "AllowedPrincipals", "DhcpOptionsSets",
    "ReservedInstancesOfferings", "Ipams", "IpamPools", "ManagedPrefixListEntries",
))  # fmt: skip


def build(archive: Archive) -> World:
    """The World of an archive; `archive.notes` says what is not in it."""
    draft = Draft(archive)
    lists = rules.prefix_lists(draft)
    networks.vpcs(draft)
    networks.dhcp_options(draft)
    rules.groups(draft, lists)
    rules.associations(draft)
    acl_of = rules.acls(draft)
    networks.subnets(draft, acl_of)
    networks.internet_gateways(draft)
    peerings.connections(draft)
    told = endpoints.endpoints(draft)
    networks.route_tables(draft, lists)
    hosts.instances(draft)
    hosts.interfaces(draft)
    hosts.addresses(draft)
    networks.targets(draft)
    endpoints.agree(draft, told)
    for source in archive.cut:
        draft.gap(None, source, "a part of this source is missing or damaged")
    return draft.world()
