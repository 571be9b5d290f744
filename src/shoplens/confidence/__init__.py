"""Confidence: how likely a product that was found is the query's, and whether any is.

Read in the order in which a search goes through them, first when a calibration is used::

    evidence         a row of photos → the numbers that speak for each product
    estimator        numbers → a probability
    calibration      Calibration: the estimator of a model, the threshold of `no_match`, its file

then when it is made::

    searched         labelled photos and what was found for them
    samples          labelled searches, with the query's product in the gallery and without
    logistic         weights of numbers
    isotonic         the nearest rising steps
    fitting          samples → an estimator; what it says of products kept apart
    measuring        reliability, ECE, false accepts
    calibrating      labelled photos → Calibration
"""

from __future__ import annotations

from shoplens.confidence.calibrating import calibrate
from shoplens.confidence.calibration import Calibration, Judgement

__all__ = ["Calibration", "Judgement", "calibrate"]
