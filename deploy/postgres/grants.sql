-- Runs after each migration, as the owner of the tables: the rights of the role "outbox".
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO outbox;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO outbox;
-- The audit log can only grow, and the site does not change its migrations.
REVOKE UPDATE, DELETE ON outbox_auditentry FROM outbox;
REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM outbox;
