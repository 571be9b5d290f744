"""From a photo's bytes to the square of pixels that a model is shown.

`decoding` turns bytes into upright RGB, `borders` finds what is inside a plain border, `crops` cuts
the box out as a square, and `resampling` is the one resize that all of it goes through.
"""
