"""Vectors of photos, in memory and in files.

`embeddings` holds the vectors of a photo set and reads them from files. `writing` writes them row
by row. `part_folder` is a folder of vectors in parts, and `lance` a Lance dataset.
"""
