"""Taking the pictures of one product after the other, in one process."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from catalogue import Archive, Product
from mesh import read_mesh
from obj import ModelError
from PIL import Image
from rasteriser import Rasteriser
from store import Note, Store
from views import frame, plan

LEAST = 0.002  # the share of a picture that a product must cover


class Studio:
    """A renderer, the archives open so far, and the folder the pictures go to.

    ``barred`` are shapes (``Mesh.geometry``) that must not be rendered.
    """

    def __init__(self, store: Store, folders: dict[str, Path], barred: Collection[str]) -> None:
        self.store, self.folders, self.barred = store, folders, set(barred)
        self.archives: dict[str, Archive] = {}
        self.rasteriser = Rasteriser(store.settings.size)

    def take(self, product: Product) -> Note:
        """Render a product's pictures and note how it ended; no product stops the run."""
        self.store.clear(product.id)
        try:
            note = self.render(product)
        except ModelError as error:
            note = Note(product.id, self.store.settings, reason=str(error))
        except Exception as error:
            note = Note(product.id, self.store.settings, reason=f"unexpected {error!r}")
        self.store.save_note(note)
        return note

    def render(self, product: Product) -> Note:
        """Render a product's pictures."""
        mesh = read_mesh(self.archive(product), product)
        settings = self.store.settings
        shape = (mesh.geometry, mesh.look)
        if mesh.geometry in self.barred:
            return Note(product.id, settings, *shape, reason="same shape as an excluded product")
        scene = self.rasteriser.load(mesh)
        try:
            for kind, number in settings.shots():
                view = plan(product, kind, number, settings.seed)
                picture = self.rasteriser.draw(scene, view, frame(view, mesh.points))
                if np.mean(picture[..., 3] > 127) < LEAST:
                    raise ModelError("next to nothing of the model shows in a picture")
                self.store.save_picture(product.id, kind, number, Image.fromarray(picture))
        finally:
            scene.release()
        return Note(product.id, settings, *shape)

    def archive(self, product: Product) -> Archive:
        """The archive a product is in, opened at its first use."""
        if product.archive not in self.archives:
            self.archives[product.archive] = Archive(self.folders[product.archive])
        return self.archives[product.archive]
