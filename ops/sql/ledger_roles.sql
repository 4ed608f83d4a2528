-- Least privilege for the PostgreSQL ledger. Run once as the owner of the schema `clearing`, after migrating:
--     psql "$DSN" -f ops/sql/ledger_roles.sql
--     CREATE ROLE sink_1 LOGIN PASSWORD '…' IN ROLE clearing_sink;
-- clearing_sink posts. It cannot touch a balance, an entry or a batch that is written, nor switch a guard off.
-- clearing_reader sees everything: verification, statements, dashboards.

DO $$
BEGIN
    CREATE ROLE clearing_sink NOLOGIN;
EXCEPTION WHEN duplicate_object THEN
    NULL;
END $$;
DO $$
BEGIN
    CREATE ROLE clearing_reader NOLOGIN;
EXCEPTION WHEN duplicate_object THEN
    NULL;
END $$;

REVOKE ALL ON SCHEMA clearing FROM PUBLIC;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA clearing FROM PUBLIC;
GRANT USAGE ON SCHEMA clearing TO clearing_sink, clearing_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA clearing TO clearing_sink, clearing_reader;

GRANT INSERT ON clearing.assets, clearing.accounts, clearing.batches, clearing.entries, clearing.progress
    TO clearing_sink;
GRANT UPDATE (overdraft) ON clearing.accounts TO clearing_sink;
GRANT UPDATE (confirmed_at) ON clearing.batches TO clearing_sink;
GRANT UPDATE (owner, epoch, owned_at, next_offset, sequence, hash, read_at) ON clearing.progress TO clearing_sink;
