-- A challenge's file of schema version 2, with LABELLED_SET in place of a path.
PRAGMA application_id = 1397771331;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
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
        CHECK (starts < ends)
    );
INSERT INTO "challenge" VALUES(1,'Autumn','2026-03-10T12:00:00.000000Z','LABELLED_SET','11237e0417c3b8cfd994e37733953d08b334492cfd539951fa3fd49aabf87b93','9c005a9746ec22d32b2f2b190af835f01f4b7bb3d492c4a46878a227b83fbdce',40,40,0,0.3,'2026-03-10T12:00:00.000000Z','2026-04-09T12:00:00.000000Z','2026-04-02T00:00:00.000000Z',2,3,'strict');
CREATE TABLE declarations (
        id INTEGER PRIMARY KEY,
        team_id INTEGER NOT NULL REFERENCES teams,
        link TEXT NOT NULL,
        about TEXT NOT NULL,
        declared TEXT NOT NULL,
        late INTEGER NOT NULL CHECK (late IN (0, 1)),
        UNIQUE (team_id, link)
    );
INSERT INTO "declarations" VALUES(1,1,'https://example.org/shoes','4,000 shoes, CC0','2026-03-10T12:00:00.000000Z',0);
CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL,
        detail TEXT NOT NULL          -- JSON
    );
INSERT INTO "events" VALUES(1,'2026-03-10T12:00:00.000000Z','organiser','challenge created','{"title": "Autumn", "data": "LABELLED_SET", "seed": 0}');
INSERT INTO "events" VALUES(2,'2026-03-10T12:00:00.000000Z','organiser','team added','{"team": "Owls"}');
INSERT INTO "events" VALUES(3,'2026-03-10T12:00:00.000000Z','organiser','member joined','{"team": "Owls", "member": "Ada"}');
INSERT INTO "events" VALUES(4,'2026-03-10T12:00:00.000000Z','organiser','team added','{"team": "\u041ewls"}');
INSERT INTO "events" VALUES(5,'2026-03-10T12:00:00.000000Z','organiser','member joined','{"team": "\u041ewls", "member": "Eve"}');
INSERT INTO "events" VALUES(6,'2026-03-10T12:00:00.000000Z','organiser','team added','{"team": "Red Pandas"}');
INSERT INTO "events" VALUES(7,'2026-03-10T12:00:00.000000Z','organiser','member joined','{"team": "Red Pandas", "member": "Linus"}');
INSERT INTO "events" VALUES(8,'2026-03-10T12:00:00.000000Z','organiser','member joined','{"team": "Red Pandas", "member": "Grace"}');
INSERT INTO "events" VALUES(9,'2026-03-10T12:00:00.000000Z','organiser','seeking team mates','{"name": "Barbara"}');
INSERT INTO "events" VALUES(10,'2026-03-10T12:00:00.000000Z','organiser','data declared','{"team": "Owls", "link": "https://example.org/shoes", "late": false}');
INSERT INTO "events" VALUES(11,'2026-03-10T12:00:00.000000Z','root','submitted','{"submission": 1, "team": "Owls", "content": "91043a10fed4c7ea32f04b08b29daeae50ccb65f09f05d26a67c9feb0ede8734"}');
INSERT INTO "events" VALUES(12,'2026-03-10T12:00:00.000000Z','root','submitted','{"submission": 2, "team": "Red Pandas", "content": "91043a10fed4c7ea32f04b08b29daeae50ccb65f09f05d26a67c9feb0ede8734"}');
INSERT INTO "events" VALUES(13,'2026-03-10T12:00:00.000000Z','root','submitted','{"submission": 3, "team": "Owls", "content": "91043a10fed4c7ea32f04b08b29daeae50ccb65f09f05d26a67c9feb0ede8734"}');
INSERT INTO "events" VALUES(14,'2026-03-10T12:00:00.000000Z','root','submitted','{"submission": 4, "team": "Owls", "content": "91043a10fed4c7ea32f04b08b29daeae50ccb65f09f05d26a67c9feb0ede8734"}');
INSERT INTO "events" VALUES(15,'2026-03-10T12:00:00.000000Z','tests','run begun','{"submission": 1, "attempt": 1}');
INSERT INTO "events" VALUES(16,'2026-03-10T12:00:00.000000Z','tests','run ended','{"submission": 1, "verdict": "ok", "counted": true}');
INSERT INTO "events" VALUES(17,'2026-03-10T12:00:00.000000Z','tests','run begun','{"submission": 2, "attempt": 1}');
INSERT INTO "events" VALUES(18,'2026-03-10T12:00:00.000000Z','tests','run ended','{"submission": 2, "verdict": "ok", "counted": true}');
INSERT INTO "events" VALUES(19,'2026-03-10T12:00:00.000000Z','tests','run begun','{"submission": 3, "attempt": 1}');
INSERT INTO "events" VALUES(20,'2026-03-10T12:00:00.000000Z','tests','run ended','{"submission": 3, "verdict": "harness_failed", "counted": false}');
INSERT INTO "events" VALUES(21,'2026-03-10T12:00:00.000000Z','Ada','note written','{"submission": 1}');
INSERT INTO "events" VALUES(22,'2026-03-10T12:00:00.000000Z','Ada','tags changed','{"submission": 1, "added": ["external data"], "removed": []}');
INSERT INTO "events" VALUES(23,'2026-03-10T12:00:00.000000Z','Ada','final submissions named','{"team": "Owls", "submissions": [1]}');
INSERT INTO "events" VALUES(24,'2026-03-10T12:00:00.000000Z','organiser','file upgraded','{"before": 1, "after": 2}');
CREATE TABLE members (            -- a person is in one team
        id INTEGER PRIMARY KEY,
        team_id INTEGER NOT NULL REFERENCES teams,
        name TEXT NOT NULL,
        folded TEXT NOT NULL UNIQUE,
        joined TEXT NOT NULL
    );
INSERT INTO "members" VALUES(1,1,'Ada','ada','2026-03-10T12:00:00.000000Z');
INSERT INTO "members" VALUES(2,2,'Eve','eve','2026-03-10T12:00:00.000000Z');
INSERT INTO "members" VALUES(3,3,'Linus','linus','2026-03-10T12:00:00.000000Z');
INSERT INTO "members" VALUES(4,3,'Grace','grace','2026-03-10T12:00:00.000000Z');
CREATE TABLE notes (
        id INTEGER PRIMARY KEY,
        submission_id INTEGER NOT NULL REFERENCES submissions,
        written TEXT NOT NULL,
        author TEXT NOT NULL,
        text TEXT NOT NULL
    );
INSERT INTO "notes" VALUES(1,1,'2026-03-10T12:00:00.000000Z','Ada','two crops, averaged');
CREATE TABLE queries (            -- those that are scored: the others are on neither side
        position INTEGER PRIMARY KEY, -- row in queries.csv, from 0
        product INTEGER NOT NULL,     -- numbered, not named
        side TEXT NOT NULL CHECK (side IN ('public', 'private'))
    );
INSERT INTO "queries" VALUES(0,9,'private');
INSERT INTO "queries" VALUES(1,18,'private');
INSERT INTO "queries" VALUES(2,6,'public');
INSERT INTO "queries" VALUES(3,13,'public');
INSERT INTO "queries" VALUES(4,14,'private');
INSERT INTO "queries" VALUES(5,18,'private');
INSERT INTO "queries" VALUES(6,0,'private');
INSERT INTO "queries" VALUES(7,3,'private');
INSERT INTO "queries" VALUES(8,16,'public');
INSERT INTO "queries" VALUES(9,4,'public');
INSERT INTO "queries" VALUES(10,17,'private');
INSERT INTO "queries" VALUES(11,7,'private');
INSERT INTO "queries" VALUES(12,10,'private');
INSERT INTO "queries" VALUES(13,2,'public');
INSERT INTO "queries" VALUES(14,19,'public');
INSERT INTO "queries" VALUES(15,19,'public');
INSERT INTO "queries" VALUES(16,17,'private');
INSERT INTO "queries" VALUES(17,16,'public');
INSERT INTO "queries" VALUES(18,9,'private');
INSERT INTO "queries" VALUES(19,4,'public');
INSERT INTO "queries" VALUES(20,11,'private');
INSERT INTO "queries" VALUES(21,15,'private');
INSERT INTO "queries" VALUES(22,2,'public');
INSERT INTO "queries" VALUES(23,7,'private');
INSERT INTO "queries" VALUES(24,14,'private');
INSERT INTO "queries" VALUES(25,15,'private');
INSERT INTO "queries" VALUES(26,12,'private');
INSERT INTO "queries" VALUES(27,5,'private');
INSERT INTO "queries" VALUES(28,5,'private');
INSERT INTO "queries" VALUES(29,6,'public');
INSERT INTO "queries" VALUES(30,1,'private');
INSERT INTO "queries" VALUES(31,13,'public');
INSERT INTO "queries" VALUES(32,1,'private');
INSERT INTO "queries" VALUES(33,8,'private');
INSERT INTO "queries" VALUES(34,12,'private');
INSERT INTO "queries" VALUES(35,0,'private');
INSERT INTO "queries" VALUES(36,8,'private');
INSERT INTO "queries" VALUES(37,3,'private');
INSERT INTO "queries" VALUES(38,10,'private');
INSERT INTO "queries" VALUES(39,11,'private');
CREATE TABLE rounds (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        folded TEXT NOT NULL UNIQUE,
        starts TEXT NOT NULL,
        ends TEXT NOT NULL,
        per_day INTEGER NOT NULL CHECK (per_day > 0),
        limits TEXT NOT NULL, attempts_per_day INTEGER CHECK (attempts_per_day > 0),         -- JSON, the fields of sandbox.limits.Limits
        CHECK (starts < ends)
    );
INSERT INTO "rounds" VALUES(1,'warm-up','warm-up','2026-03-10T12:00:00.000000Z','2026-03-20T12:00:00.000000Z',5,'{"seconds": 60, "cpus": 2, "memory_mb": 4000, "processes": 1024, "scratch_mb": 2000, "scratch_files": 100000, "output_mb": 500, "log_mb": 10}',NULL);
INSERT INTO "rounds" VALUES(2,'final','final','2026-03-20T12:00:00.000000Z','2026-04-09T12:00:00.000000Z',2,'{"seconds": 30, "cpus": 2, "memory_mb": 4000, "processes": 1024, "scratch_mb": 2000, "scratch_files": 100000, "output_mb": 500, "log_mb": 10}',6);
CREATE TABLE seekers (            -- people, or teams, that look for team mates
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        folded TEXT NOT NULL UNIQUE,
        contact TEXT NOT NULL,
        about TEXT NOT NULL,
        posted TEXT NOT NULL
    );
INSERT INTO "seekers" VALUES(1,'Barbara','barbara','barbara@example.org','has a GPU','2026-03-10T12:00:00.000000Z');
CREATE TABLE selections (
        submission_id INTEGER PRIMARY KEY REFERENCES submissions,
        selected TEXT NOT NULL
    );
INSERT INTO "selections" VALUES(1,'2026-03-10T12:00:00.000000Z');
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
        CHECK ((state = 'running') = (lease_until IS NOT NULL)),
        CHECK ((state IN ('done', 'failed')) = (verdict IS NOT NULL))
    );
INSERT INTO "submissions" VALUES(1,1,1,'first','91043a10fed4c7ea32f04b08b29daeae50ccb65f09f05d26a67c9feb0ede8734','2026-03-10T12:00:00.000000Z','done',1,0,'tests',NULL,'2026-03-10T12:00:00.000000Z',1,'ok','',1.5,20.0,'000001-1','{"verdict": "ok", "metrics": {"map@1000": {"value": 0.987654}}}',X'000000000000E03F000000000000E03F000000000000E83F000000000000E83F000000000000E03F000000000000E03F000000000000E03F000000000000E03F000000000000E83F000000000000E83F000000000000E03F000000000000E03F000000000000E03F000000000000E83F000000000000E83F000000000000E83F000000000000E03F000000000000E83F000000000000E03F000000000000E83F000000000000E03F000000000000E03F000000000000E83F000000000000E03F000000000000E03F000000000000E03F000000000000E03F000000000000E03F000000000000E03F000000000000E83F000000000000E03F000000000000E83F000000000000E03F000000000000E03F000000000000E03F000000000000E03F000000000000E03F000000000000E03F000000000000E03F000000000000E03F');
INSERT INTO "submissions" VALUES(2,3,1,'first','91043a10fed4c7ea32f04b08b29daeae50ccb65f09f05d26a67c9feb0ede8734','2026-03-10T12:00:00.000000Z','done',1,0,'tests',NULL,'2026-03-10T12:00:00.000000Z',1,'ok','',1.5,20.0,'000002-1','{"verdict": "ok", "metrics": {"map@1000": {"value": 0.987654}}}',X'000000000000D03F000000000000D03F000000000000E03F000000000000E03F000000000000D03F000000000000D03F000000000000D03F000000000000D03F000000000000E03F000000000000E03F000000000000D03F000000000000D03F000000000000D03F000000000000E03F000000000000E03F000000000000E03F000000000000D03F000000000000E03F000000000000D03F000000000000E03F000000000000D03F000000000000D03F000000000000E03F000000000000D03F000000000000D03F000000000000D03F000000000000D03F000000000000D03F000000000000D03F000000000000E03F000000000000D03F000000000000E03F000000000000D03F000000000000D03F000000000000D03F000000000000D03F000000000000D03F000000000000D03F000000000000D03F000000000000D03F');
INSERT INTO "submissions" VALUES(3,1,1,'first','91043a10fed4c7ea32f04b08b29daeae50ccb65f09f05d26a67c9feb0ede8734','2026-03-10T12:00:00.000000Z','failed',1,0,'tests',NULL,'2026-03-10T12:00:00.000000Z',0,'harness_failed','its folder is gone',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "submissions" VALUES(4,1,1,'first','91043a10fed4c7ea32f04b08b29daeae50ccb65f09f05d26a67c9feb0ede8734','2026-03-10T12:00:00.000000Z','queued',0,0,NULL,NULL,NULL,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE tags (
        submission_id INTEGER NOT NULL REFERENCES submissions,
        tag TEXT NOT NULL,
        PRIMARY KEY (submission_id, tag)
    ) WITHOUT ROWID
    ;
INSERT INTO "tags" VALUES(1,'external data');
CREATE TABLE teams (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        folded TEXT NOT NULL UNIQUE,
        founded TEXT NOT NULL
    );
INSERT INTO "teams" VALUES(1,'Owls','owls','2026-03-10T12:00:00.000000Z');
INSERT INTO "teams" VALUES(2,'Оwls','оwls','2026-03-10T12:00:00.000000Z');
INSERT INTO "teams" VALUES(3,'Red Pandas','red pandas','2026-03-10T12:00:00.000000Z');
CREATE INDEX submissions_of_a_team ON submissions (team_id, submitted);
CREATE INDEX submissions_waiting ON submissions (state, id);
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are never removed'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',24);
INSERT INTO "sqlite_sequence" VALUES('submissions',4);
COMMIT;
