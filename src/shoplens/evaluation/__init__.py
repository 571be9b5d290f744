"""Metrics, their intervals, and comparisons between rankings.

::

    formulas        one pure function per metric
    metric_names    the names of metrics (`map@1000`)
    bootstrap       means over queries, with intervals by product
    scores          a ranking scored against the ground truth
    comparison      tests whether two rankings differ, paired by query, clustered by product
    ties            tests which of many rankings differ

`docs/metrics.md` has the definitions with worked examples, and the names in other libraries.
"""
