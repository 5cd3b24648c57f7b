"""What the ESPs have shown so far, and what follows from it: pure policies.

Time, seed and state are arguments, new state is the answer; no clock, no database, no ESP by name.
docs/routing.md explains them in plain words.
"""
