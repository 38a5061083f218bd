"""Instances, images and key pairs (Amazon EC2 User Guide)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ringfence.model.row import Row


class InstanceState(enum.IntEnum):
    """EC2 instance state codes."""

    PENDING = 0
    RUNNING = 16
    SHUTTING_DOWN = 32
    TERMINATED = 48
    STOPPING = 64
    STOPPED = 80

    @property
    def label(self) -> str:
        return self.name.lower().replace("_", "-")


#: the Region of an image that stands in every Region
EVERYWHERE = "*"

#: states in which an instance has a machine that sends and receives
RUNNABLE = frozenset({InstanceState.PENDING, InstanceState.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataOptions:
    """Instance metadata options (UF-11)."""

    http_tokens: str = "required"  # optional | required
    http_endpoint: str = "enabled"  # enabled | disabled
    hop_limit: int = 2
    http_protocol_ipv6: str = "disabled"
    instance_metadata_tags: str = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataDefaults:
    """What an account wants of new instances in a Region; None = no preference."""

    http_tokens: str | None = None
    http_endpoint: str | None = None
    hop_limit: int | None = None
    instance_metadata_tags: str | None = None


NO_PREFERENCE = MetadataDefaults()


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance(Row):
    """An instance. Its interfaces point at it (index `instance` of NETWORK_INTERFACE)."""

    reservation_id: str
    image_id: str
    instance_type: str
    state: InstanceState
    launch_time: str  # ISO 8601, UTC
    vpc_id: str
    subnet_id: str
    availability_zone: str
    launch_index: int = 0
    key_name: str | None = None
    user_data: str | None = None  # base64, as given
    metadata_options: MetadataOptions = MetadataOptions()
    state_reason: tuple[str, str] | None = None  # (code, message)
    state_transition_reason: str = ""
    terminated: str | None = None  # ISO 8601, UTC: when it was terminated
    disable_api_termination: bool = False
    disable_api_stop: bool = False
    shutdown_behavior: str = "stop"
    ebs_optimized: bool = False
    monitoring: bool = False
    tenancy: str = "default"
    client_token: str | None = None
    iam_instance_profile: str | None = None  # ARN
    iam_instance_profile_id: str | None = None
    iam_association_id: str | None = None  # iip-assoc-…
    iam_association_time: str | None = None  # ISO 8601, UTC
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    private_dns_hostname_type: str = "ip-name"
    #: a counter the data plane watches: one more = one reboot
    boots: int = 1
    #: less common attributes, by API name, as given
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(Row):
    """An image. `root` is how the data plane finds its file system: `builtin`, or a directory.

    `location`: as registered. An OCI layout is pending until it is unpacked; until then `root` is the layout.
    `region` EVERYWHERE: a sample, shown in each Region under the same id.
    """

    name: str
    description: str
    root: str
    architecture: str = "x86_64"
    public: bool = False
    creation_date: str = "2026-01-01T00:00:00.000Z"
    state: str = "available"  # pending | available | failed
    state_reason: tuple[str, str] | None = None  # (code, message)
    location: str = ""
    root_device_name: str = "/dev/xvda"
    platform_details: str = "Linux/UNIX"
    owner_alias: str | None = None
    virtualization_type: str = "hvm"
    imds_support: str | None = None  # "v2.0": instances of the image start with IMDSv2 alone
    platform: str | None = None  # "windows", or None for Linux


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair(Row):
    """A key pair; id = `key-...`. Only the public half is kept."""

    name: str
    key_type: str  # rsa | ed25519
    fingerprint: str
    public_key: str
    created: str  # ISO 8601, UTC
