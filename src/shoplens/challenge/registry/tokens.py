"""Tokens by which teams submit over a network, without an account.

A token reads `slt_<number of the team>_<secret>`. The file holds the SHA-256 of the secret. The
secret is 32 random bytes, which nobody can guess, so a slow hash would protect nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime

from shoplens.challenge.registry.database import Database
from shoplens.challenge.registry.teams import find_team
from shoplens.errors import DataError

PREFIX = "slt"
_SECRET_BYTES = 32
_NO_SHA256 = "0" * 64
"""What the secret for an unknown team is compared with. Nobody knows what hashes to it."""
_LARGEST_ID = 2**63 - 1


def make_token(database: Database, team: str, *, now: datetime, who: str | None = None) -> str:
    """Make a token for a team and return it; it is kept nowhere. An earlier one is replaced.

    Raises `DataError` when there is no such team.
    """
    secret = secrets.token_hex(_SECRET_BYTES)
    with database.change(now, who) as change:
        row = find_team(change.connection, team)
        change.execute(
            "INSERT OR REPLACE INTO tokens VALUES (?, ?, ?)",
            (row["id"], _sha256(secret), change.at),
        )
        change.record("token made", team=row["name"])
    return f"{PREFIX}_{row['id']}_{secret}"


def revoke_token(database: Database, team: str, *, now: datetime, who: str | None = None) -> None:
    """Revoke the token of a team.

    Raises `DataError` when there is no such team, or it has no token.
    """
    with database.change(now, who) as change:
        row = find_team(change.connection, team)
        gone = change.execute("DELETE FROM tokens WHERE team_id = ?", (row["id"],))
        if not gone.rowcount:
            raise DataError(f"team {row['name']!r} has no token")
        change.record("token revoked", team=row["name"])


def team_of_token(database: Database, token: str) -> str | None:
    """Return the name of the team whose token this is; None if it is nobody's.

    The time that this takes tells nothing of the tokens that there are.
    """
    prefix, _, rest = token.partition("_")
    number, _, secret = rest.partition("_")
    # Python would read other digits too, and refuses to read thousands.
    is_number = number.isascii() and number.isdigit() and len(number) <= len(str(_LARGEST_ID))
    team_id = min(int(number), _LARGEST_ID) if is_number else 0
    with database.reading() as connection:
        row = connection.execute(
            "SELECT teams.name, tokens.sha256 FROM tokens JOIN teams ON teams.id = team_id "
            "WHERE team_id = ?",
            (team_id,),
        ).fetchone()
    stored = _NO_SHA256 if row is None else str(row["sha256"])
    same = hmac.compare_digest(stored, _sha256(secret))
    return str(row["name"]) if same and row is not None and prefix == PREFIX else None


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
