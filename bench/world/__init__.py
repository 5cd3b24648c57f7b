"""A day of mail through three ESPs that drift and fail, to compare ways of choosing among them.

Kept apart from the policies that it judges: it knows the true probabilities, they never do.
"""
