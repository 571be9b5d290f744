"""Answer arrays of a challenge.

`answer` reads an array and checks it against the rules of the challenge, `numbering` tells ids from
row positions, and `ranking_files` reads saved rankings and answers for scoring.
"""
