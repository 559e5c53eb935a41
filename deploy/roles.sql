-- The three roles of Huntaze. Idempotent; PostgreSQL 15 and later; needs CREATEROLE and CREATEDB, not superuser.
-- It is run by the embedded PostgreSQL and by the tests; on a server of your own:
--
--   psql -d postgres -f deploy/roles.sql
--   \password huntaze_owner
--   \password huntaze_app
--   CREATE DATABASE huntaze OWNER huntaze_owner;
--   \connect huntaze
--   REVOKE CREATE ON SCHEMA public FROM PUBLIC;
--   CREATE EXTENSION IF NOT EXISTS vector;   -- as a superuser
--
-- huntaze_owner   owns the schema and runs migrations (DATABASE_OWNER_URL)
-- huntaze_app     is what the application logs in as (DATABASE_URL); sees what row-level policies let through
-- huntaze_system  is what it turns into, for one transaction, for work that crosses tenants; policies of its own
DO $$
DECLARE
    offender text;
BEGIN
    -- Two test runs on one server would otherwise create a role at the same moment.
    PERFORM pg_advisory_xact_lock(hashtext('huntaze roles'));

    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'huntaze_owner') THEN
        CREATE ROLE huntaze_owner LOGIN CREATEDB;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'huntaze_app') THEN
        CREATE ROLE huntaze_app LOGIN NOINHERIT;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'huntaze_system') THEN
        CREATE ROLE huntaze_system NOLOGIN NOINHERIT;
    END IF;

    SELECT string_agg(rolname, ', ') INTO offender FROM pg_roles
    WHERE rolname IN ('huntaze_owner', 'huntaze_app', 'huntaze_system') AND (rolsuper OR rolbypassrls);
    IF offender IS NOT NULL THEN
        RAISE EXCEPTION 'these roles must be neither SUPERUSER nor BYPASSRLS: %', offender;
    END IF;

    -- The application has to ask for the system role (SET ROLE); it never holds its rights unasked. Before
    -- version 16 that follows from huntaze_app being NOINHERIT.
    IF current_setting('server_version_num')::int >= 160000 THEN
        EXECUTE 'GRANT huntaze_system TO huntaze_app WITH INHERIT FALSE, SET TRUE';
    ELSE
        ALTER ROLE huntaze_app NOINHERIT;
        GRANT huntaze_system TO huntaze_app;
    END IF;
END
$$;
