#!/bin/sh
# Runs once, on an empty data directory, as the superuser: the roles and the database of the site.
# "outbox_owner" owns the tables and migrates them. "outbox" reads and writes rows, nothing else.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set owner_password="$DATABASE_OWNER_PASSWORD" --set password="$DATABASE_PASSWORD" <<'SQL'
CREATE ROLE outbox_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE outbox LOGIN PASSWORD :'password' CONNECTION LIMIT 80;
CREATE DATABASE outbox OWNER outbox_owner;
REVOKE ALL ON DATABASE outbox FROM PUBLIC;
GRANT CONNECT ON DATABASE outbox TO outbox;
\connect outbox
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO outbox_owner;
GRANT USAGE ON SCHEMA public TO outbox;
SQL
