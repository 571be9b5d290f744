"""Pages to look at, each one self-contained file.

::

    words            counts with their nouns
    thumbnails       photos made small
    figures          charts as SVG
    page             templates to text
    results          queries with their boxes and what was found
    study            a run with its results looked up
    curves           recall over rank, precision over recall
    strata           scores by category, box, blur, number of positives
    findings         confusions, doubtful labels
    run_report       all of it, before it is drawn
    strips           pictures beside a query
    matches          why queries match what was found
    run_galleries    which ones a run's page shows
    run_page         the page of a run
    run_comparison   several runs held against each other
    comparison_page  the page of that
    calibration_page the page of a calibration
"""

from shoplens.report.calibration_page import write_calibration_page
from shoplens.report.comparison_page import write_comparison_page
from shoplens.report.findings import SamePicture
from shoplens.report.results import Result, Shown, show_ranking, write_page
from shoplens.report.run_comparison import RunComparison, compare_runs
from shoplens.report.run_page import write_run_page
from shoplens.report.run_report import RunReport, report_run
from shoplens.report.study import read_categories

__all__ = [
    "Result",
    "RunComparison",
    "RunReport",
    "SamePicture",
    "Shown",
    "compare_runs",
    "read_categories",
    "report_run",
    "show_ranking",
    "write_calibration_page",
    "write_comparison_page",
    "write_page",
    "write_run_page",
]
