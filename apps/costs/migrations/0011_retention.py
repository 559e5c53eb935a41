from django.db import migrations

# Dropping a partition locks the whole ledger, so it doesn't wait for long: behind it, all that write would. The
# lock comes before the questions, and each of them is answered by an index of a few rows. Whoever is at the
# roll-ups holds the watermark, and counts on the ledger's keeping what it has. The oldest goes first, so that
# what is kept has no gaps, and one at a time, so that the lock is short.
_DROP = """
CREATE FUNCTION costs_oldest_ledger_month() RETURNS date
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT min(to_date(right(inhrelid::regclass::text, 7), 'YYYY_MM'))
    FROM pg_inherits WHERE inhparent = 'public.costs_ledgerentry'::regclass
$$;
REVOKE ALL ON FUNCTION costs_oldest_ledger_month() FROM PUBLIC;
CREATE FUNCTION drop_oldest_ledger_partition(keep_since date, OUT partition text, OUT outcome text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
SET lock_timeout = '200ms' AS $$
DECLARE
    month date := costs_oldest_ledger_month();
    mark record;
    there boolean;
BEGIN
    IF keep_since IS NULL OR keep_since > date_trunc('month', now()) - interval '1 month' THEN
        RAISE EXCEPTION 'the present month and the one before it are always kept, not only what is since %',
            keep_since;
    END IF;
    outcome := 'nothing';
    IF month IS NULL OR (month + interval '1 month')::date > keep_since THEN
        RETURN;
    END IF;

    partition := format('costs_ledgerentry_%s', to_char(month, 'YYYY_MM'));
    SELECT ledger_generation, reached INTO mark FROM public.costs_rollupwatermark FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        outcome := 'busy';
        RETURN;
    END IF;
    BEGIN
        LOCK TABLE ONLY public.costs_ledgerentry IN ACCESS EXCLUSIVE MODE;
        -- Another run may have dropped it before we had the watermark.
        IF costs_oldest_ledger_month() IS DISTINCT FROM month THEN
            outcome := 'busy';
            RETURN;
        END IF;
        EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', partition);

        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I WHERE ledger_generation = %s AND txid >= $1)',
            partition, mark.ledger_generation) INTO there USING mark.reached;
        IF there THEN
            outcome := 'not rolled up';
            RETURN;
        END IF;
        -- It will be entered in that month when it is settled.
        SELECT EXISTS (SELECT FROM public.costs_hold AS hold
            WHERE hold.state = 'held' AND hold.occurred_at < (month + interval '1 month')) INTO there;
        IF there THEN
            outcome := 'held';
            RETURN;
        END IF;
        EXECUTE format('DROP TABLE public.%I', partition);
        outcome := 'dropped';
    EXCEPTION WHEN lock_not_available THEN
        outcome := 'busy';
    END;
END
$$;
REVOKE ALL ON FUNCTION drop_oldest_ledger_partition(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_oldest_ledger_partition(date) TO huntaze_system;
"""


class Migration(migrations.Migration):
    """Months of the ledger that have served their time go as a whole."""

    dependencies = [("costs", "0010_display_currencies")]
    operations = [
        migrations.RunSQL(
            _DROP,
            reverse_sql=[
                "DROP FUNCTION drop_oldest_ledger_partition(date)",
                "DROP FUNCTION costs_oldest_ledger_month()",
            ],
        ),
    ]
