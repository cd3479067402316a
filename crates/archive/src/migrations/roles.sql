-- The two roles that logins get: `CREATE ROLE kiosk LOGIN PASSWORD '…' IN ROLE nightaudit_node`.
-- If they are there already, whoever sets up the archive need not be allowed to create roles.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['nightaudit_node', 'nightaudit_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
    END LOOP;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    -- Another database of the same server was set up just now.
    NULL;
END $$;
CREATE SCHEMA IF NOT EXISTS nightaudit;
CREATE TABLE IF NOT EXISTS nightaudit.migrations (
    version     integer PRIMARY KEY,
    applied_at  timestamptz NOT NULL DEFAULT now()
);
