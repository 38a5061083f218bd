"""Findings about a policy's text (Access Analyzer, ValidatePolicy; IAM User Guide: "IAM policy validation check reference").

`positions` reads JSON and remembers where everything stands; `rules` looks at it; `findings` has what each is called.
"""
