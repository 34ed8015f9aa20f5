-- Version 1. The one database of a node; written by runtime/store only.
-- Times are milliseconds of node time as it was counted in the row's epoch; they are made comparable when they are read.

-- A boot of the machine. Ageing a whole epoch is one UPDATE here; no binding is rewritten.
CREATE TABLE epoch (
    number   INTEGER PRIMARY KEY CHECK (number >= 1),
    boot_id  TEXT NOT NULL,
    -- How long the machine was off before this epoch; NULL: not known (yet).
    slept_ms INTEGER CHECK (slept_ms >= 0)
) STRICT;

-- Where the timeline stood at the last commit.
CREATE TABLE clock (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    boot_id        TEXT NOT NULL,
    boottime_ms    INTEGER NOT NULL,
    node_ms        INTEGER NOT NULL CHECK (node_ms >= 0),
    epoch          INTEGER NOT NULL REFERENCES epoch (number),
    -- The last moment with a trusted wall clock.
    anchor_wall_ms INTEGER,
    anchor_node_ms INTEGER,
    anchor_epoch   INTEGER REFERENCES epoch (number),
    CHECK ((anchor_wall_ms IS NULL) = (anchor_epoch IS NULL) AND (anchor_node_ms IS NULL) = (anchor_epoch IS NULL))
) STRICT;

-- One record for an address, never deleted. Found by address only: the other indexes live in memory,
-- where they cost no write.
CREATE TABLE binding (
    address        INTEGER PRIMARY KEY CHECK (address BETWEEN 0 AND 4294967295),
    -- The identity: a tag byte, then as described in store/rows.rs.
    client         BLOB NOT NULL CHECK (length(client) >= 1),
    -- htype, then chaddr.
    hw             BLOB NOT NULL CHECK (length(hw) BETWEEN 1 AND 17),
    -- 0 free, 1 tentative, 2 leased, 3 released, 4 declined.
    state          INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
    since_ms       INTEGER NOT NULL CHECK (since_ms >= 0),
    -- NULL: never.
    expiry_ms      INTEGER CHECK (expiry_ms >= 0),
    epoch          INTEGER NOT NULL REFERENCES epoch (number),
    generation     INTEGER NOT NULL CHECK (generation BETWEEN 0 AND 4294967295),
    version_first  INTEGER NOT NULL CHECK (version_first >= 0),
    version_second INTEGER NOT NULL CHECK (version_second >= 0),
    host_name      TEXT CHECK (length(CAST(host_name AS BLOB)) BETWEEN 0 AND 255)
) STRICT;

CREATE TABLE reservation (
    kind            TEXT NOT NULL CHECK (kind IN ('mac', 'client-id', 'circuit-id')),
    -- The bytes by which the device is known; for a MAC htype first.
    identifier      BLOB NOT NULL CHECK (length(identifier) <= 255),
    address         INTEGER NOT NULL UNIQUE CHECK (address BETWEEN 0 AND 4294967295),
    name            TEXT CHECK (length(CAST(name AS BLOB)) <= 255),
    note            TEXT,
    options         TEXT NOT NULL CHECK (json_valid(options)),
    force_broadcast INTEGER NOT NULL CHECK (force_broadcast IN (0, 1)),
    echo_client_id  INTEGER NOT NULL CHECK (echo_client_id IN (0, 1)),
    UNIQUE (kind, identifier)
) STRICT;

-- Every other setting. `key` is empty where there is only one of the kind, else the network.
CREATE TABLE setting (
    kind TEXT NOT NULL CHECK (kind IN ('server', 'lease', 'options', 'custom-options', 'subnet')),
    key  TEXT NOT NULL CHECK ((key <> '') = (kind = 'subnet')),
    body TEXT NOT NULL CHECK (json_valid(body)),
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

-- Facts about this database. `restored`: made from a snapshot, at this moment; the node may have forgotten
-- promises (failover rule 12).
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
