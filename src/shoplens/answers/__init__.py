"""Answer arrays of a challenge: read, checked, and their numbers understood.

`answer` checks an array against the rules of the challenge, `numbering` tells ids from row
positions.
"""
