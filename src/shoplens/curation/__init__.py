"""Tools for who makes test sets: build one, look at it, find leaks, give it away without labels.

::

    reading          the photos of any source
    tagged           a folder tree or a CSV of photos tagged user or seller
    layout           what a test set folder looks like
    folders          writing a folder whole or not at all
    making           tagged photos → a test set folder
    sketches         a photo → thumbnails and hashes that survive re-encoding
    hamming          which hashes differ in few bits
    alignment        how far two thumbnails differ, one laid on the other
    duplicates       photos that show the same picture
    measuring        a photo → its size, light, sharpness
    statistics       a dataset in numbers
    leaks            what a training set and a test set share
    pages            pages of statistics and leaks
    metadata         a photo's file without what it tells beside the picture
    anonymous        a test set without labels, and the key to it
"""
