"""A shop of pictures of 4 x 4 coloured cells, for tests that fit a model to a shop.

The toy model of `conftest` sees exactly the 16 colours. The product is in the four cells in the
middle; the twelve around it differ from photo to photo, and by more.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

MIDDLE = np.array([5, 6, 9, 10])


def grid(product: int, photo: int, *, around: int = 100, side: int = 64) -> Image.Image:
    """Return a photo of a product: `around` is the spread of the cells beside it, in levels."""
    colours = np.full((16, 3), 128.0)
    colours[MIDDLE] += np.random.default_rng(product).uniform(-40, 40, (4, 3))
    rng = np.random.default_rng((product, photo))
    others = np.setdiff1d(np.arange(16), MIDDLE)
    colours[others] += rng.uniform(-around, around, (12, 3))
    colours += rng.uniform(-3, 3, (16, 3))
    cells = colours.clip(0, 255).astype(np.uint8).reshape(4, 4, 3)
    return Image.fromarray(cells.repeat(side // 4, axis=0).repeat(side // 4, axis=1))


def make_grids(folder: Path, n_products: int = 30, *, around: int = 100, first: int = 0) -> Path:
    """Write a test set folder: of each product two sellers' and two users' photos.

    Products are numbered from `first` on, and different numbers are different products.
    """
    for side in ("gallery", "queries"):
        (folder / side).mkdir(parents=True)
    gallery = ["seller_img_id,img_path,product_id"]
    queries = ["user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h,product_id"]
    for product in range(first, first + n_products):
        for photo in range(4):
            number, side = 2 * product + photo % 2, ("gallery", "queries")[photo // 2]
            grid(product, photo, around=around).save(folder / side / f"{number}.png")
            if side == "gallery":
                gallery.append(f"{number},gallery/{number}.png,p{product}")
            else:
                queries.append(f"{number},queries/{number}.png,0,0,64,64,p{product}")
    (folder / "gallery.csv").write_text("\n".join(gallery) + "\n")
    (folder / "queries.csv").write_text("\n".join(queries) + "\n")
    return folder
