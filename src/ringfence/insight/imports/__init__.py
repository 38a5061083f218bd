"""Networks from outside: recorded `describe-*` output, Terraform plans and states, our own snapshots (docs/import.md).

Every source becomes records in the shape of EC2's API; one builder makes rows of them. What is not understood is reported by
name; what is missing makes answers unknown. Nothing is guessed.
"""
