# ruff: noqa: E501 -- the texts are AWS's own, one to a line
"""The findings: kind, anchor in AWS's reference, and text (IAM User Guide, "IAM policy validation check reference").

A finding's issue code is its anchor in capitals; `learnMoreLink` is the anchor itself. What is missing here needs tables of
AWS's services that we do not have; docs/iam.md lists it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ringfence.identity.validation.positions import Node, location

_PAGE = "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html"
_ANCHOR = "access-analyzer-reference-policy-checks"
_KINDS = {
    "ERROR": "error", "WARNING": "general-warning", "SECURITY_WARNING": "security-warning", "SUGGESTION": "suggestion",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: its code, the values in its text, the places it is about."""

    code: str
    places: tuple[Node, ...]
    details: str

    def as_reply(self, text: str) -> dict[str, Any]:
        """As ValidatePolicy returns it."""
        kind, _ = TABLE[self.code]
        slug = _SLUGS.get(self.code, self.code.lower().replace("_", "-"))
        return {
            "findingDetails": self.details,
            "findingType": kind,
            "issueCode": self.code,
            "learnMoreLink": f"{_PAGE}#{_ANCHOR}-{_KINDS[kind]}-{slug}",
            "locations": [location(text, place) for place in self.places],
        }


def finding(code: str, *places: Node, **values: object) -> Finding:
    """A finding of the table, its text filled in."""
    return Finding(code, places, re.sub(r"\{(\w+)\}", lambda name: str(values[name[1]]), TABLE[code][1]))


#: anchors that are not their code in small letters
_SLUGS: dict[str, str] = {}

#: code -> kind, text
TABLE: dict[str, tuple[str, str]] = {
    "DATA_TYPE_MISMATCH": (
        "ERROR",
        "The text does not match the expected JSON data type {data_type}.",
    ),
    "DUPLICATE_KEYS_WITH_DIFFERENT_CASE": (
        "ERROR",
        "The condition key {key} appears more than once with different capitalization in the same condition block. Remove the duplicate condition keys.",
    ),
    "INVALID_ACTION": (
        "ERROR",
        "The action {action} does not exist.{hint}",
    ),
    "INVALID_ARN_ACCOUNT": (
        "ERROR",
        "The resource ARN account ID {account} is not valid. Provide a 12-digit account ID.",
    ),
    "INVALID_ARN_PREFIX": (
        "ERROR",
        "Add the required prefix (arn) to the resource ARN.",
    ),
    "INVALID_ARN_SERVICE_CASE": (
        "ERROR",
        "Update the service name {service} in the resource ARN to use all lowercase letters.",
    ),
    "INVALID_CONDITION_DATA_TYPE": (
        "ERROR",
        "The condition value data types do not match. Use condition values of the same JSON data type.",
    ),
    "INVALID_CONDITION_KEY_FORMAT": (
        "ERROR",
        "The condition key format is not valid. Use the format service:keyname.",
    ),
    "INVALID_CONDITION_MULTIPLE_BOOLEAN": (
        "ERROR",
        "The condition key does not support multiple Boolean values. Use a single Boolean value.",
    ),
    "INVALID_CONDITION_OPERATOR": (
        "ERROR",
        "The condition operator {operator} is not valid. Use a valid condition operator.",
    ),
    "INVALID_EFFECT": (
        "ERROR",
        "The effect {effect} is not valid. Use Allow or Deny.",
    ),
    "INVALID_GLOBAL_CONDITION_KEY": (
        "ERROR",
        "The condition key {key} does not exist. Use a valid condition key.",
    ),
    "INVALID_PARTITION": (
        "ERROR",
        "The resource ARN for the service {service} does not support the partition {partition}. Use the supported values: {partitions}",
    ),
    "INVALID_POLICY_ELEMENT": (
        "ERROR",
        "The policy element {element} is not valid.",
    ),
    "INVALID_PRINCIPAL_FORMAT": (
        "ERROR",
        "The Principal element contents are not valid. Specify a key-value pair in the Principal element.",
    ),
    "INVALID_PRINCIPAL_KEY": (
        "ERROR",
        "The principal key {principal_key} is not valid.",
    ),
    "INVALID_REGION": (
        "ERROR",
        "The Region {region} is not valid. Update the condition value to a supported Region.",
    ),
    "INVALID_SERVICE": (
        "ERROR",
        "The service {service} does not exist. Use a valid service name.",
    ),
    "INVALID_SERVICE_CONDITION_KEY": (
        "ERROR",
        "The condition key {key} does not exist in the service {service}. Use a valid condition key.",
    ),
    "INVALID_SERVICE_IN_ACTION": (
        "ERROR",
        "The service {service} specified in the action does not exist.{hint}",
    ),
    "INVALID_VARIABLE_FOR_OPERATOR": (
        "ERROR",
        "Policy variables can only be used with String and ARN operators.",
    ),
    "INVALID_VERSION": (
        "ERROR",
        "The version {version} is not valid. Use one of the following versions: {versions}",
    ),
    "JSON_SYNTAX_ERROR": (
        "ERROR",
        "Fix the JSON syntax error at index {index} line {line} column {column}.",
    ),
    "MISSING_ACTION": (
        "ERROR",
        "Add an Action or NotAction element to the policy statement.",
    ),
    "MISSING_ARN_FIELD": (
        "ERROR",
        "Resource ARNs must include at least {fields} fields in the following structure: arn:partition:service:region:account:resource",
    ),
    "MISSING_EFFECT": (
        "ERROR",
        "Add an Effect element to the policy statement with a value of Allow or Deny.",
    ),
    "MISSING_PRINCIPAL": (
        "ERROR",
        "Add a Principal element to the policy statement.",
    ),
    "MISSING_QUALIFIER": (
        "ERROR",
        "The request context key {key} has multiple values. Use the ForAllValues or ForAnyValue condition key qualifiers in your policy.",
    ),
    "MISSING_RESOURCE": (
        "ERROR",
        "Add a Resource or NotResource element to the policy statement.",
    ),
    "MISSING_STATEMENT": (
        "ERROR",
        "Add a statement to the policy",
    ),
    "NULL_WITH_IF_EXISTS": (
        "ERROR",
        "The Null condition operator cannot be used with the IfExists suffix. Update the operator or the suffix.",
    ),
    "SCP_SYNTAX_ERROR_PRINCIPAL": (
        "ERROR",
        "SCPs do not support specifying principals. Remove the Principal or NotPrincipal element.",
    ),
    "UNIQUE_SIDS_REQUIRED": (
        "ERROR",
        "Duplicate statement IDs are not supported for this policy type. Update the Sid value.",
    ),
    "UNSUPPORTED_ELEMENT_COMBINATION": (
        "ERROR",
        "The policy elements {element1} and {element2} can not be used in the same statement. Remove one of these elements.",
    ),
    "UNSUPPORTED_GLOBAL_CONDITION_KEY": (
        "ERROR",
        "The condition key aws:ARN is not supported. Use aws:PrincipalArn or aws:SourceArn instead.",
    ),
    "UNSUPPORTED_PRINCIPAL": (
        "ERROR",
        "The policy type {policy_type} does not support the Principal element. Remove the Principal element.",
    ),
    "UNSUPPORTED_SID": (
        "ERROR",
        "Update the characters in the Sid element to use one of the following character types: [a-z, A-Z, 0-9]",
    ),
    "UNSUPPORTED_WILDCARD_IN_PRINCIPAL": (
        "ERROR",
        "Wildcards (*, ?) are not supported with the principal key {principal_key}. Replace the wildcard with a valid principal value.",
    ),
    "MISSING_BRACE_IN_VARIABLE": (
        "ERROR",
        "The policy variable is missing a closing curly brace. Add } after the variable text.",
    ),
    "MISSING_QUOTE_IN_VARIABLE": (
        "ERROR",
        "The policy variable default value must begin and end with a single quote. Add the missing quote.",
    ),
    "UNSUPPORTED_SPACE_IN_VARIABLE": (
        "ERROR",
        "A space is not supported within the policy variable text. Remove the space.",
    ),
    "EMPTY_VARIABLE": (
        "ERROR",
        "Empty policy variable. Remove the ${ } variable structure or provide a variable within the structure.",
    ),
    "VARIABLE_UNSUPPORTED_IN_ELEMENT": (
        "ERROR",
        "Policy variables are supported in the Resource and Condition elements. Remove the policy variable {variable} from this element.",
    ),
    "VARIABLE_UNSUPPORTED_IN_VERSION": (
        "ERROR",
        "To include variables in your policy, use the policy version 2012-10-17 or later.",
    ),
    "PRIVATE_IP_ADDRESS": (
        "ERROR",
        "aws:SourceIp works only for public IP address ranges. The values for condition key aws:SourceIp include only private IP addresses and will not have the desired effect. Update the value to include only public IP addresses.",
    ),
    "PRIVATE_NOT_IP_ADDRESS": (
        "ERROR",
        "The values for condition key aws:SourceIp include only private IP addresses and has no effect. aws:SourceIp works only for public IP address ranges. Update the value to include only public IP addresses.",
    ),
    "POLICY_SIZE_EXCEEDS_SCP_QUOTA": (
        "ERROR",
        "The {policySize} characters in the service control policy (SCP) exceed the {policySizeQuota} character maximum for SCPs. We recommend that you use multiple granular policies.",
    ),
    "INVALID_SERVICE_PRINCIPAL_FORMAT": (
        "ERROR",
        "The service principal does not match the expected format. Use the format {expectedFormat}.",
    ),
    "MISSING_TAG_KEY_IN_CONDITION": (
        "ERROR",
        "The condition key {conditionKeyName} must include a tag key to control access based on tags. Use the format {conditionKeyName}tag-key and specify a key name for tag-key.",
    ),
    "INVALID_VPC_FORMAT": (
        "ERROR",
        "The VPC identifier in the condition key value is not valid. Use the prefix 'vpc-' followed by 8 or 17 alphanumeric characters.",
    ),
    "INVALID_VPCE_FORMAT": (
        "ERROR",
        "The VPCE identifier in the condition key value is not valid.  Use the prefix 'vpce-' followed by 8 or 17 alphanumeric characters.",
    ),
    "ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL": (
        "ERROR",
        "Role trust policies do not support NotPrincipal. Update the policy to use a Principal element instead.",
    ),
    "ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL": (
        "ERROR",
        '"Principal:" "*" is not supported in the principal element of a role trust policy. Replace the wildcard with a valid principal value.',
    ),
    "ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE": (
        "ERROR",
        "Role trust policies apply to the role that they are attached to. You cannot specify a resource. Remove the Resource or NotResource element.",
    ),
    "CREATE_SLR_WITH_NOT_RESOURCE": (
        "WARNING",
        "Using the iam:CreateServiceLinkedRole action with NotResource can allow creation of unintended service-linked roles for multiple resources. We recommend that you specify resource ARNs instead.",
    ),
    "CREATE_SLR_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE": (
        "WARNING",
        "Using an action with a wildcard(*) and NotResource can allow creation of unintended service-linked roles because it can allow iam:CreateServiceLinkedRole permissions on multiple resources. We recommend that you specify resource ARNs instead.",
    ),
    "CREATE_SLR_WITH_NOT_ACTION_AND_NOT_RESOURCE": (
        "WARNING",
        "Using NotAction with NotResource can allow creation of unintended service-linked roles because it allows iam:CreateServiceLinkedRole permissions on multiple resources. We recommend that you specify resource ARNs instead.",
    ),
    "CREATE_SLR_WITH_STAR_IN_RESOURCE": (
        "WARNING",
        "Using the iam:CreateServiceLinkedRole action with wildcards (*) in the resource can allow creation of unintended service-linked roles. We recommend that you specify resource ARNs instead.",
    ),
    "CREATE_SLR_WITH_STAR_IN_ACTION_AND_RESOURCE": (
        "WARNING",
        "Using wildcards (*) in the action and the resource can allow creation of unintended service-linked roles because it allows iam:CreateServiceLinkedRole permissions on all resources. We recommend that you specify resource ARNs instead.",
    ),
    "CREATE_SLR_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION": (
        "WARNING",
        "Using a resource with wildcards (*) and NotAction can allow creation of unintended service-linked roles because it allows iam:CreateServiceLinkedRole permissions on all resources. We recommend that you specify resource ARNs instead.",
    ),
    "INVALID_DATE_VALUE": (
        "WARNING",
        "The date {date} might not resolve as expected. We recommend that you use the YYYY-MM-DD format.",
    ),
    "INVALID_ROLE_REFERENCE": (
        "WARNING",
        "The Principal element includes the IAM role ID {roleid}. We recommend that you use a role ARN instead.",
    ),
    "INVALID_USER_REFERENCE": (
        "WARNING",
        "The Principal element includes the IAM user ID {userid}. We recommend that you use a user ARN instead.",
    ),
    "MISSING_VERSION": (
        "WARNING",
        "We recommend that you specify the Version element to help you with debugging permission issues.",
    ),
    "UNIQUE_SIDS_RECOMMENDED": (
        "WARNING",
        "We recommend that you use statement IDs that are unique to your policy. Update the Sid value.",
    ),
    "WILDCARD_WITHOUT_LIKE_OPERATOR": (
        "WARNING",
        "Your condition value includes a * or ? character. If you meant to use a wildcard (*, ?), update the condition operator to include Like.",
    ),
    "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA": (
        "WARNING",
        "The {policySize} characters in the identity policy, excluding whitespace, exceed the {policySizeQuota} character maximum for inline and managed policies. We recommend that you use multiple granular policies.",
    ),
    "TYPE_MISMATCH": (
        "WARNING",
        "Use the operator type {allowed} instead of operator {operator} for the condition key {key}.",
    ),
    "TYPE_MISMATCH_BOOLEAN": (
        "WARNING",
        "Add a valid Boolean value (true or false) for the condition operator {operator}.",
    ),
    "TYPE_MISMATCH_DATE": (
        "WARNING",
        "The date condition operator is used with an invalid value. Specify a valid date using YYYY-MM-DD or other ISO 8601 date/time format.",
    ),
    "TYPE_MISMATCH_IP_RANGE": (
        "WARNING",
        "The condition operator {operator} is used with an invalid IP range value. Specify the IP range in standard CIDR format.",
    ),
    "TYPE_MISMATCH_NUMBER": (
        "WARNING",
        "Add a valid numeric value for the condition operator {operator}.",
    ),
    "TYPE_MISMATCH_STRING": (
        "WARNING",
        "Add a valid base64-encoded string value for the condition operator {operator}.",
    ),
    "ALLOW_WITH_NOT_PRINCIPAL": (
        "SECURITY_WARNING",
        "Using Allow with NotPrincipal can be overly permissive. We recommend that you use Principal instead.",
    ),
    "FORALLVALUES_WITH_SINGLE_VALUED_KEY": (
        "SECURITY_WARNING",
        "Using ForAllValues qualifier with the single-valued condition key {key} can be overly permissive. We recommend that you remove ForAllValues:.",
    ),
    "PASS_ROLE_WITH_NOT_RESOURCE": (
        "SECURITY_WARNING",
        "Using the iam:PassRole action with NotResource can be overly permissive because it can allow iam:PassRole permissions on multiple resources. We recommend that you specify resource ARNs instead.",
    ),
    "PASS_ROLE_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE": (
        "SECURITY_WARNING",
        "Using an action with a wildcard (*) and NotResource can be overly permissive because it can allow iam:PassRole permissions on multiple resources. We recommend that you specify resource ARNs instead.",
    ),
    "PASS_ROLE_WITH_NOT_ACTION_AND_NOT_RESOURCE": (
        "SECURITY_WARNING",
        "Using NotAction with NotResource can be overly permissive because it can allow iam:PassRole permissions on multiple resources. We recommend that you specify resource ARNs instead.",
    ),
    "PASS_ROLE_WITH_STAR_IN_RESOURCE": (
        "SECURITY_WARNING",
        "Using the iam:PassRole action with wildcards (*) in the resource can be overly permissive because it allows iam:PassRole permissions on multiple resources. We recommend that you specify resource ARNs or add the iam:PassedToService condition key to your statement.",
    ),
    "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE": (
        "SECURITY_WARNING",
        "Using wildcards (*) in the action and the resource can be overly permissive because it allows iam:PassRole permissions on all resources. We recommend that you specify resource ARNs or add the iam:PassedToService condition key to your statement.",
    ),
    "PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION": (
        "SECURITY_WARNING",
        "Using a resource with wildcards (*) and NotAction can be overly permissive because it allows iam:PassRole permissions on all resources. We recommend that you specify resource ARNs or add the iam:PassedToService condition key to your statement.",
    ),
    "RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL": (
        "SECURITY_WARNING",
        "Granting access to a service principal without specifying a source is overly permissive. Use aws:SourceArn or aws:SourceAccount condition key and scope access to a specific source to grant fine-grained access.",
    ),
    "EMPTY_ARRAY_ACTION": (
        "SUGGESTION",
        "This statement includes no actions and does not affect the policy. Specify actions.",
    ),
    "EMPTY_ARRAY_CONDITION": (
        "SUGGESTION",
        "There are no values for the condition key {key} and it does not affect the policy. Specify conditions.",
    ),
    "EMPTY_ARRAY_CONDITION_FORALLVALUES": (
        "SUGGESTION",
        "The ForAllValues prefix with an empty condition key matches only if the key {key} is missing from the request context. To determine if the request context is empty, we recommend that you use the Null condition operator with the value of true instead.",
    ),
    "EMPTY_ARRAY_CONDITION_FORANYVALUE": (
        "SUGGESTION",
        "The ForAnyValue prefix with an empty condition key {key} never matches the request context and it does not affect the policy. Specify conditions.",
    ),
    "EMPTY_ARRAY_CONDITION_IFEXISTS": (
        "SUGGESTION",
        "The IfExists suffix with an empty condition key matches only if the key {key} is missing from the request context. To determine if the request context is empty, we recommend that you use the Null condition operator with the value of true instead.",
    ),
    "EMPTY_ARRAY_PRINCIPAL": (
        "SUGGESTION",
        "This statement includes no principals and does not affect the policy. Specify principals.",
    ),
    "EMPTY_ARRAY_RESOURCE": (
        "SUGGESTION",
        "This statement includes no resources and does not affect the policy. Specify resources.",
    ),
    "EMPTY_OBJECT_CONDITION": (
        "SUGGESTION",
        "This condition block is empty and it does not affect the policy. Specify conditions.",
    ),
    "EMPTY_OBJECT_PRINCIPAL": (
        "SUGGESTION",
        "This statement includes no principals and does not affect the policy. Specify principals.",
    ),
    "EMPTY_SID_VALUE": (
        "SUGGESTION",
        "Add a value to the empty string in the Sid element.",
    ),
    "IMPROVE_IP_RANGE": (
        "SUGGESTION",
        "The non-zero bits in the IP address after the masked bits are ignored. Replace address with {addr}.",
    ),
    "NULL_WITH_QUALIFIER": (
        "SUGGESTION",
        "Avoid using the Null condition operator with the ForAllValues or ForAnyValue qualifiers because they always return a true or false respectively.",
    ),
    "PRIVATE_IP_ADDRESS_SUBSET": (
        "SUGGESTION",
        "The values for condition key aws:SourceIp include a mix of private and public IP addresses. The private addresses will not have the desired effect. aws:SourceIp works only for public IP address ranges. To define permissions for private IP ranges, use aws:VpcSourceIp.",
    ),
    "PRIVATE_NOT_IP_ADDRESS_SUBSET": (
        "SUGGESTION",
        "The values for condition key aws:SourceIp include a mix of private and public IP addresses. The private addresses have no effect. aws:SourceIp works only for public IP address ranges. To define permissions for private IP ranges, use aws:VpcSourceIp.",
    ),
    "REDUNDANT_ACTION": (
        "SUGGESTION",
        "The {redundantActionCount} action(s) are redundant because they provide similar permissions. Update the policy to remove the redundant action such as: {redundantAction}.",
    ),
    "REDUNDANT_CONDITION_VALUE_NUM": (
        "SUGGESTION",
        "Multiple values in {operator} are redundant. Replace with the {which} single value for {key}.",
    ),
    "REDUNDANT_RESOURCE": (
        "SUGGESTION",
        "The {redundantResourceCount} resource ARN(s) are redundant because they reference the same resource. Review the use of wildcards (*)",
    ),
    "REDUNDANT_STATEMENT": (
        "SUGGESTION",
        "The statements are redundant because they provide identical permissions. Update the policy to remove the redundant statement.",
    ),
    "WILDCARD_IN_SERVICE_NAME": (
        "SUGGESTION",
        "Avoid using wildcards (*, ?) in the service name because it might grant unintended access to other AWS services with similar names.",
    ),
}
