"""Embedding on many machines (extra `[ray]`).

::

    partitions       the list of photos cut into pieces, each computed whole or not at all
    packing          a model as a value that travels to machines that do not have its files
    on_ray           the pieces spread over a Ray cluster

What is computed, and in what order it stands, does not depend on the machines: a partition's part
of the output (see `shoplens.vectors.parts`) is named by its place and made by the same code as on
one machine.
"""
