"""Flow logs (Amazon EC2 API Reference: `FlowLog`; Amazon VPC User Guide: "Logging IP traffic using VPC Flow Logs")."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.model.row import Row

CLOUD_WATCH, S3, FIREHOSE = "cloud-watch-logs", "s3", "kinesis-data-firehose"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLog(Row):
    """A flow log. It never changes but for its tags (FL-12).

    `fields`: names of the record's fields, in order. `destination`: the ARN as given, of a bucket (with a folder) or a log
    group; `log_group`: the group's name when the request named it so. `tag_fields`: resource type -> tag keys.
    """

    resource_id: str
    resource_type: str  # VPC | Subnet | NetworkInterface
    traffic_type: str  # ACCEPT | REJECT | ALL
    destination_type: str
    fields: tuple[str, ...]
    created: float  # seconds since 1970, UTC
    destination: str | None = None
    log_group: str | None = None
    interval: int = 600  # the longest aggregation interval, in seconds
    file_format: str = "plain-text"  # plain-text | parquet
    hive: bool = False
    per_hour: bool = False
    role: str | None = None
    cross_account_role: str | None = None
    tag_fields: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def group_name(self) -> str:
        """The name of the log group of a CloudWatch Logs destination."""
        return self.log_group or (self.destination or "").removesuffix(":*").rpartition(":log-group:")[2]

    @property
    def log_group_arn(self) -> str:
        """That group in the flow log's own account and Region: delivery across accounts is not served."""
        return f"arn:aws:logs:{self.region}:{self.owner_id}:log-group:{self.group_name}"

    @property
    def bucket(self) -> str:
        """The name of the bucket of an S3 destination."""
        return (self.destination or "").rpartition(":")[2].partition("/")[0]

    @property
    def folder(self) -> str:
        """The folder in the bucket, without slashes around it; empty when there is none."""
        return (self.destination or "").rpartition(":")[2].partition("/")[2].strip("/")
