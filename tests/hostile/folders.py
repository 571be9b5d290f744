"""Writing a hostile submission as a folder."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

RANKER = """\
import csv, ctypes, errno, os, signal, socket, subprocess, sys, threading, time
import numpy as np

def escaped(what):
    print("ESCAPED", what, flush=True)

def attempt(name, function, *arguments):
    try:
        result = function(*arguments)
    except Exception as error:
        print(name, "refused:", error)
    else:
        if result is None or not (isinstance(result, int) and result < 0):
            escaped((name, repr(result)[:200]))

def send(data):
    while data:
        data = data[os.write(4, data):]

def run_apart(function):
    child = os.fork()
    if child == 0:
        try:
            function()
        finally:
            os._exit(1)
    return child

def text_of(path):
    with open(path) as stream:
        return stream.read()

class My_Ranker:
    def __init__(self, dataset_path, gallery_csv_path, queries_csv_path):
        with open(gallery_csv_path) as stream:
            self.gallery = [int(row["seller_img_id"]) for row in csv.DictReader(stream)]
        with open(queries_csv_path) as stream:
            self.queries = [int(row["user_img_id"]) for row in csv.DictReader(stream)]
        self.data = dataset_path

    def raise_aicrowd_error(self, msg):
        raise NameError(msg)

    def good(self):
        return np.array([self.gallery for _ in self.queries])

    def predict_product_ranks(self):
{body}
"""


@dataclass(frozen=True)
class Case:
    """A submission and how it has to end."""

    name: str
    verdict: str
    body: str = ""
    """Of `predict_product_ranks`; names in double braces are filled in with the test's places."""
    reason: str = ""
    """What the reason has to say."""
    whole: str | None = None
    """All of user_config.py, in place of the ranker above."""
    files: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    links: dict[str, str] = field(default_factory=dict)


def write(case: Case, folder: Path, places: dict[str, str]) -> Path:
    """Write a case as a submission's folder."""

    def filled(text: str) -> str:
        for name, place in places.items():
            text = text.replace("{{" + name + "}}", place)
        return text

    body = textwrap.indent(textwrap.dedent(filled(case.body)).strip() or "return None", " " * 8)
    config = {"challenge_id": "hostile", "authors": [case.name]}
    whole = RANKER.replace("{body}", body) if case.whole is None else case.whole
    files = {
        "aicrowd.json": json.dumps(config),
        "my_submission/__init__.py": "",
        "my_submission/user_config.py": whole,
        **case.files,
    }
    for name, text in files.items():
        if name not in case.without:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name, target in case.links.items():
        (folder / name).symlink_to(filled(target))
    return folder
