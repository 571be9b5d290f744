"""The calibration that the settings name, as long as it fits the catalogue."""

from __future__ import annotations

from shoplens.catalog.base import Catalog
from shoplens.confidence import Calibration
from shoplens.reranking import Chain
from shoplens.server.chains import own_chain
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
        chain = own_chain(settings.chain, catalog)
        calibration.require_fit(model.fingerprint, model.name, catalog.regions, chain=chain.names)
    return calibration


def fitting(calibration: Calibration | None, catalog: Catalog, chain: Chain) -> Calibration | None:
    """Return a calibration if it is for the scores of a search.

    It is not if the catalogue was migrated to another model or keeps another chain since, or if
    the search names a chain of its own.
    """
    if calibration is None:
        return None
    model = catalog.model
    fingerprint = None if model is None else model.fingerprint
    regions = calibration.regions if model is None else catalog.regions
    return calibration if calibration.fits(fingerprint, regions, chain=chain.names) else None
