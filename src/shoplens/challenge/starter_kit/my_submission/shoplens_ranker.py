"""A ranker built on shoplens. The places to begin with are marked CHANGE."""

from shoplens import Embeddings, PhotoSet, Ranking, embed, rank
from shoplens.challenge.ranker import ShoplensRanker, StderrProgress


class MyShoplensRanker(ShoplensRanker):
    """Embeds all photos with one model, and puts those first that are most alike."""

    # CHANGE 1: the model. A name that `shoplens models` lists, or a folder in this submission with
    # model.onnx and recipe.json, as `shoplens export` writes it: model = "models/mine". Where time
    # allows, "lite0-lite2-products" scores higher and takes nearly twice as long.
    model = "lite0-products"

    def embed(self, photos: PhotoSet) -> Embeddings:
        """Turn photos into vectors: called for the gallery, then for the queries."""
        # CHANGE 2: the vectors. `.vectors` of the result is (n, d) float32 with rows of unit
        # length, a row for each photo; queries are already cut to their boxes.
        return embed(photos, self.encoder, cache=False, progress=StderrProgress())

    def rank(self, queries: Embeddings, gallery: Embeddings) -> Ranking:
        """Compare every query with the whole gallery."""
        # CHANGE 3: the order. `.ids` of the result is (n_queries, 1000) int32. Whatever makes it
        # better goes here: query expansion, re-ranking, a second model for the first hundred.
        return rank(queries, gallery, progress=StderrProgress())
