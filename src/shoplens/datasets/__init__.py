"""Galleries and queries: what is there, and is it usable?

`dataset` reads test sets and galleries. `galleries` finds the photos of any kind of source.
`tables` turns the rows of a table into records, `tagged_table` those of a table of users' and
sellers' photos, and `format` has the names of tables and columns. `layouts` reads datasets that
others published. `checking` lists every fault of a dataset at once.
"""
