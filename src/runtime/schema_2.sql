-- Version 2: a pair. What a node must know of its twin after a restart, and the settings as both hold them.

-- A CHECK cannot be altered, so the table is made anew: with the kind 'twin'.
CREATE TABLE setting_2 (
    kind TEXT NOT NULL CHECK (kind IN ('server', 'lease', 'twin', 'options', 'custom-options', 'subnet')),
    key  TEXT NOT NULL CHECK ((key <> '') = (kind = 'subnet')),
    body TEXT NOT NULL CHECK (json_valid(body)),
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
INSERT INTO setting_2 SELECT kind, key, body FROM setting;
DROP TABLE setting;
ALTER TABLE setting_2 RENAME TO setting;

-- A setting as both twins hold it; `setting` and `reservation` have what is in force.
CREATE TABLE entry (
    -- The record's key, as JSON.
    key            TEXT PRIMARY KEY CHECK (json_valid(key)),
    version_first  INTEGER NOT NULL CHECK (version_first >= 0),
    version_second INTEGER NOT NULL CHECK (version_second >= 0),
    -- NULL: removed, or at its default.
    body           TEXT CHECK (json_valid(body)),
    -- What contradicts it; NULL: nothing does.
    other          TEXT CHECK (json_type(other) = 'object'),
    CHECK (version_first > 0 OR version_second > 0)
) STRICT, WITHOUT ROWID;

-- The non-owner gave up this exact record: until it sees a newer one, it gives the address to nobody.
CREATE TABLE given_up (
    address        INTEGER PRIMARY KEY CHECK (address BETWEEN 0 AND 4294967295),
    generation     INTEGER NOT NULL CHECK (generation BETWEEN 0 AND 4294967295),
    version_first  INTEGER NOT NULL CHECK (version_first >= 0),
    version_second INTEGER NOT NULL CHECK (version_second >= 0)
) STRICT;

-- No row: no twin.
CREATE TABLE pair (
    id                 INTEGER PRIMARY KEY CHECK (id = 1),
    memory             TEXT NOT NULL CHECK (json_type(memory) = 'object'),
    -- Since when the twin is known to be down. Node time, as in `binding`; so it is no part of `memory`.
    partner_down_ms    INTEGER CHECK (partner_down_ms >= 0),
    partner_down_epoch INTEGER REFERENCES epoch (number),
    CHECK ((partner_down_ms IS NULL) = (partner_down_epoch IS NULL))
) STRICT;
