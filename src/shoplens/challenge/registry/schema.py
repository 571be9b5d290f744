"""What the challenge's file holds, table by table, in the version that `migrations` names."""

from __future__ import annotations

APPLICATION = 0x53504C43
"""Marks an SQLite file as a challenge of ours (the letters SPLC)."""

TABLES = (
    """
    CREATE TABLE challenge (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        title TEXT NOT NULL,
        created TEXT NOT NULL,
        data TEXT NOT NULL,           -- the labelled set, an absolute path
        gallery_sha256 TEXT NOT NULL, -- of its tables, as they were
        queries_sha256 TEXT NOT NULL,
        n_queries INTEGER NOT NULL,   -- of the whole table
        n_gallery INTEGER NOT NULL,
        seed INTEGER NOT NULL,        -- of the split
        public_share REAL NOT NULL,
        starts TEXT NOT NULL,
        ends TEXT NOT NULL,           -- what is private is shown from then on
        data_deadline TEXT NOT NULL,
        selections INTEGER NOT NULL CHECK (selections > 0),
        places INTEGER NOT NULL CHECK (places >= 0),
        policy TEXT NOT NULL CHECK (policy IN ('strict', 'lenient')),
        -- besides submissions that are run
        accepts_answers INTEGER NOT NULL DEFAULT 0 CHECK (accepts_answers IN (0, 1)),
        CHECK (starts < ends)
    )
    """,
    """
    CREATE TABLE rounds (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        folded TEXT NOT NULL UNIQUE,
        starts TEXT NOT NULL,
        ends TEXT NOT NULL,
        per_day INTEGER NOT NULL CHECK (per_day > 0),
        limits TEXT NOT NULL,         -- JSON, the fields of sandbox.limits.Limits
        -- with those that do not count towards per_day; NULL follows from per_day
        attempts_per_day INTEGER CHECK (attempts_per_day > 0),
        CHECK (starts < ends)
    )
    """,
    """
    CREATE TABLE queries (            -- those that are scored: the others are on neither side
        position INTEGER PRIMARY KEY, -- row in queries.csv, from 0
        product INTEGER NOT NULL,     -- numbered, not named
        side TEXT NOT NULL CHECK (side IN ('public', 'private'))
    )
    """,
    """
    CREATE TABLE teams (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        folded TEXT NOT NULL UNIQUE,
        founded TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE tokens (             -- by which teams submit over a network
        team_id INTEGER PRIMARY KEY REFERENCES teams,
        sha256 TEXT NOT NULL,         -- of the secret in it
        made TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE members (            -- a person is in one team
        id INTEGER PRIMARY KEY,
        team_id INTEGER NOT NULL REFERENCES teams,
        name TEXT NOT NULL,
        folded TEXT NOT NULL UNIQUE,
        joined TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE seekers (            -- people, or teams, that look for team mates
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        folded TEXT NOT NULL UNIQUE,
        contact TEXT NOT NULL,
        about TEXT NOT NULL,
        posted TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE declarations (
        id INTEGER PRIMARY KEY,
        team_id INTEGER NOT NULL REFERENCES teams,
        link TEXT NOT NULL,
        about TEXT NOT NULL,
        declared TEXT NOT NULL,
        late INTEGER NOT NULL CHECK (late IN (0, 1)),
        UNIQUE (team_id, link)
    )
    """,
    """
    CREATE TABLE submissions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        team_id INTEGER NOT NULL REFERENCES teams,
        round_id INTEGER NOT NULL REFERENCES rounds,
        label TEXT NOT NULL,
        content TEXT NOT NULL,        -- hash of the folder, its name below submissions/
        submitted TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
        attempt INTEGER NOT NULL DEFAULT 0, -- goes up with each claim
        deaths INTEGER NOT NULL DEFAULT 0,  -- claims whose worker died
        worker TEXT,
        lease_until TEXT,
        finished TEXT,
        counted INTEGER NOT NULL DEFAULT 1 CHECK (counted IN (0, 1)),
        verdict TEXT,
        reason TEXT,
        seconds REAL,
        peak_memory_mb REAL,
        run TEXT,                     -- its folder's name below runs/
        record TEXT,                  -- JSON of the run, what is private left out
        ap BLOB,                      -- little-endian float64, AP@1000 of each scored query
        kind TEXT NOT NULL DEFAULT 'folder' CHECK (kind IN ('folder', 'answer')),
        CHECK ((state = 'running') = (lease_until IS NOT NULL)),
        CHECK ((state IN ('done', 'failed')) = (verdict IS NOT NULL))
    )
    """,
    "CREATE INDEX submissions_of_a_team ON submissions (team_id, submitted)",
    "CREATE INDEX submissions_waiting ON submissions (state, id)",
    """
    CREATE TABLE selections (
        submission_id INTEGER PRIMARY KEY REFERENCES submissions,
        selected TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE notes (
        id INTEGER PRIMARY KEY,
        submission_id INTEGER NOT NULL REFERENCES submissions,
        written TEXT NOT NULL,
        author TEXT NOT NULL,
        text TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE tags (
        submission_id INTEGER NOT NULL REFERENCES submissions,
        tag TEXT NOT NULL,
        PRIMARY KEY (submission_id, tag)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL,
        detail TEXT NOT NULL          -- JSON
    )
    """,
    "CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN "
    "SELECT RAISE(ABORT, 'events are never changed'); END",
    "CREATE TRIGGER events_remain BEFORE DELETE ON events BEGIN "
    "SELECT RAISE(ABORT, 'events are never removed'); END",
)
