"""The guide's 16 predefined queries (Amazon VPC User Guide: "Query flow logs using Amazon Athena"; FL-58, MON-24).

Plain SQL that Athena, Trino, Spark and DuckDB read alike. `{table}`: the table of records, columns as Parquet files name them;
`{where}`: a condition on partitions and times; `{address}`: of those two that ask about one address.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.insight.flowlogs.fields import DEFAULT, FIELDS

#: ports of administration: FTP, SSH, Telnet, SMTP, RPC, NetBIOS, SMB, databases, RDP, VNC, WinRM
ADMIN_PORTS = (20, 21, 22, 23, 25, 111, 135, 137, 139, 445, 1433, 1521, 3306, 3389, 5432, 5900, 5985, 5986)


@dataclass(frozen=True, slots=True)
class Query:
    """One predefined query. `fields`: what a flow log's format must have for it."""

    name: str
    description: str
    sql: str
    fields: tuple[str, ...] = ()

    @property
    def needs_address(self) -> bool:
        return "{address}" in self.sql

    def fits(self, names: tuple[str, ...]) -> bool:
        """Does a flow log of these fields have what it takes?"""
        return set(self.fields) <= set(names)

    def text(self, table: str, where: str = "1 = 1", address: str = "") -> str:
        """Ready to run. ValueError without an address where one is needed."""
        if self.needs_address and not address:
            raise ValueError(f"{self.name} needs an address")
        return self.sql.format(table=table, where=where, address=address.replace("'", "''"))


def _listing(where: str) -> str:
    return f"SELECT * FROM {{table}} WHERE {{where}} AND {where}"


def _most(keys: str, where: str = "bytes IS NOT NULL", limit: int = 50, of: str = "bytes") -> str:
    return (
        f"SELECT {keys}, SUM({of}) AS total{of} FROM {{table}} WHERE {{where}} AND {where} "
        f"GROUP BY {keys} ORDER BY total{of} DESC LIMIT {limit}"
    )


_PORTS = ", ".join(str(port) for port in ADMIN_PORTS)
_TRAFFIC = ("srcaddr", "dstaddr", "bytes")
QUERIES: tuple[Query, ...] = (
    Query("VpcFlowLogsAcceptedTraffic", "TCP connections that security groups and network ACLs allowed",
          _listing("protocol = 6 AND action = 'ACCEPT'"), ("protocol", "action")),
    Query("VpcFlowLogsAdminPortTraffic", "The 10 addresses with the most traffic to administrative ports",
          _most("dstaddr", f"dstport IN ({_PORTS})", 10), ("dstaddr", "dstport", "bytes")),
    Query("VpcFlowLogsIPv4Traffic", "Total bytes of IPv4 traffic",
          "SELECT SUM(bytes) AS totalbytes FROM {table} WHERE {where} AND type = 'IPv4'", ("bytes", "type")),
    Query("VpcFlowLogsIPv6Traffic", "Total bytes of IPv6 traffic",
          "SELECT SUM(bytes) AS totalbytes FROM {table} WHERE {where} AND type = 'IPv6'", ("bytes", "type")),
    Query("VpcFlowLogsRejectedTCPTraffic", "TCP connections that security groups or network ACLs rejected",
          _listing("protocol = 6 AND action = 'REJECT'"), ("protocol", "action")),
    Query("VpcFlowLogsRejectedTraffic", "Traffic that security groups or network ACLs rejected",
          _listing("action = 'REJECT'"), ("action",)),
    Query("VpcFlowLogsSshRdpTraffic", "SSH and RDP traffic", _listing("protocol = 6 AND dstport IN (22, 3389)"),
          ("protocol", "dstport")),
    Query("VpcFlowLogsTopTalkers", "The 50 addresses with the most traffic", _most("srcaddr"), ("srcaddr", "bytes")),
    Query("VpcFlowLogsTopTalkersPacketLevel", "The 50 packet-level addresses with the most traffic",
          _most("pkt_srcaddr"), ("pkt-srcaddr", "bytes")),
    Query("VpcFlowLogsTopTalkingInstances", "The 50 instances with the most traffic",
          _most("instance_id", "instance_id <> '-'"), ("instance-id", "bytes")),
    Query("VpcFlowLogsTopTalkingSubnets", "The 50 subnets with the most traffic",
          _most("subnet_id", "subnet_id <> '-'"), ("subnet-id", "bytes")),
    Query("VpcFlowLogsTopTCPTraffic", "All TCP traffic, by source address",
          _most("srcaddr", "protocol = 6"), ("srcaddr", "protocol", "bytes")),
    Query("VpcFlowLogsTotalBytesTransferred", "The 50 pairs of addresses with the most bytes",
          _most("srcaddr, dstaddr"), _TRAFFIC),
    Query("VpcFlowLogsTotalBytesTransferredPacketLevel", "The 50 packet-level pairs of addresses with the most bytes",
          _most("pkt_srcaddr, pkt_dstaddr"), ("pkt-srcaddr", "pkt-dstaddr", "bytes")),
    Query("VpcFlowLogsTrafficFrmSrcAddr", "Traffic from one address", _listing("srcaddr = '{address}'"), ("srcaddr",)),
    Query("VpcFlowLogsTrafficToDstAddr", "Traffic to one address", _listing("dstaddr = '{address}'"), ("dstaddr",)),
)  # fmt: skip
BY_NAME = {query.name: query for query in QUERIES}


def fields_used() -> tuple[str, ...]:
    """A format that all of them can be asked of: the default one, and what some ask besides."""
    return tuple(dict.fromkeys((*DEFAULT, *(name for query in QUERIES for name in query.fields if name in FIELDS))))
