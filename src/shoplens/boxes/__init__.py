"""Boxes that are proposed: where in a photo the product may be.

The network that embeds photos also tells where in a photo something is: there, its last feature
map is strong. Read in the order in which a photo goes through them::

    network          pixels → two feature maps
    foreground       feature maps → how likely each place of the photo belongs to the product
    candidates       places → the rectangles that hold most of them and little else
    proposals        BoxProposal, BoxProposals
    proposing        a photo → BoxProposals
    queries          a shopper's photo, whose box may be `auto`
"""

from __future__ import annotations

from shoplens.boxes.proposals import BoxProposal, BoxProposals
from shoplens.boxes.proposing import propose_boxes

__all__ = ["BoxProposal", "BoxProposals", "propose_boxes"]
