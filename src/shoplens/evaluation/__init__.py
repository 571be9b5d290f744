"""Scoring: from which results are relevant to numbers, and how sure they are.

::

    formulas        one pure function for each metric
    metric_names    the strings that ask for them (`map@1000`)
    bootstrap       the mean over queries and its interval, by product
    scores          a ranking held against the ground truth
    comparison      whether two rankings differ: paired by query, clustered by product
    ties            which of many rankings a test can tell apart

Definitions with worked examples, and which library calls what by which name, are in
`docs/metrics.md`.
"""
