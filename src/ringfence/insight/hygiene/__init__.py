"""What is stored that had better not be."""
