"""From a photo to boxes that may hold its product."""

from __future__ import annotations

from shoplens.boxes.candidates import ALIKE, GRID, Candidate, best_rectangles
from shoplens.boxes.foreground import foreground
from shoplens.boxes.network import load_network
from shoplens.boxes.proposals import BoxProposal, BoxProposals
from shoplens.embedding.sets import Picture, as_photo
from shoplens.errors import PhotoError, ShoplensError
from shoplens.models.views import Views
from shoplens.pixels.decoding import decoding
from shoplens.records import Box, Photo
from shoplens.sources import read_photo


def propose_boxes(photo: Picture, *, n: int = 5) -> BoxProposals:
    """Propose boxes around the product in a photo.

    The network of lite0-products looks at the whole photo once. Where its last feature map is
    strong, something stands out (selective convolutional descriptor aggregation, Wei et al. 2017);
    places that look alike are taken together. The boxes are the rectangles that hold most of these
    places and little else. This takes about as long as embedding a photo, whichever model embeds
    it.

    Args:
        photo: the path of a file, the bytes of one, or a picture opened by Pillow.
        n: how many boxes at most.

    Returns:
        Boxes in pixels of the upright photo, best first. There is always one: where nothing
        stands out, the middle of the photo. Any two differ clearly (intersection over union at
        most 0.6).

    Raises:
        PhotoError: the photo cannot be used.
        ShoplensError: `n` is less than 1.
    """
    return propose_boxes_of(as_photo(photo, "user"), n)


def propose_boxes_of(photo: Photo, n: int = 5) -> BoxProposals:
    """Propose boxes for a photo; one that it has already does not count. See `propose_boxes`."""
    network = load_network()
    target, side = network.target
    data = read_photo(photo)
    try:
        with decoding(data, target=target, target_side=side) as decoded:
            size, pixels = decoded.size, network.prepare(decoded)
    except PhotoError as error:
        raise PhotoError(error.reason, f"{photo.name}: {error}") from error
    return propose_in(pixels, size, n)


def propose_in(pixels: Views, size: tuple[int, int], n: int = 5) -> BoxProposals:
    """Propose boxes for a photo that was prepared by `Network.prepare`.

    Args:
        pixels: the prepared photo.
        size: width and height of the upright photo.
        n: how many boxes at most.

    Raises `ShoplensError` when `n` is less than 1.
    """
    if n < 1:
        raise ShoplensError(f"n must be at least 1, got {n}")
    maps = load_network().feature_maps(pixels, size)
    proposals: list[BoxProposal] = []
    for candidate in best_rectangles(foreground(maps, GRID), n):
        box = _in_pixels(candidate, size)
        # In a photo of few pixels, different rectangles may become the same box.
        if all(overlap(box, other.box) <= ALIKE for other in proposals):
            proposals.append(BoxProposal(box, candidate.score))
    return BoxProposals(*size, tuple(proposals))


def _in_pixels(candidate: Candidate, size: tuple[int, int]) -> Box:
    x0, x1 = _whole(candidate.x0, candidate.x1, size[0])
    y0, y1 = _whole(candidate.y0, candidate.y1, size[1])
    return Box(x0, y0, x1, y1)


def _whole(start: float, end: float, length: int) -> tuple[int, int]:
    """Return an interval in whole pixels, at least one."""
    first = min(round(start * length), length - 1)
    return first, max(round(end * length), first + 1)


def overlap(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    both = max(width, 0) * max(height, 0)
    return both / (a.width * a.height + b.width * b.height - both)
