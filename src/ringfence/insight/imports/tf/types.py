"""Resource types of the AWS provider: what is understood, and what is known not to be."""

from __future__ import annotations

#: resource types that are understood, with the prefix of ids made for what is yet to be made
PREFIXES: dict[str, str] = {
    "aws_vpc": "vpc-", "aws_default_vpc": "vpc-", "aws_vpc_ipv4_cidr_block_association": "vpc-cidr-assoc-",
    "aws_vpc_ipv6_cidr_block_association": "vpc-cidr-assoc-", "aws_subnet": "subnet-", "aws_default_subnet": "subnet-",
    "aws_security_group": "sg-", "aws_default_security_group": "sg-", "aws_security_group_rule": "sgrule-",
    "aws_vpc_security_group_ingress_rule": "sgr-", "aws_vpc_security_group_egress_rule": "sgr-",
    "aws_vpc_security_group_vpc_association": "x-", "aws_network_acl": "acl-", "aws_default_network_acl": "acl-",
    "aws_network_acl_rule": "nacl-", "aws_network_acl_association": "aclassoc-", "aws_route_table": "rtb-",
    "aws_default_route_table": "rtb-", "aws_route": "r-", "aws_route_table_association": "rtbassoc-",
    "aws_main_route_table_association": "rtbassoc-", "aws_internet_gateway": "igw-", "aws_internet_gateway_attachment": "x-",
    "aws_eip": "eipalloc-", "aws_eip_association": "eipassoc-", "aws_network_interface": "eni-",
    "aws_network_interface_attachment": "eni-attach-", "aws_network_interface_sg_attachment": "x-", "aws_instance": "i-",
    "aws_ec2_managed_prefix_list": "pl-", "aws_ec2_managed_prefix_list_entry": "x-",
    "aws_vpc_endpoint_route_table_association": "x-", "aws_vpc_endpoint_policy": "x-",
    "aws_nat_gateway": "nat-", "aws_egress_only_internet_gateway": "eigw-", "aws_vpc_peering_connection": "pcx-",
    "aws_vpc_peering_connection_accepter": "x-", "aws_vpc_peering_connection_options": "x-",
    "aws_ec2_transit_gateway": "tgw-", "aws_vpc_endpoint": "vpce-", "aws_vpn_gateway": "vgw-", "aws_carrier_gateway": "cagw-",
}  # fmt: skip
#: types that move packets, or let them, and are not modelled
NOT_MODELLED = frozenset((
    "aws_nat_gateway", "aws_egress_only_internet_gateway",
    "aws_ec2_transit_gateway", "aws_ec2_transit_gateway_vpc_attachment", "aws_ec2_transit_gateway_route",
    "aws_ec2_transit_gateway_route_table", "aws_vpn_gateway", "aws_vpn_connection", "aws_vpn_gateway_attachment",
    "aws_customer_gateway", "aws_dx_gateway", "aws_carrier_gateway", "aws_networkfirewall_firewall", "aws_lb", "aws_alb", "aws_elb",
    "aws_db_instance", "aws_rds_cluster", "aws_rds_cluster_instance", "aws_elasticache_cluster",
    "aws_elasticache_replication_group", "aws_redshift_cluster", "aws_lambda_function", "aws_ecs_service", "aws_eks_cluster",
    "aws_eks_node_group", "aws_autoscaling_group", "aws_spot_instance_request", "aws_spot_fleet_request", "aws_efs_mount_target",
    "aws_vpc_block_public_access_options", "aws_vpc_block_public_access_exclusion", "aws_globalaccelerator_accelerator",
    "aws_vpn_gateway_route_propagation", "aws_fsx_lustre_file_system", "aws_mq_broker", "aws_msk_cluster", "aws_opensearch_domain",
    "aws_docdb_cluster_instance", "aws_neptune_cluster_instance", "aws_emr_cluster", "aws_directory_service_directory",
    "aws_ec2_client_vpn_endpoint", "aws_batch_compute_environment", "aws_sagemaker_notebook_instance", "aws_dms_replication_instance",
))  # fmt: skip
GROUPS = ("aws_security_group", "aws_default_security_group")

#: beginnings of types that neither move packets nor let them
NO_BEARING = (
    "aws_acm", "aws_ami", "aws_api_gateway", "aws_appautoscaling", "aws_athena", "aws_backup", "aws_budgets", "aws_cloudformation",
    "aws_cloudfront", "aws_cloudtrail", "aws_cloudwatch", "aws_codebuild", "aws_codecommit", "aws_codedeploy", "aws_codepipeline",
    "aws_cognito", "aws_config", "aws_db_option_group", "aws_db_parameter_group", "aws_db_snapshot", "aws_db_subnet_group",
    "aws_dlm", "aws_dynamodb", "aws_ebs", "aws_ecr", "aws_ecs_capacity_provider", "aws_ecs_cluster", "aws_ecs_task_definition",
    "aws_efs_access_point", "aws_efs_backup_policy", "aws_efs_file_system", "aws_eks_addon", "aws_elasticache_parameter_group",
    "aws_elasticache_subnet_group", "aws_flow_log", "aws_glue", "aws_guardduty", "aws_iam", "aws_inspector", "aws_key_pair",
    "aws_kinesis", "aws_kms", "aws_lambda_alias", "aws_lambda_event_source_mapping", "aws_lambda_layer", "aws_lambda_permission",
    "aws_launch_configuration", "aws_launch_template", "aws_lb_listener", "aws_lb_target_group", "aws_macie", "aws_organizations",
    "aws_placement_group", "aws_ram", "aws_rds_cluster_parameter_group", "aws_resourcegroups", "aws_route53", "aws_s3",
    "aws_secretsmanager", "aws_securityhub", "aws_service_discovery", "aws_ses", "aws_sfn", "aws_sns", "aws_sqs", "aws_ssm",
    "aws_default_vpc_dhcp_options",
    "aws_vpc_dhcp_options", "aws_volume_attachment", "aws_wafv2", "aws_xray", "archive_", "cloudinit_", "external", "http",
    "local_", "null_", "random_", "template_", "terraform_data", "time_", "tls_",
)  # fmt: skip
