"""Names that look alike although they are spelt with other characters.

Letters of other scripts that are drawn like Latin ones are taken for those, after Unicode's
technical standard 39. Upper-case I, lower-case l and 1 look alike as well, and so do O and 0.
"""

from __future__ import annotations

import re
import unicodedata

from shoplens.errors import DataError

_DRAWN_LIKE = {
    # Cyrillic, Greek, Armenian, Latin letters of phonetic alphabets, and the digit 0.
    "A": "\u0410\u0391",
    "B": "\u0412\u0392",
    "C": "\u0421\u03f9",
    "E": "\u0415\u0395",
    "G": "\u050c",
    "H": "\u041d\u0397",
    "I": "\u0406\u04c0\u0399",
    "J": "\u0408\u037f",
    "K": "\u041a\u039a",
    "M": "\u041c\u039c",
    "N": "\u039d",
    "O": "0\u041e\u039f\u0555",
    "P": "\u0420\u03a1",
    "Q": "\u051a",
    "S": "\u0405\u054f",
    "T": "\u0422\u03a4",
    "U": "\u054d",
    "V": "\u0474",
    "W": "\u051c",
    "X": "\u0425\u03a7",
    "Y": "\u0423\u04ae\u03a5",
    "Z": "\u0396",
    "a": "\u0430\u03b1\u0251",
    "c": "\u0441\u03f2\u1d04",
    "d": "\u0501",
    "e": "\u0435",
    "g": "\u0261\u0581",
    "h": "\u04bb\u0570",
    "i": "\u0456\u03b9\u0131\u0269",
    "j": "\u0458\u03f3\u0237",
    "k": "\u043a\u03ba",
    "l": "\u04cf",
    "m": "\u043c",
    "n": "\u0578",
    "o": "\u043e\u03bf\u0585\u1d0f",
    "p": "\u0440\u03c1",
    "q": "\u051b\u0566",
    "s": "\u0455\ua731",
    "t": "\u0442\u03c4",
    "u": "\u03c5\u057d\u1d1c",
    "v": "\u03bd\u0475\u1d20",
    "w": "\u051d\u1d21",
    "x": "\u0445",
    "y": "\u0443\u04af\u03b3",
    "z": "\u1d22",
}
_LATIN = str.maketrans({other: latin for latin, others in _DRAWN_LIKE.items() for other in others})
_STROKES = str.maketrans({"I": "l", "1": "l", "|": "l"})
_ALPHABETS = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "COPTIC", "CHEROKEE", "LISU"})
"""Scripts with letters drawn like those of another."""
_WORD = re.compile(r"[^\W\d_]+")


def look_alike(one: str, other: str) -> bool:
    """Whether two names could be taken for each other, also where they differ in case."""
    pairs = zip(_skeletons(one), _skeletons(other), strict=True)
    return any(skeleton == other_skeleton for skeleton, other_skeleton in pairs)


def require_one_script(name: str, what: str) -> None:
    """Check that no word of a name mixes alphabets; words of different scripts may stand together.

    Raises `DataError` that names the word and its alphabets.
    """
    for word in _WORD.findall(name):
        scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in word} & _ALPHABETS
        if len(scripts) > 1:
            alphabets = " and ".join(sorted(script.capitalize() for script in scripts))
            raise DataError(
                f"{what} {name!r} mixes {alphabets} letters in {word!r}: they look alike, so write "
                "each word in one alphabet"
            )


def _skeletons(name: str) -> list[str]:
    """Return what names that look alike share: one form without case, and one with it."""
    # Accents are drawn: apart from their letters, so that those are found in the table.
    letters = unicodedata.normalize("NFKD", name).translate(_LATIN)
    forms = (letters.casefold(), letters.translate(_STROKES))
    return [" ".join(unicodedata.normalize("NFKC", form).split()) for form in forms]
