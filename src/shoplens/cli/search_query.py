"""What `shoplens search` searches for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from shoplens.boxes.queries import AUTO, boxed_photo
from shoplens.cli.console import message
from shoplens.datasets.dataset import read_queries
from shoplens.errors import MissingError, PhotoError
from shoplens.records import BoxFrame, Photo, PhotoSet


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for."""

    photos: tuple[Path, ...]
    box_text: str | None
    table: str | None
    photo_id: str | None
    views: int
    box_frame: BoxFrame
    columns: dict[str, str]
    remote: bool

    @property
    def is_single(self) -> bool:
        """Whether there is one result, whose JSON stands by itself."""
        return self.table is None and len(self.photos) < 2

    def read(self) -> PhotoSet:
        """Return the photos that are searched for."""
        if self.table is None:
            return PhotoSet(self._photo(n, photo) for n, photo in enumerate(self.photos))
        return read_queries(
            self.table, columns=self.columns, box_frame=self.box_frame, remote=self.remote
        )

    def _photo(self, number: int, photo: Path) -> Photo:
        if photo.is_dir():
            raise click.BadParameter(
                f"{photo} is a folder; name a photo to search for, and the folder to search in "
                "with --gallery",
                param_hint="PHOTO",
            )
        if not photo.exists():
            raise MissingError(f"photo {photo} is not there")
        try:
            found = boxed_photo(photo, self.box_text, number)
        except PhotoError as error:
            if error.reason != "bad_box":
                raise
            raise click.BadParameter(str(error), param_hint="--box") from error
        if self.box_text == AUTO:
            message(f"{photo}: the proposed box is {found.box}")
        return found


def tell_clipped(photo: Photo) -> None:
    """Say that a box is cut to its photo."""
    message(f"box {photo.box} reaches beyond the photo: the part inside is searched for")
