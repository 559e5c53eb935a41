#!/bin/sh
# Run once by PostgreSQL's image on an empty volume: the roles, their passwords, the database.
set -eu
psql -v ON_ERROR_STOP=1 -U postgres -d postgres -f /huntaze/roles.sql
psql -v ON_ERROR_STOP=1 -U postgres -d postgres \
  -v owner="$HUNTAZE_OWNER_PASSWORD" -v app="$HUNTAZE_APP_PASSWORD" <<'SQL'
ALTER ROLE huntaze_owner PASSWORD :'owner';
ALTER ROLE huntaze_app PASSWORD :'app';
CREATE DATABASE huntaze OWNER huntaze_owner;
\connect huntaze
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO huntaze_owner;
SQL
