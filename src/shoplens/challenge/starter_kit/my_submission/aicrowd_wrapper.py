"""Between the challenge and your ranker. Leave it as it is: yours to change is the ranker."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from my_submission.user_config import My_Ranker


class AIcrowdWrapper:
    """Builds `My_Ranker` for a dataset and asks it for its answer."""

    def __init__(self, dataset_dir: str = "./public_dataset") -> None:
        """Take the dataset's folder; the variable `AICROWD_DATASET_DIR` wins over it."""
        self.dataset_dir = Path(os.environ.get("AICROWD_DATASET_DIR", dataset_dir))

    def predict_product_ranks(self) -> npt.NDArray[np.int32]:
        """Return the answer: a row of `seller_img_id`s for every query, best first."""
        ranker = My_Ranker(
            str(self.dataset_dir),
            str(self.dataset_dir / "gallery.csv"),
            str(self.dataset_dir / "queries.csv"),
        )
        answer: npt.NDArray[np.int32] = ranker.predict_product_ranks()
        return answer
