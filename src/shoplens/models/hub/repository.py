"""Where a model's files come from: a folder, or a repository of the Hugging Face hub."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplens.errors import MissingError, ModelError

_CONNECT_SECONDS = 5.0
"""How long the hub may take to answer before it counts as out of reach."""


@dataclass(frozen=True)
class Repository:
    """A model's files, by name.

    Those of the hub are taken from the local cache of `huggingface_hub`; what is not there is
    downloaded, where the hub can be reached.
    """

    model: str
    """The name that the user gave, for messages."""
    hub_id: str
    """`owner/name` on the hub; empty for a folder."""
    folder: Path | None = None

    @classmethod
    def of(cls, model: str, place: str) -> Repository:
        """Return the repository at a place: an existing folder, else a name on the hub.

        Raises `MissingError` when it is neither.
        """
        path = Path(place).expanduser()
        if path.is_dir():
            return cls(model, "", path.absolute())
        if re.fullmatch(r"[\w.-]+/[\w.-]+", place) and ".." not in place:
            return cls(model, place)
        raise MissingError(
            f"model {model}: {place} is neither a folder nor OWNER/NAME of a repository on the "
            "Hugging Face hub"
        )

    @property
    def address(self) -> str:
        """Where it is, for sources and messages."""
        return f"https://huggingface.co/{self.hub_id}" if self.hub_id else str(self.folder)

    def file(self, *names: str) -> Path:
        """Return the first of some files that is there.

        Args:
            names: file names that would do, the preferred one first.

        Raises:
            MissingError: none is there; says which file to bring from where.
        """
        found = self.find(*names)
        if found is None:
            raise MissingError(f"model {self.model}: {self.address} has no {' or '.join(names)}")
        return found

    def find(self, *names: str) -> Path | None:
        """Return the first of some files that is there, or None when the repository has none.

        Raises `MissingError` when that cannot be told: the hub is out of reach, or refuses.
        """
        if self.folder is not None:
            there = (self.folder / name for name in names)
            return next((file for file in there if file.is_file()), None)
        return self._cached(*names) or self._downloaded(*names)

    def find_cached(self, *names: str) -> Path | None:
        """Return the first of some files that is on this machine already, or None."""
        return self._cached(*names) if self.folder is None else self.find(*names)

    def _cached(self, *names: str) -> Path | None:
        hub = library("huggingface_hub", "hub")
        for name in names:
            found = hub.try_to_load_from_cache(self.hub_id, name)
            if isinstance(found, str):
                return Path(found)
        return None

    def _downloaded(self, *names: str) -> Path | None:
        hub = library("huggingface_hub", "hub")
        errors = importlib.import_module("huggingface_hub.errors")
        session = importlib.import_module("huggingface_hub.utils").get_session()
        endpoint = importlib.import_module("huggingface_hub.constants").ENDPOINT
        try:
            # Asked once and briefly: the library itself would try for most of a minute.
            session.head(endpoint, timeout=_CONNECT_SECONDS)
        except Exception as error:
            raise self._out_of_reach(names, error) from error
        for name in names:
            try:
                return Path(hub.hf_hub_download(self.hub_id, name))
            except errors.LocalEntryNotFoundError as error:
                raise self._out_of_reach(names, error) from error
            except errors.GatedRepoError as error:
                raise MissingError(
                    f"model {self.model}: accept the conditions of {self.address} "
                    "there, and then log in here with `hf auth login`"
                ) from error
            except errors.RepositoryNotFoundError as error:
                raise MissingError(
                    f"model {self.model}: the hub has no {self.hub_id}, or it is not public"
                ) from error
            except errors.EntryNotFoundError:
                continue
            # What the network may raise has no common base across versions of the library.
            except Exception as error:
                raise self._out_of_reach(names, error) from error
        return None

    def _out_of_reach(self, names: tuple[str, ...], error: Exception) -> MissingError:
        constants = importlib.import_module("huggingface_hub.constants")
        cause = error.__cause__ or error
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        kind = self.model.partition(":")[0]
        return MissingError(
            f"model {self.model}: the file {' or '.join(names)} of {self.address} is not on this "
            f"machine and cannot be downloaded ({reason:.160}). Where there is a network: hf "
            f"download {self.hub_id} --local-dir FOLDER; bring FOLDER here and name it as "
            f"{kind}:FOLDER. Or copy the cache of that machine, models--"
            f"{self.hub_id.replace('/', '--')}, into {constants.HF_HUB_CACHE}"
        )


def read_settings(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises `ModelError` when the file holds no such thing.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{file} must hold one JSON object")
    return values


def licence_of(repository: Repository) -> str:
    """Return the licence that a repository's README.md states, or an empty text."""
    try:
        readme = repository.find("README.md")
    except MissingError:
        return ""
    if readme is None:
        return ""
    text = readme.read_text(encoding="utf-8", errors="replace")
    header = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    stated = (
        dict(re.findall(r"^(license(?:_name)?):\s*(.+?)\s*$", header[1], re.M)) if header else {}
    )
    name: str = stated.get("license", "")
    named: str = stated.get("license_name", name)
    return (named if name == "other" else name).strip("'\"")


def library(name: str, extra: str) -> Any:
    """Import another library.

    Raises `MissingError` when it is not installed; says which extra brings it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingError(f"this needs: pip install 'shoplens[{extra}]' ({error})") from error
