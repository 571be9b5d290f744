"""Vectors of photos, in memory and in files.

`embeddings` holds the vectors of a photo set and reads them from files, `writing` writes them a row
at a time, `parts` is a folder of them in parts, `lance` a Lance dataset.
"""
