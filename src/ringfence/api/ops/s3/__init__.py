"""Amazon S3, as far as logs need it: buckets, their policies, objects, listings, uploads in parts."""

from ringfence.api.ops.s3 import buckets, configuration, copying, encryption, listing, objects, uploads

__all__ = ["buckets", "configuration", "copying", "encryption", "listing", "objects", "uploads"]
