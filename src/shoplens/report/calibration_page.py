"""The page of a calibration: how far its confidences can be trusted."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from shoplens._version import __version__
from shoplens.confidence import Calibration
from shoplens.confidence.measuring import N_BINS, Measured
from shoplens.files import write_text
from shoplens.report.figures import Axis, Point, Series, histogram, line_chart
from shoplens.report.page import render
from shoplens.report.run_page import Figure
from shoplens.report.strips import Album


def write_calibration_page(path: str | Path, calibration: Calibration) -> None:
    """Write the page of a calibration. It is self-contained, without a script.

    Args:
        path: the HTML file.
        calibration: what `shoplens.calibrate` returned, or a file of it.

    Raises:
        MissingError: the page's folder is not there.
        ShoplensError: the page cannot be written.
    """
    measured = calibration.measured
    text = render(
        "calibration.html.j2",
        title=f"Calibration of {calibration.model_name or 'vectors of an unknown model'}",
        facts=[
            ("calibration error (ECE)", f"{measured.calibration_error:.3f}"),
            ("first product right", f"{measured.right:.3f}"),
            ("false accepts", f"{measured.false_accepts:.3f}"),
            ("true matches kept", f"{measured.true_matches_kept:.3f}"),
            ("queries", f"{measured.n_queries:,}"),
            ("products", f"{measured.n_products:,}"),
            ("gallery photos", f"{measured.n_gallery:,}"),
        ],
        details=_details(calibration),
        figures=[
            Figure(
                "Reliability",
                "Of the searches whose first product has about this confidence, the share that is "
                "right. On the dashed line, confidences are what they say.",
                reliability_diagram(measured),
            ),
            Figure(
                "How confidences are spread",
                "Searches by the confidence of their first product.",
                _spread(measured),
            ),
        ],
        categories=measured.categories,
        album=Album.of([]),
        version=__version__,
    )
    write_text(path, text)


def reliability_diagram(measured: Measured) -> Markup:
    """Draw the share of right products over confidence, as SVG."""
    return line_chart(
        "Reliability",
        [
            Series(
                "measured",
                [Point(one.confidence, one.right, note=f"{one.n:,}") for one in measured.bins],
            ),
            Series("ideal", [Point(0, 0), Point(1, 1)]),
        ],
        Axis("confidence of the first product; beside points, searches", 0, 1),
        Axis("share right", 0, 1),
    )


def _spread(measured: Measured) -> Markup:
    counts = {round(one.low * N_BINS): one.n for one in measured.bins}
    return histogram(
        "Searches by confidence",
        [number / N_BINS for number in range(N_BINS + 1)],
        [counts.get(number, 0) for number in range(N_BINS)],
        Axis("confidence of the first product", 0, 1),
        "searches",
    )


def _details(calibration: Calibration) -> list[tuple[str, str]]:
    categories = ", ".join(sorted(calibration.estimator.categories))
    return [
        ("fingerprint", calibration.fingerprint or "not known"),
        ("curve", "isotonic" if calibration.estimator.steps else "logistic"),
        ("no match below", f"{calibration.no_match_below:.3f}"),
        ("false accepts allowed", f"{calibration.false_accepts:g}"),
        ("regions of each photo", str(calibration.regions)),
        ("views of each query", str(calibration.query_views)),
        ("re-ranked by", "+".join(calibration.chain) or "nothing"),
        ("assumed absent", f"{calibration.absent:g}"),
        ("temperature of the product score logsum", f"{calibration.temperature:g}"),
        ("categories with a line of their own", categories or "none"),
    ]
