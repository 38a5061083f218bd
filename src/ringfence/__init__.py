"""Ringfence: the security of Amazon VPC, self-hosted and provable."""

__version__ = "0.1.0"
