"""The calibration that the settings name, as long as it fits the catalogue."""

from __future__ import annotations

from shoplens.catalog.base import Catalog
from shoplens.confidence import Calibration
from shoplens.server.settings import ServerSettings


def load_calibration(settings: ServerSettings, catalog: Catalog) -> Calibration | None:
    """Load the calibration that the settings name; None where they name none.

    Raises:
        MissingError: the file is not there.
        ModelError: it is no calibration, or not for the catalogue's scores.
    """
    if settings.confidence is None:
        return None
    calibration = Calibration.load(settings.confidence)
    if (model := catalog.model) is not None:
        calibration.require_fit(model.fingerprint, model.name, catalog.regions)
    return calibration


def fitting(calibration: Calibration | None, catalog: Catalog) -> Calibration | None:
    """Return a calibration unless the catalogue was migrated to another model meanwhile."""
    model = catalog.model
    if calibration is None or model is None:
        return calibration
    return calibration if calibration.fits(model.fingerprint, catalog.regions) else None
