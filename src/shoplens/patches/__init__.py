"""What matches in two photos, place by place: by the feature maps of lite0-products.

Read `patch_map` first (a photo as places with vectors), then `explanation` (which places of two
photos match). The re-ranking method `patches` compares the same maps.
"""

from __future__ import annotations

from shoplens.patches.explanation import Explanation, MatchedRegion, explain, explain_in

__all__ = ["Explanation", "MatchedRegion", "explain", "explain_in"]
