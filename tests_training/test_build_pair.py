"""How the built-in pair of networks is made (scripts/build_pair.py)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import build_pair
import product_views
from product_tables import N_PRODUCTS, write_tables
from product_views import Tables, hashed

from shoplens import load_encoder
from shoplens.models.ensemble import Ensemble


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product_views, "SCANS_KEPT_OUT", 4)
    monkeypatch.setattr(build_pair, "DIMENSION", 4)
    monkeypatch.setattr(build_pair, "NESTED", (1, 2))


def test_the_folder_holds_both_networks_and_a_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build_pair, "MOST", 3)
    tables, output = write_tables(tmp_path / "tables"), tmp_path / "pair"
    second = Path(build_pair.FOLDER.parent, "lite0-products-int8")
    arguments = ["build_pair", str(second), "--tables", str(tables.folder), "-o", str(output)]
    monkeypatch.setattr(sys, "argv", arguments)
    build_pair.main()
    made, shipped = (load_encoder(model) for model in (output, "lite0-lite2-products"))
    assert isinstance(made, Ensemble)
    assert isinstance(shipped, Ensemble)
    assert made.fingerprint in capsys.readouterr().out
    assert [recipe.input_size for recipe in made.recipes] == [448, 384]
    assert (made.dimension, made.nested) == (4, (1, 2))
    assert made.head is not None
    np.testing.assert_allclose(made.head.weight @ made.head.weight.T, np.eye(4), atol=2e-3)
    # The one that ships is of the same first network.
    assert made.members[0].encoder.fingerprint == shipped.members[0].encoder.fingerprint
    assert (made.name, made.version) == (shipped.name, shipped.version)


def test_the_head_is_fitted_to_no_product_that_is_kept_out(tmp_path: Path) -> None:
    tables: Tables = write_tables(tmp_path / "tables")
    rows = build_pair.training_photos(tables)
    kept_out = tables.scans_kept_out()
    assert len(kept_out) == 4
    assert not any(r.name.startswith("scan-renders") and r.product in kept_out for r in rows)
    groceries = {row.product for row in rows if row.source == "grocery"}
    assert groceries == {
        str(n) for n in range(N_PRODUCTS) if hashed(f"0/grocery/{n}") >= product_views.GROCERY_SHARE
    }
    assert len({row.name for row in rows}) == len(rows)
