"""The AWS error table: every code a client can be given, its HTTP status and its message.

Sources: EC2 API Reference, "Error codes for the Amazon EC2 API"; responses recorded from AWS where
the spec cites them. A code that is not in this table cannot be raised: `fault` refuses it.
Fields in braces are filled from the keywords given to `fault`; `message=` replaces the template.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One row of the table: HTTP status and message template."""

    status: int
    template: str


class ApiError(Exception):
    """A fault the client is told about: `code`, HTTP `status`, `message`. Anything else is our bug.

    `detail`: where in the request the fault is, when AWS's own sentence does not tell. `reason`: the member `Reason` that
    some services' exceptions have.
    """

    def __init__(self, code: str, status: int, message: str, detail: str = "", reason: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.status, self.message, self.detail, self.reason = code, status, message, detail, reason


def _bad(template: str, status: int = 400) -> ErrorKind:
    return ErrorKind(status, template)


_GENERAL: dict[str, ErrorKind] = {
    "AccessDenied": _bad("{message}", 403),
    "AccessDeniedException": _bad("{message}"),  # services of the JSON protocols
    "AuthFailure": _bad("AWS was not able to validate the provided access credentials", 401),
    "DependencyViolation": _bad("{message}"),
    "DryRunOperation": _bad("Request would have succeeded, but DryRun flag is set.", 412),
    "ExpiredToken": _bad("The security token included in the request is expired", 403),
    "ExpiredTokenException": _bad("{message}"),  # this and the like: services of the JSON protocols
    "IdempotentParameterMismatch": _bad(
        "The request uses the same client token as a previous, but non-identical request."
    ),
    "IncompleteSignature": _bad("{message}"),
    "IncompleteSignatureException": _bad("{message}"),
    "InternalError": _bad("An internal error has occurred", 500),
    "InternalFailure": _bad("An internal error has occurred", 500),
    "InvalidAction": _bad("The action {action} is not valid for this web service."),
    "InvalidAuthorizationMessageException": _bad("The message could not be decoded."),
    "InvalidClientTokenId": _bad("The security token included in the request is invalid.", 403),
    "InvalidParameter": _bad("{message}"),
    "InvalidParameterCombination": _bad("{message}"),
    "InvalidParameterValue": _bad("{message}"),
    "InvalidRequest": _bad("{message}"),
    "InvalidSignatureException": _bad("{message}"),
    "MalformedPolicyDocument": _bad("{message}"),
    "MalformedQueryString": _bad("{message}", 404),
    "MissingAction": _bad("The request must contain the parameter Action."),
    "MissingAuthenticationToken": _bad("Request is missing Authentication Token", 403),
    "MissingAuthenticationTokenException": _bad("{message}"),
    "MissingParameter": _bad("The request must contain the parameter {name}"),
    "NotImplemented": _bad("{message}", 501),
    "NoSuchVersion": _bad("The requested version ({version}) is not valid."),
    "OptInRequired": _bad("You are not subscribed to this service.", 403),
    "RequestEntityTooLarge": _bad("The request body exceeds {limit} bytes.", 413),
    "RequestTimeout": _bad("The request did not arrive whole within {seconds} seconds."),
    "RequestExpired": _bad("Request has expired."),
    "RequestLimitExceeded": _bad("Request limit exceeded.", 503),
    "SerializationException": _bad("{message}"),
    "ServiceUnavailable": _bad("{message}", 503),
    "SignatureDoesNotMatch": _bad(
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
        403,
    ),
    "TagLimitExceeded": _bad("{message}"),
    "UnauthorizedOperation": _bad("{message}", 403),
    "UnrecognizedClientException": _bad("{message}"),
    "UnknownParameter": _bad("The parameter {name} is not recognized"),
    "Unsupported": _bad("{message}"),
    "UnsupportedOperation": _bad("{message}"),
    "UnknownOperationException": _bad("{message}", 404),
    "Throttling": _bad("Rate exceeded"),
    "ThrottlingException": _bad("Rate exceeded"),
    "SlowDown": _bad("Please reduce your request rate.", 503),
    "TooManyRequestsException": _bad(
        "AWS Organizations can't complete your request because another request is already in progress. Try again later."
    ),
    "InvalidParameterException": _bad("{message}"),
    "ValidationException": _bad("{message}"),
}

_EC2: dict[str, ErrorKind] = {
    "ActiveVpcPeeringConnectionPerVpcLimitExceeded": _bad(
        "The maximum number of active VPC peering connections ({limit}) for VPC {vpc} has been reached."
    ),
    "AnalysisExistsForNetworkInsightsPath": _bad("{message}"),
    "AddressLimitExceeded": _bad("The maximum number of addresses has been reached."),
    "AttachmentLimitExceeded": _bad("{message}"),
    "CannotDelete": _bad('the specified group: "{id}" name: "default" cannot be deleted by a user'),
    "CidrLimitExceeded": _bad("This network {vpc} has met its maximum number of allowed CIDRs: {limit}"),
    "ClientInvalidParameterValue": _bad("{message}"),
    "DefaultSubnetAlreadyExistsInAvailabilityZone": _bad("'{subnet}' is already the default subnet in {zone}."),
    "DefaultVpcAlreadyExists": _bad("A Default VPC already exists for this account in this region."),
    "DefaultVpcDoesNotExist": _bad(
        "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC."
    ),
    "FilterLimitExceeded": _bad("The maximum number of filter values is 200."),
    "Gateway.NotAttached": _bad("{message}"),
    "IncorrectInstanceState": _bad("{message}"),
    "FlowLogAlreadyExists": _bad(
        "Error. There is an existing Flow Log with the same configuration and log destination."
    ),
    "FlowLogsLimitExceeded": _bad("The maximum number of flow logs for {id} has been reached."),
    "IncorrectState": _bad("{message}"),
    "InsufficientFreeAddressesInSubnet": _bad("There are not enough free addresses in subnet '{subnet}'."),
    "InternetGatewayLimitExceeded": _bad("The maximum number of internet gateways has been reached."),
    "InvalidAMIAttributeItemValue": _bad("{message}"),
    "InvalidAMIName.Duplicate": _bad("AMI name {name} is already in use by AMI {id}"),
    "InvalidAMIName.Malformed": _bad("{message}"),
    "InvalidAMIID.Malformed": _bad('Invalid id: "{id}" (expecting "ami-...")'),
    "InvalidAMIID.NotFound": _bad("The image id '[{id}]' does not exist"),
    "InvalidManifest": _bad("{message}"),
    "InvalidAMIID.Unavailable": _bad("The image id '[{id}]' is no longer available"),
    "InvalidAddress.NotFound": _bad("Address '{id}' not found."),
    "InvalidAddressID.NotFound": _bad("Address '{id}' not found."),
    "InvalidAddress.InUse": _bad("{message}"),
    "InvalidAllocationID.NotFound": _bad("The allocation ID '{id}' does not exist"),
    "InvalidAssociationID.NotFound": _bad("The association ID '{id}' does not exist"),
    "InvalidAttachment.NotFound": _bad("There is no attachment"),
    "InvalidAttachmentID.NotFound": _bad("The attachment '{id}' does not exist"),
    "InvalidAvailabilityZone": _bad("Invalid availability zone: [{zone}]"),
    "InvalidCidr.InUse": _bad("{message}"),
    "InvalidDeviceIndex": _bad("{message}"),
    "InvalidDhcpOptionID.NotFound": _bad("The dhcpOption ID '{id}' does not exist"),
    "InvalidDhcpOptionsID.NotFound": _bad("The dhcpOptions ID '{id}' does not exist"),
    "InvalidDhcpOptionsId.Malformed": _bad('Invalid id: "{id}" (expecting "dopt-...")'),
    "InvalidFilter": _bad("The filter '{name}' is invalid"),
    "InvalidFlowLogId.NotFound": _bad("The flow log ID '{id}' does not exist"),
    "InvalidGroup.Duplicate": _bad("The security group '{name}' already exists for VPC '{vpc}'"),
    "InvalidGroup.InUse": _bad("{message}"),
    "InvalidGroup.NotFound": _bad("The security group '{id}' does not exist"),
    "InvalidGroup.Reserved": _bad("The security group name '{name}' is reserved"),
    "InvalidGroupId.Malformed": _bad('Invalid id: "{id}" (expecting "sg-...")'),
    "InvalidIPAddress.InUse": _bad("Address {address} is in use."),
    "InvalidID": _bad("The ID '{id}' is not valid"),
    "InvalidInput": _bad("{message}"),
    "InvalidInstanceAttributeValue": _bad("{message}"),
    "InvalidInstanceID": _bad("{message}"),
    "InvalidInstanceID.Malformed": _bad('Invalid id: "{id}"'),
    "InvalidInstanceID.NotFound": _bad("The instance ID '{id}' does not exist"),
    "InvalidInstanceID.NotLinkable": _bad("{message}"),
    "InvalidInstanceType": _bad("{message}"),
    "InvalidInterface.IpAddressLimitExceeded": _bad("{message}"),
    "InvalidInternetGatewayID.NotFound": _bad("The internetGateway ID '{id}' does not exist"),
    "InvalidInternetGatewayId.Malformed": _bad('Invalid id: "{id}" (expecting "igw-...")'),
    "InvalidKey.Format": _bad("Key is not in valid OpenSSH public key format"),
    "InvalidKeyPair.Duplicate": _bad("The keypair already exists"),
    "InvalidKeyPair.Format": _bad("{message}"),
    "InvalidKeyPair.NotFound": _bad("The key pair '{id}' does not exist"),
    "InvalidMaxResults": _bad("{message}"),
    "InvalidNetworkAcl.InUse": _bad("{message}"),
    "InvalidNetworkAclEntry.NotFound": _bad("The network acl entry identified by {number} does not exist."),
    "InvalidNetworkAclID.NotFound": _bad("The networkAcl ID '{id}' does not exist"),
    "InvalidNetworkAclId.Malformed": _bad('Invalid id: "{id}" (expecting "acl-...")'),
    "InvalidNetworkInsightsAccessScopeAnalysisId.Malformed": _bad('Invalid id: "{id}" (expecting "nisa-...")'),
    "InvalidNetworkInsightsAccessScopeAnalysisId.NotFound": _bad(
        "The network insights access scope analysis ID '{id}' does not exist"
    ),
    "InvalidNetworkInsightsAccessScopeId.Malformed": _bad('Invalid id: "{id}" (expecting "nis-...")'),
    "InvalidNetworkInsightsAccessScopeId.NotFound": _bad("The network insights access scope ID '{id}' does not exist"),
    "InvalidNetworkInsightsAnalysisId.Malformed": _bad('Invalid id: "{id}" (expecting "nia-...")'),
    "InvalidNetworkInsightsAnalysisId.NotFound": _bad("The network insights analysis ID '{id}' does not exist"),
    "InvalidNetworkInsightsPathId.Malformed": _bad('Invalid id: "{id}" (expecting "nip-...")'),
    "InvalidNetworkInsightsPathId.NotFound": _bad("The network insights path ID '{id}' does not exist"),
    "InvalidNetworkInterface.InUse": _bad("{message}"),
    "InvalidNetworkInterface.NotInstance": _bad("{message}"),
    "InvalidNetworkInterfaceAttachmentId.Malformed": _bad('Invalid id: "{id}" (expecting "eni-attach-...")'),
    "InvalidNetworkInterfaceID.NotFound": _bad("The networkInterface ID '{id}' does not exist"),
    "InvalidNetworkInterfaceId.Malformed": _bad('Invalid id: "{id}" (expecting "eni-...")'),
    "InvalidNextToken": _bad("The token '{token}' is invalid"),
    "InvalidPaginationToken": _bad("The token '{token}' is invalid"),
    "InvalidPermission.Duplicate": _bad('the specified rule "{rule}" already exists'),
    "InvalidPermission.Malformed": _bad("{message}"),
    "InvalidPermission.NotFound": _bad("The specified rule does not exist in this security group."),
    "InvalidPrefixListID.NotFound": _bad("The prefix list ID '{id}' does not exist"),
    "InvalidPrefixListId.Malformed": _bad('Invalid id: "{id}" (expecting "pl-...")'),
    "InvalidPrefixListModification": _bad("{message}"),
    "InvalidRequest.DuplicateRule": _bad("{message}"),
    "InvalidRoute.InvalidState": _bad("{message}"),
    "InvalidRoute.Malformed": _bad("{message}"),
    "InvalidRoute.NotFound": _bad("no route with destination-cidr-block {destination} in route table {table}"),
    "InvalidRouteTableID.NotFound": _bad("The routeTable ID '{id}' does not exist"),
    "InvalidRouteTableId.Malformed": _bad('Invalid id: "{id}" (expecting "rtb-...")'),
    "InvalidSecurity.RequestHasExpired": _bad("Request has expired."),
    "InvalidSecurityGroupRuleId.Malformed": _bad('Invalid id: "{id}" (expecting "sgr-...")'),
    "InvalidSecurityGroupRuleId.NotFound": _bad("The security group rule ID '{id}' does not exist"),
    "InvalidStateTransition": _bad("{message}"),
    "InvalidSubnet": _bad("{message}"),
    "InvalidSubnet.Conflict": _bad("The CIDR '{cidr}' conflicts with another subnet"),
    "InvalidSubnet.Range": _bad("The CIDR '{cidr}' is invalid."),
    "InvalidSubnetID.NotFound": _bad("The subnet ID '{id}' does not exist"),
    "InvalidSubnetID.Malformed": _bad('Invalid id: "{id}" (expecting "subnet-...")'),
    "InvalidTagKey.Malformed": _bad("{message}"),
    "InvalidUserData.Malformed": _bad("{message}"),
    "InvalidVpc.Range": _bad("The CIDR '{cidr}' is invalid."),
    "InvalidSubnetCidrBlockAssociationID.NotFound": _bad("The subnet CIDR block association ID '{id}' does not exist"),
    "InvalidSubnetCidrReservationID.NotFound": _bad("The subnet-cidr-reservation ID '{id}' does not exist"),
    "InvalidVpcCidrBlockAssociationID.NotFound": _bad("The vpc CIDR block association ID '{id}' does not exist"),
    "InvalidVpcID.NotFound": _bad("The vpc ID '{id}' does not exist"),
    "InvalidVpcID.Malformed": _bad('Invalid id: "{id}" (expecting "vpc-...")'),
    "InvalidServiceName": _bad("The Vpc Endpoint Service '{service}' does not exist"),
    "InvalidPolicyDocument": _bad("{message}"),
    "VpcEndpointLimitExceeded": _bad("The maximum number of VPC endpoints has been reached."),
    "InvalidVpcEndpointId.Malformed": _bad('Invalid id: "{id}" (expecting "vpce-...")'),
    "InvalidVpcEndpointId.NotFound": _bad("The Vpc Endpoint Id '{id}' does not exist"),
    "InvalidVpcPeeringConnectionState.DnsHostnamesDisabled": _bad("{message}"),
    "InvalidVpcPeeringConnectionId.Malformed": _bad('Invalid id: "{id}" (expecting "pcx-...")'),
    "InvalidVpcPeeringConnectionID.NotFound": _bad("The vpcPeeringConnection ID '{id}' does not exist"),
    "LegacySecurityGroup": _bad("{message}"),
    "LogDestinationPermissionIssue": _bad("{message}"),
    "NetworkAclEntryAlreadyExists": _bad("The network acl entry identified by {number} already exists."),
    "NetworkAclEntryLimitExceeded": _bad("The maximum number of network acl entries has been reached."),
    "NetworkAclLimitExceeded": _bad("The maximum number of network ACLs has been reached."),
    # the codes of paths and analyses that AWS's own CloudFormation handlers know, those of scopes by analogy; the texts are ours
    "NetworkInsights.AccessDenied": _bad("{message}", 403),
    "NetworkInsightsAccessScope.LimitExceeded": _bad("The maximum number of access scopes has been reached."),
    "NetworkInsightsAccessScopeAnalysis.LimitExceeded": _bad(
        "The maximum number of access scope analyses has been reached."
    ),
    "NetworkInsightsAnalysis.LimitExceeded": _bad("The maximum number of network insights analyses has been reached."),
    "NetworkInsightsDestination.NotFound": _bad("The destination '{id}' does not exist"),
    "NetworkInsightsPath.LimitExceeded": _bad("The maximum number of network insights paths has been reached."),
    "NetworkInsightsSource.NotFound": _bad("The source '{id}' does not exist"),
    "NetworkAddressUsageLimitExceeded": _bad("The network address usage of {vpc} would exceed its limit of {limit}."),
    "NetworkAddressUsagePeeredLimitExceeded": _bad(
        "The network address usage of {vpc} and its peers would exceed its limit of {limit}."
    ),
    "NetworkInterfaceLimitExceeded": _bad("The maximum number of network interfaces has been reached."),
    "OperationNotPermitted": _bad("{message}"),
    "PrefixListLimitExceeded": _bad("The maximum number of prefix lists has been reached."),
    "PrefixListMaxEntriesExceeded": _bad("The prefix list cannot have more than {limit} entries."),
    "PrefixListReferenceLimitExceeded": _bad("The maximum number of references to a prefix list has been reached."),
    "PrefixListVersionMismatch": _bad("The prefix list has the incorrect version number."),
    "OutstandingVpcPeeringConnectionLimitExceeded": _bad(
        "The maximum number of outstanding VPC peering connection requests ({limit}) has been reached."
    ),
    "PrivateIpAddressLimitExceeded": _bad("{message}"),
    "Resource.AlreadyAssociated": _bad("{message}"),
    "ResourceLimitExceeded": _bad("{message}"),
    "RouteAlreadyExists": _bad("The route identified by {destination} already exists."),
    "RouteLimitExceeded": _bad("The maximum number of routes has been reached."),
    "RouteTableLimitExceeded": _bad("The maximum number of route tables has been reached."),
    "RulesPerSecurityGroupLimitExceeded": _bad("The maximum number of rules per security group has been reached."),
    "SecurityGroupLimitExceeded": _bad("The maximum number of security groups has been reached."),
    "SecurityGroupsPerInstanceLimitExceeded": _bad("{message}"),
    "SecurityGroupsPerInterfaceLimitExceeded": _bad(
        "The maximum number of security groups per interface has been reached."
    ),
    "SubnetLimitExceeded": _bad("The maximum number of subnets has been reached."),
    "UnsupportedTenancy": _bad("The tenancy value {tenancy} is not supported."),
    "VPCIdNotSpecified": _bad("No default VPC for this user"),
    "VPCResourceNotSpecified": _bad("{message}"),
    "VpcLimitExceeded": _bad("The maximum number of VPCs has been reached."),
    "VpcPeeringConnectionAlreadyExists": _bad("A VPC peering connection between {vpc} and {peer} already exists: {id}"),
}

#: IAM API Reference, "Errors" of each action; the statuses are the service model's
_IAM: dict[str, ErrorKind] = {
    "ConcurrentModification": _bad("{message}", 409),
    "DeleteConflict": _bad("{message}", 409),
    "EntityAlreadyExists": _bad("{message}", 409),
    "EntityTemporarilyUnmodifiable": _bad("{message}", 409),
    "InvalidAuthenticationCode": _bad("{message}", 403),
    "InvalidCertificate": _bad("{message}"),
    "InvalidUserType": _bad("{message}"),
    "LimitExceeded": _bad("Cannot exceed quota for {quota}: {limit}", 409),
    "MalformedCertificate": _bad("{message}"),
    "MalformedPolicyDocument": _bad("{message}"),
    "NoSuchEntity": _bad("The entity {id} cannot be found.", 404),
    "NotSupportedService": _bad("{message}", 404),
    "PasswordPolicyViolation": _bad("{message}"),
    "PolicyEvaluation": _bad("{message}", 500),
    "PolicyNotAttachable": _bad("{message}"),
    "ReportExpired": _bad("{message}", 410),
    "ReportInProgress": _bad("{message}", 404),
    "ReportNotPresent": _bad("{message}", 410),
    "ServiceFailure": _bad("The request processing has failed because of an internal error.", 500),
    "UnmodifiableEntity": _bad("{message}"),
    "ValidationError": _bad("{message}"),
}

#: AWS STS API Reference, "Errors" of each action
_STS: dict[str, ErrorKind] = {
    "ExpiredTokenException": _bad("{message}"),
    "IDPCommunicationError": _bad("{message}"),
    "IDPRejectedClaim": _bad("{message}", 403),
    "InvalidIdentityToken": _bad("{message}"),
    "PackedPolicyTooLarge": _bad("{message}"),
}

_CLOUDTRAIL: dict[str, ErrorKind] = {
    "CloudTrailARNInvalidException": _bad("{message}"),
    "InsufficientEncryptionPolicyException": _bad("{message}"),
    "InsufficientS3BucketPolicyException": _bad("Incorrect S3 bucket policy is detected for bucket: {bucket}"),
    "InvalidEventSelectorsException": _bad("{message}"),
    "InvalidLookupAttributesException": _bad("{message}"),
    "InvalidMaxResultsException": _bad("{message}"),
    "InvalidNextTokenException": _bad("{message}"),
    "InvalidS3BucketNameException": _bad("{message}"),
    "InvalidS3PrefixException": _bad("{message}"),
    "InvalidTimeRangeException": _bad("{message}"),
    "InvalidTrailNameException": _bad("{message}"),
    "KmsException": _bad("{message}"),
    "KmsKeyDisabledException": _bad("{message}"),
    "KmsKeyNotFoundException": _bad("{message}"),
    "MaximumNumberOfTrailsExceededException": _bad("User: {account} already has {limit} trails in {region}."),
    "ResourceNotFoundException": _bad("{message}", 400),
    "S3BucketDoesNotExistException": _bad("S3 bucket {bucket} does not exist!"),
    "TagsLimitExceededException": _bad("{message}"),
    "TrailAlreadyExistsException": _bad("Trail {name} already exists for customer: {account}"),
    "TrailNotFoundException": _bad("Unknown trail: {id}"),
    "UnsupportedOperationException": _bad("{message}"),
    "InvalidHomeRegionException": _bad("{message}"),
    "InvalidParameterCombinationException": _bad("{message}"),
}

#: CloudWatch Logs API Reference, "Errors" of each action
_LOGS: dict[str, ErrorKind] = {
    "InvalidOperationException": _bad("{message}"),
    "LimitExceededException": _bad("Resource limit exceeded."),
    "OperationAbortedException": _bad("{message}"),
    "ServiceUnavailableException": _bad("{message}", 503),
    "ResourceAlreadyExistsException": _bad("The specified {what} already exists"),
    "TooManyTagsException": _bad("{message}"),
}

#: AWS KMS API Reference, "Errors" of each action; the last three as Amazon S3 shows them
_KMS: dict[str, ErrorKind] = {
    "AlreadyExistsException": _bad("{message}"),
    "DisabledException": _bad("{id} is disabled."),
    "IncorrectKeyException": _bad("The key ID in the request does not identify a CMK that can perform this operation."),
    "DryRunOperationException": _bad("The request would have succeeded, but the DryRun option is set.", 412),
    "InvalidAliasNameException": _bad("{message}"),
    "InvalidArnException": _bad("{message}"),
    "InvalidCiphertextException": _bad(""),  # AWS: without a word
    "InvalidGrantIdException": _bad("{message}"),
    "InvalidGrantTokenException": _bad("{message}"),
    "InvalidKeyUsageException": _bad("{message}"),
    "InvalidMarkerException": _bad("Could not deserialize marker"),
    "KMSInternalException": _bad("{message}", 500),
    "KMSInvalidStateException": _bad("{message}"),
    "NotAuthorizedException": _bad(""),  # AWS: without a word
    "NotFoundException": _bad("{message}"),
    "TagException": _bad("{message}"),
    "KMS.DisabledException": _bad("{message}"),
    "KMS.KMSInvalidStateException": _bad("{message}"),
    "KMS.NotFoundException": _bad("{message}"),
}

#: CloudWatch API Reference, "Errors" of each action
_CLOUDWATCH: dict[str, ErrorKind] = {
    "InternalServiceError": _bad("{message}", 500),
    "InvalidFormat": _bad("{message}"),
    "InvalidNextToken": _bad("The next token specified is invalid."),
    "ResourceNotFound": _bad("{message}", 404),
}

#: AWS Organizations API Reference, "Errors" of each action; all have status 400
_ORGANIZATIONS: dict[str, ErrorKind] = {
    "AWSOrganizationsNotInUseException": _bad("Your account is not a member of an organization."),
    "AccountAlreadyClosedException": _bad("The account {id} is closed already."),
    "AccountNotFoundException": _bad("You specified an account that doesn't exist."),
    "AlreadyInOrganizationException": _bad("The AWS account is already a member of an organization."),
    "ChildNotFoundException": _bad("You specified a child that doesn't exist."),
    "ConstraintViolationException": _bad("{message}"),
    "CreateAccountStatusNotFoundException": _bad("You specified a create account request that doesn't exist."),
    "DestinationParentNotFoundException": _bad("You specified a destination parent that doesn't exist."),
    "DuplicateAccountException": _bad("The account is already in the destination that you specified."),
    "DuplicateHandshakeException": _bad("A handshake with the same action and target exists already."),
    "DuplicateOrganizationalUnitException": _bad("An OU with the same name already exists."),
    "DuplicatePolicyAttachmentException": _bad("A policy is already attached to the specified target."),
    "DuplicatePolicyException": _bad("A policy with the same name already exists."),
    "HandshakeAlreadyInStateException": _bad("The handshake is already in the state {state}."),
    "HandshakeConstraintViolationException": _bad("{message}"),
    "HandshakeNotFoundException": _bad("You specified a handshake that doesn't exist."),
    "InvalidHandshakeTransitionException": _bad("The handshake cannot go from {state} to {wanted}."),
    "InvalidInputException": _bad("{message}"),
    "MalformedPolicyDocumentException": _bad("{message}"),
    "MasterCannotLeaveOrganizationException": _bad("The management account cannot leave the organization."),
    "OrganizationNotEmptyException": _bad("To delete the organization you must first remove all member accounts."),
    "OrganizationalUnitNotEmptyException": _bad("The OU holds accounts or other OUs."),
    "OrganizationalUnitNotFoundException": _bad("You specified an organizational unit that doesn't exist."),
    "ParentNotFoundException": _bad("You specified parent that doesn't exist."),
    "PolicyInUseException": _bad("The policy is attached to one or more entities: detach it first."),
    "PolicyNotAttachedException": _bad("The policy isn't attached to the specified target."),
    "PolicyNotFoundException": _bad("You specified a policy that doesn't exist."),
    "PolicyTypeAlreadyEnabledException": _bad("The specified policy type is already enabled."),
    "PolicyTypeNotAvailableForOrganizationException": _bad("{message}"),
    "PolicyTypeNotEnabledException": _bad("This operation can be performed only for enabled policy types."),
    "ResourcePolicyNotFoundException": _bad("The organization has no resource policy."),
    "RootNotFoundException": _bad("You specified a root that doesn't exist."),
    "SourceParentNotFoundException": _bad("You specified a source parent that doesn't exist."),
    "TargetNotFoundException": _bad("You specified a target that doesn't exist."),
}

#: Amazon S3 API Reference, "Error responses"
#: AWS RAM API Reference: the errors of its actions
_RAM: dict[str, ErrorKind] = {
    "IdempotentParameterMismatchException": _bad(
        "The client token has been used before with other parameters of the request."
    ),
    "InvalidMaxResultsException": _bad("{message}"),
    "InvalidResourceTypeException": _bad("{message}"),
    "MalformedArnException": _bad("The specified ARN {arn} is not valid. Verify the ARN and try again."),
    "OperationNotPermittedException": _bad("{message}"),
    "ResourceShareInvitationAlreadyAcceptedException": _bad("The invitation {arn} was already accepted."),
    "ResourceShareInvitationAlreadyRejectedException": _bad("The invitation {arn} was already rejected."),
    "ResourceShareInvitationArnNotFoundException": _bad("The invitation {arn} could not be found."),
    "ResourceShareInvitationExpiredException": _bad("The invitation {arn} has expired."),
    "ResourceShareLimitExceededException": _bad("{message}"),
    "TagLimitExceededException": _bad("A resource share can have at most 50 tags."),
    "UnknownResourceException": _bad("{message}"),
}  # fmt: skip
_S3: dict[str, ErrorKind] = {
    "AccessControlListNotSupported": _bad("The bucket does not allow ACLs"),
    "BadDigest": _bad("The {what} you specified did not match the calculated checksum."),
    "BucketAlreadyExists": _bad(
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Please select a different name and try again.", 409
    ),
    "BucketAlreadyOwnedByYou": _bad(
        "Your previous request to create the named bucket succeeded and you already own it.", 409
    ),
    "BucketNotEmpty": _bad("The bucket you tried to delete is not empty", 409),
    "AuthorizationHeaderMalformed": _bad("The authorization header is malformed; {message}"),
    "EntityTooLarge": _bad("Your proposed upload exceeds the maximum allowed size of {limit} bytes"),
    "EntityTooSmall": _bad("Your proposed upload is smaller than the minimum allowed size"),
    "IllegalLocationConstraintException": _bad("{message}"),
    "InvalidAccessKeyId": _bad("The AWS Access Key Id you provided does not exist in our records.", 403),
    "InvalidArgument": _bad("{message}"),
    "InvalidBucketName": _bad("The specified bucket is not valid."),
    "InvalidEncryptionAlgorithmError": _bad(
        "The encryption request that you specified is not valid. The valid value is AES256."
    ),
    "InvalidDigest": _bad("The Content-MD5 or checksum value that you specified was invalid."),
    "InvalidLocationConstraint": _bad("The specified location-constraint is not valid"),
    "InvalidPart": _bad(
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified "
        "entity tag may not match the part's entity tag."
    ),
    "InvalidPartOrder": _bad("The list of parts was not in ascending order. Parts must be ordered by part number."),
    "InvalidRange": _bad("The requested range is not satisfiable", 416),
    "InvalidURI": _bad("Couldn't parse the specified URI."),
    "KeyTooLongError": _bad("Your key is too long"),
    "MalformedPolicy": _bad("{message}"),
    "IncompleteBody": _bad("You did not provide the number of bytes specified by the Content-Length HTTP header."),
    "MalformedTrailer": _bad("The request contained trailing data that was not well-formed"),
    "MalformedXML": _bad("The XML you provided was not well-formed or did not validate against our published schema"),
    "MethodNotAllowed": _bad("The specified method is not allowed against this resource.", 405),
    "MissingRequestBodyError": _bad("Request Body is empty"),
    "NoSuchBucket": _bad("The specified bucket does not exist", 404),
    "NoSuchBucketPolicy": _bad("The bucket policy does not exist", 404),
    "NoSuchCORSConfiguration": _bad("The CORS configuration does not exist", 404),
    "NoSuchKey": _bad("The specified key does not exist.", 404),
    "NoSuchLifecycleConfiguration": _bad("The lifecycle configuration does not exist", 404),
    "NoSuchPublicAccessBlockConfiguration": _bad("The public access block configuration was not found", 404),
    "NoSuchTagSet": _bad("The TagSet does not exist", 404),
    "NoSuchUpload": _bad(
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed.", 404
    ),
    "NoSuchWebsiteConfiguration": _bad("The specified bucket does not have a website configuration", 404),
    "NotModified": _bad("Not Modified", 304),
    "ObjectLockConfigurationNotFoundError": _bad("Object Lock configuration does not exist for this bucket", 404),
    "PreconditionFailed": _bad("At least one of the pre-conditions you specified did not hold", 412),
    "ReplicationConfigurationNotFoundError": _bad("The replication configuration was not found", 404),
    "RequestTimeTooSkewed": _bad("The difference between the request time and the current time is too large.", 403),
    "ServerSideEncryptionConfigurationNotFoundError": _bad(
        "The server side encryption configuration was not found", 404
    ),
    "TooManyBuckets": _bad("You have attempted to create more buckets than allowed"),
}  # fmt: skip

ERRORS: dict[str, ErrorKind] = {
    **_RAM,
    **_S3,
    **_CLOUDTRAIL,
    **_GENERAL,
    **_EC2,
    **_IAM,
    **_STS,
    **_LOGS,
    **_KMS,
    **_CLOUDWATCH,
    **_ORGANIZATIONS,
}


class _Fields(dict[str, Any]):
    """Leaves an unfilled `{field}` empty in a message rather than failing while reporting a fault."""

    def __missing__(self, key: str) -> str:
        return ""


def fault(code: str, **fields: Any) -> ApiError:
    """The error to raise for `code`. KeyError if the table does not know it (a bug, not a client fault)."""
    kind = ERRORS[code]
    message = fields["message"] if "message" in fields else kind.template.format_map(_Fields(fields))
    return ApiError(code, kind.status, str(message), str(fields.get("detail", "")), str(fields.get("reason", "")))
