"""The feed: an Atom document (RFC 4287) that tells news readers of every new best score."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import datetime, timezone
from xml.etree import ElementTree

from shoplens.challenge.leaderboard import Board, Standing
from shoplens.challenge.registry.instants import to_text

FILE_NAME = "feed.xml"
N_NEWS = 50
"""How many entries the feed has; they are the newest."""

_ATOM = "http://www.w3.org/2005/Atom"
_UNSPEAKABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)


def atom_feed(public: Board, ranking: Sequence[Standing], url: str | None) -> bytes:
    """Return the feed of the public side.

    Ids follow from the site's address, or from the challenge's title where it has none, and from
    the submission: they stay the same from one feed to the next.

    Args:
        public: the public side; private scores are never in the feed.
        ranking: its standings.
        url: the site's address, ending in a slash; without it, links are relative.
    """
    base = url or ""
    identity = uuid.uuid5(uuid.NAMESPACE_URL, url or f"shoplens:{_speakable(public.title)}")
    labels = {entry.submission_id: entry.label for entry in public.entries}
    feed = ElementTree.Element("feed", xmlns=_ATOM)
    _add(feed, "title", f"{public.title}: new best scores")
    _add(feed, "id", identity.urn)
    _add(feed, "updated", to_text(public.as_of or _LONG_AGO))
    _add(_add(feed, "author"), "name", public.title)
    _add(feed, "link", rel="alternate", type="text/html", href=base + "index.html")
    _add(feed, "link", rel="self", type="application/atom+xml", href=base + FILE_NAME)
    news = [(best, standing) for standing in ranking for best in standing.history]
    news.sort(key=lambda pair: (pair[0].since, pair[0].submission_id), reverse=True)
    for best, standing in news[:N_NEWS]:
        entry = _add(feed, "entry")
        team, number = standing.entry.team, best.submission_id
        _add(entry, "title", f"{team}: mAP@1000 {best.score:.4f}")
        _add(entry, "id", uuid.uuid5(identity, str(number)).urn)
        _add(entry, "updated", to_text(best.since))
        _add(_add(entry, "author"), "name", team)
        page = f"{base}submissions/{number}.html"
        _add(entry, "link", rel="alternate", type="text/html", href=page)
        text = f"{labels[number]}: the best score so far of {team} on the public side."
        _add(entry, "summary", text)
    ElementTree.indent(feed)
    document: bytes = ElementTree.tostring(feed, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _add(
    parent: ElementTree.Element, tag: str, text: str = "", **attributes: str
) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag, attributes)
    if text:
        element.text = _speakable(text)
    return element


def _speakable(text: str) -> str:
    return _UNSPEAKABLE.sub("\N{REPLACEMENT CHARACTER}", text)
