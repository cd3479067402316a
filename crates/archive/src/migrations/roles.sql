-- The two roles that logins get: `CREATE ROLE kiosk LOGIN PASSWORD '…' IN ROLE nightaudit_node`.
DO $$ BEGIN
    CREATE ROLE nightaudit_node NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    CREATE ROLE nightaudit_reader NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
CREATE SCHEMA IF NOT EXISTS nightaudit;
CREATE TABLE IF NOT EXISTS nightaudit.migrations (
    version     integer PRIMARY KEY,
    applied_at  timestamptz NOT NULL DEFAULT now()
);
