-- The archive, version 1. Run as one transaction by the role that owns the archive.

-- A chain is what one node recorded of one session. The session's id is the node's own, so that hashes stay what they were.
CREATE TABLE nightaudit.chains (
    session        bytea PRIMARY KEY CHECK (length(session) = 16),
    node           text NOT NULL,
    -- The session as the node has it: name, environment, note, declaration, what it knows to be missing.
    state          jsonb NOT NULL,
    -- The last exchange here: its number, its place in time, its id, its hash.
    last           bigint NOT NULL DEFAULT 0,
    written        bigint NOT NULL DEFAULT 0,
    last_id        bytea,
    hash           bytea,
    exchanges      bigint NOT NULL DEFAULT 0,
    bytes          bigint NOT NULL DEFAULT 0,
    first_started  bigint,
    last_started   bigint,
    -- Ranges of numbers that the node had recorded and could no longer read.
    lost           jsonb NOT NULL DEFAULT '[]',
    -- What retention dropped: how many exchanges, and the highest number among them.
    dropped        bigint NOT NULL DEFAULT 0,
    dropped_to     bigint NOT NULL DEFAULT 0
);

-- Times are microseconds since 1970. Collation C: letters are compared as the program compares them.
CREATE TABLE nightaudit.exchanges (
    written       bigint NOT NULL,
    session       bytea NOT NULL,
    sequence      bigint NOT NULL,
    id            bytea NOT NULL,
    -- The last eight letters of the id, the last one most significant: people name exchanges by the ends of their ids.
    tail          bigint NOT NULL,
    node          text COLLATE "C" NOT NULL,
    environment   text COLLATE "C" NOT NULL,
    incoming      boolean NOT NULL,
    started       bigint NOT NULL,
    duration      bigint NOT NULL,
    operation     text COLLATE "C" NOT NULL,
    status        smallint,
    outcome       smallint NOT NULL,
    wrong         boolean NOT NULL,
    delayed       boolean NOT NULL,
    client        text COLLATE "C",
    access_token  bytea,
    client_token  bytea,
    request_id    text COLLATE "C",
    hash          bytea NOT NULL,
    size          integer NOT NULL,
    record        bytea NOT NULL,
    PRIMARY KEY (written, session, sequence)
) PARTITION BY RANGE (written);

-- Records are compressed already.
ALTER TABLE nightaudit.exchanges ALTER COLUMN record SET STORAGE EXTERNAL;

CREATE INDEX exchanges_session ON nightaudit.exchanges (session, written, sequence);
CREATE INDEX exchanges_id ON nightaudit.exchanges (id);
CREATE INDEX exchanges_tail ON nightaudit.exchanges (tail);
CREATE INDEX exchanges_started ON nightaudit.exchanges (started);
CREATE INDEX exchanges_operation ON nightaudit.exchanges (lower(operation), written);
CREATE INDEX exchanges_status ON nightaudit.exchanges (status, written);
CREATE INDEX exchanges_wrong ON nightaudit.exchanges (written) WHERE wrong;
CREATE INDEX exchanges_access_token ON nightaudit.exchanges (access_token, written) WHERE access_token IS NOT NULL;
CREATE INDEX exchanges_client_token ON nightaudit.exchanges (client_token, written) WHERE client_token IS NOT NULL;
CREATE INDEX exchanges_request_id ON nightaudit.exchanges (request_id) WHERE request_id IS NOT NULL;

-- What arrived together, numbered in the order in which readers could see it: followers go by this.
CREATE TABLE nightaudit.batches (
    arrival        bigint PRIMARY KEY,
    session        bytea NOT NULL,
    first          bigint NOT NULL,
    last           bigint NOT NULL,
    first_written  bigint NOT NULL,
    last_written   bigint NOT NULL,
    shipped_by     name NOT NULL DEFAULT session_user,
    shipped_at     timestamptz NOT NULL DEFAULT now()
);
CREATE SEQUENCE nightaudit.arrivals;
CREATE INDEX batches_session ON nightaudit.batches (session, last);

-- Counts how often exchanges were dropped: numbers of matches from before name other exchanges now.
CREATE TABLE nightaudit.retention (generation bigint NOT NULL);
INSERT INTO nightaudit.retention VALUES (1);

-- The partition, a week from Monday 00:00 UTC, of each of these times.
CREATE FUNCTION nightaudit.make_partitions(times bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    week constant bigint := 604800000000;
    -- The first Monday after 1970 began, less a week.
    monday constant bigint := -259200000000;
    begins bigint;
    name text;
BEGIN
    FOR begins IN
        SELECT DISTINCT monday + week * floor((t - monday)::numeric / week)::bigint FROM unnest(times) AS t
    LOOP
        name := 'exchanges_' || to_char(to_timestamp(begins / 1000000) AT TIME ZONE 'UTC', 'YYYYMMDD');
        IF to_regclass('nightaudit.' || name) IS NULL THEN
            PERFORM pg_advisory_xact_lock(7308613720163641441);
            EXECUTE format(
                'CREATE TABLE IF NOT EXISTS nightaudit.%I PARTITION OF nightaudit.exchanges FOR VALUES FROM (%s) TO (%s)',
                name, begins, begins + week);
        END IF;
    END LOOP;
END $$;

-- What a node needs to go on: where each of these chains ends here.
CREATE FUNCTION nightaudit.marks(sessions bytea[])
RETURNS TABLE (session bytea, node text, state jsonb, last bigint, written bigint, last_id bytea, hash bytea, exchanges bigint, lost jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.session, c.node, c.state, c.last, c.written, c.last_id, c.hash, c.exchanges + c.dropped, c.lost
    FROM nightaudit.chains c WHERE c.session = ANY (sessions)
$$;

-- Begins a chain, or says what has become of its session.
CREATE FUNCTION nightaudit.describe(by_node text, of_session bytea, new_state jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO nightaudit.chains AS c (session, node, state) VALUES (of_session, by_node, new_state)
    ON CONFLICT (session) DO UPDATE SET state = excluded.state WHERE c.node = excluded.node;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the session belongs to another node' USING ERRCODE = 'NA002';
    END IF;
END $$;

-- Appends exchanges to a chain, all or none, and only where it ends. Returns the number of the chain's last exchange.
CREATE FUNCTION nightaudit.ship(
    by_node text, to_session bytea, after bigint, new_lost jsonb, new_id bytea,
    sequences bigint[], times bigint[], ids bytea[], tails bigint[], environments text[], incomings boolean[],
    starts bigint[], durations bigint[], operations text[], statuses smallint[], outcomes smallint[], wrongs boolean[],
    delays boolean[], clients text[], access_tokens bytea[], client_tokens bytea[], request_ids text[], hashes bytea[],
    records bytea[]
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    chain nightaudit.chains;
    total constant int := cardinality(sequences);
BEGIN
    SELECT * INTO chain FROM nightaudit.chains WHERE session = to_session FOR UPDATE;
    IF chain.node IS DISTINCT FROM by_node THEN
        RAISE EXCEPTION 'the session belongs to another node' USING ERRCODE = 'NA002';
    END IF;
    -- It was here already: the answer to an earlier attempt was lost.
    IF chain.last >= sequences[total] THEN
        RETURN chain.last;
    END IF;
    IF chain.last <> after OR sequences[1] <= after THEN
        RAISE EXCEPTION 'the chain ends at %', chain.last USING ERRCODE = 'NA003';
    END IF;
    PERFORM nightaudit.make_partitions(times);
    INSERT INTO nightaudit.exchanges (
        written, session, sequence, id, tail, node, environment, incoming, started, duration, operation, status, outcome,
        wrong, delayed, client, access_token, client_token, request_id, hash, size, record)
    SELECT t.written, to_session, t.sequence, t.id, t.tail, by_node, t.environment, t.incoming, t.started, t.duration,
        t.operation, t.status, t.outcome, t.wrong, t.delayed, t.client, t.access_token, t.client_token, t.request_id,
        t.hash, length(t.record), t.record
    FROM unnest(sequences, times, ids, tails, environments, incomings, starts, durations, operations, statuses, outcomes,
        wrongs, delays, clients, access_tokens, client_tokens, request_ids, hashes, records)
        AS t (sequence, written, id, tail, environment, incoming, started, duration, operation, status, outcome, wrong,
            delayed, client, access_token, client_token, request_id, hash, record);
    UPDATE nightaudit.chains SET
        last = sequences[total],
        written = times[total],
        last_id = new_id,
        hash = hashes[total],
        exchanges = chain.exchanges + total,
        bytes = chain.bytes + (SELECT sum(length(r)) FROM unnest(records) AS r),
        first_started = coalesce(chain.first_started, starts[1]),
        last_started = greatest(chain.last_started, (SELECT max(s) FROM unnest(starts) AS s)),
        lost = chain.lost || new_lost
    WHERE session = to_session;
    -- Numbered last, under a lock that is held until the batch can be seen: no follower passes a number that comes later.
    PERFORM pg_advisory_xact_lock(7308613720163641442);
    INSERT INTO nightaudit.batches (arrival, session, first, last, first_written, last_written)
    VALUES (nextval('nightaudit.arrivals'), to_session, sequences[1], sequences[total],
        times[1], times[total]);
    PERFORM pg_notify('nightaudit', '');
    RETURN sequences[total];
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA nightaudit FROM PUBLIC;
GRANT USAGE ON SCHEMA nightaudit TO nightaudit_node, nightaudit_reader;
GRANT SELECT ON nightaudit.migrations TO nightaudit_node, nightaudit_reader;
GRANT EXECUTE ON FUNCTION nightaudit.marks, nightaudit.describe, nightaudit.ship TO nightaudit_node;
GRANT SELECT ON nightaudit.chains, nightaudit.exchanges, nightaudit.batches, nightaudit.retention TO nightaudit_reader;
