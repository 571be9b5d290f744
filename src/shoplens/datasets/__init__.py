"""Galleries and queries: what is there, and is it sound?

`dataset` reads test sets, tables, archives and folders of images, `tables` turns the rows of a
table into records, `checking` looks a dataset through and names every fault at once.
"""
