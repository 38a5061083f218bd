"""What policies allow as a set of requests: is one included in another, and if not, which request shows it?

A request is a point with one coordinate for the action, one for each of the six fields of an ARN, one for the principal
and one for each condition key. Of each coordinate only finitely many values behave differently under given policies;
`candidates` finds one of each, so a statement is a box of bit masks (`space`), and a search for a point in one box and
outside others (`search`) decides exactly. What cannot be put so (a policy variable, a key compared in two ways) is a
coordinate of its own that may be true or false: an inclusion shown is then still true, a witness may not be.

Follows "Custom policy checks" of the IAM User Guide (Access Analyzer). `checks` has the three questions of its API.
"""
