-- Version 3: who may sign in and where alerts go, and what happened: changes of settings, the journal, presence.
-- Times that end in `wall_ms` are milliseconds since 1970 by the wall clock: for people, nothing rests on them.

-- A CHECK cannot be altered, so the table is made anew: with the kinds 'access' and 'alerts'.
CREATE TABLE setting_3 (
    kind TEXT NOT NULL CHECK (kind IN ('server', 'lease', 'twin', 'access', 'alerts', 'options', 'custom-options', 'subnet')),
    key  TEXT NOT NULL CHECK ((key <> '') = (kind = 'subnet')),
    body TEXT NOT NULL CHECK (json_valid(body)),
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
INSERT INTO setting_3 SELECT kind, key, body FROM setting;
DROP TABLE setting;
ALTER TABLE setting_3 RENAME TO setting;

-- Who made the edit of this entry, and when: a JSON object. NULL: not known.
ALTER TABLE entry ADD COLUMN edited TEXT CHECK (json_type(edited) = 'object');

-- One record of a change of settings, written with the change itself. The newest 5,000 are kept. Secrets are masked.
CREATE TABLE change (
    id      INTEGER PRIMARY KEY CHECK (id >= 1),
    -- What was changed at once has the number of its first.
    step    INTEGER NOT NULL CHECK (step BETWEEN 1 AND id),
    wall_ms INTEGER NOT NULL,
    author  TEXT NOT NULL CHECK (length(CAST(author AS BLOB)) <= 255),
    -- It was made on the twin and came from there.
    on_twin INTEGER NOT NULL CHECK (on_twin IN (0, 1)),
    -- The record's key, as JSON.
    key     TEXT NOT NULL CHECK (json_valid(key)),
    -- NULL: it was not there.
    before  TEXT CHECK (json_type(before) = 'object'),
    after   TEXT CHECK (json_type(after) = 'object')
) STRICT;

-- What happened to this node. The newest 5,000 are kept.
CREATE TABLE journal (
    id      INTEGER PRIMARY KEY CHECK (id >= 1),
    -- A word for each kind: see runtime/journal.rs.
    kind    TEXT NOT NULL,
    text    TEXT NOT NULL,
    first_wall_ms INTEGER NOT NULL,
    last_wall_ms  INTEGER NOT NULL,
    -- How often in a row.
    times   INTEGER NOT NULL CHECK (times >= 1)
) STRICT;

-- Devices that were heard: by whatever they sent, not only by their leases.
CREATE TABLE device (
    -- htype, then chaddr.
    hw            BLOB PRIMARY KEY CHECK (length(hw) BETWEEN 1 AND 17),
    first_wall_ms INTEGER NOT NULL,
    last_wall_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- In which hours of a day (UTC) a device was heard; 31 days are kept.
CREATE TABLE presence (
    hw    BLOB NOT NULL CHECK (length(hw) BETWEEN 1 AND 17),
    -- Days since 1970.
    day   INTEGER NOT NULL CHECK (day >= 0),
    -- Bit n: the hour n.
    hours INTEGER NOT NULL CHECK (hours BETWEEN 1 AND 16777215),
    PRIMARY KEY (hw, day)
) STRICT, WITHOUT ROWID;
