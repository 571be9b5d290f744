"""Embedding on many machines (extra `[ray]`).

::

    partitions       the list of photos in pieces, each computed completely or not at all
    packing          a model as a value that can be sent to machines without its files
    on_ray           the pieces spread over a Ray cluster

The output and its order do not depend on the machines. The part of a partition (see
`shoplens.vectors.part_folder`) is named by its position, and made by the same code as on one
machine.
"""
