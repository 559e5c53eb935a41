from django.db import migrations

GRANT = """
GRANT USAGE ON SCHEMA public TO huntaze_app, huntaze_system;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO huntaze_app, huntaze_system;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO huntaze_app, huntaze_system;
GRANT SELECT ON django_migrations TO huntaze_app, huntaze_system;
"""


class Migration(migrations.Migration):
    """Before every table: what the application's two roles may do with the tables that follow."""

    initial = True
    run_before = [
        ("contenttypes", "0001_initial"),
        ("auth", "0001_initial"),
        ("sessions", "0001_initial"),
        ("admin", "0001_initial"),
        ("tenants", "0001_initial"),
    ]
    dependencies = []
    operations = [migrations.RunSQL(GRANT, reverse_sql=migrations.RunSQL.noop)]
