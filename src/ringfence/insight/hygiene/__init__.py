"""What is stored that had better not be: free text with secrets in it; rules that do nothing, or what others do already."""
