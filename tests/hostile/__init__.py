"""Submissions that are broken or hostile, and how each has to end.

`submissions` is the table; `folders` writes one of them as a folder. A body that finds a way out
prints ESCAPED.
"""
