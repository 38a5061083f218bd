"""Is what the kernel holds what the model says? Read back, compare, prove, repair: docs/verify.md, docs/adr/0011."""
