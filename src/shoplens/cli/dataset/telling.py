"""What there is to say about a test set that was made."""

from __future__ import annotations

from collections import Counter

from shoplens.curation.making import Made
from shoplens.report.counts import counted


def told(made: Made, user_only: str = "left out") -> list[str]:
    """Return in sentences what was left out, and what is special.

    Args:
        made: the test set.
        user_only: what became of user photos of products without a seller photo.
    """
    sentences = []
    if made.n_distractor_products:
        sentences.append(
            f"{counted(made.n_distractor_products, 'product')} without a user photo; their seller "
            "photos are distractors"
        )
    if made.n_user_only_products:
        sentences.append(
            f"{counted(made.n_user_only_products, 'product')} without a seller photo: "
            f"{counted(made.n_user_only_photos, 'user photo')} {user_only}"
        )
    if made.n_over_limit:
        sentences.append(f"{counted(made.n_over_limit, 'user photo')} over the limit of a product")
    if made.n_whole:
        whole = counted(made.n_whole, "query")
        sentences.append(f"{whole} without a box, searched with the whole photo")
    if made.n_repeated:
        sentences.append(f"{counted(made.n_repeated, 'row')} left out that repeat another row")
    if made.strays:
        sentences.append(
            f"{counted(len(made.strays), 'image')} of no product left out, such as {made.strays[0]}"
        )
    if made.failures:
        reasons = Counter(failure.reason for failure in made.failures).most_common()
        by_reason = ", ".join(f"{count:,} {reason}" for reason, count in reasons)
        first = made.failures[0]
        place = "" if first.row is None else f" (row {first.row})"
        sentences.append(
            f"{counted(len(made.failures), 'photo')} left out that cannot be used ({by_reason}), "
            f"such as {first.name}{place}: {first.detail}"
        )
    return sentences
