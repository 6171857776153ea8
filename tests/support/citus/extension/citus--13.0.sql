-- The functions and the catalogue of Citus that Traitbase uses, with the same names, arguments and objections.
-- Shards are partitions by hash: what a sharded table cannot do for want of a key, these cannot do either.

CREATE TABLE pg_dist_partition (
    logicalrelid regclass PRIMARY KEY,
    partmethod "char" NOT NULL,
    partkey text,
    colocationid integer NOT NULL,
    repmodel "char" NOT NULL
);

CREATE SEQUENCE colocation_groups;

CREATE FUNCTION column_to_column_name(table_name regclass, column_var_text text) RETURNS text
    LANGUAGE sql AS 'SELECT column_var_text';

CREATE FUNCTION citus_is_coordinator() RETURNS boolean
    LANGUAGE sql AS $$ SELECT current_setting('played.is_worker', true) IS DISTINCT FROM 'on' $$;

CREATE FUNCTION citus_get_active_worker_nodes(OUT node_name text, OUT node_port bigint) RETURNS SETOF record
    LANGUAGE sql AS $$ VALUES ('one'::text, 5432::bigint), ('two', 5432) $$;

CREATE FUNCTION check_not_distributed(table_name regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_dist_partition WHERE logicalrelid = table_name) THEN
        RAISE EXCEPTION 'table "%" is already distributed', table_name;
    END IF;
    IF current_setting('played.stops_at', true) = table_name::text THEN
        RAISE EXCEPTION 'could not connect to worker "two"';
    END IF;
END $$;

CREATE FUNCTION create_distributed_table(
    table_name regclass, distribution_column text, distribution_type text DEFAULT 'hash',
    colocate_with text DEFAULT 'default', shard_count integer DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := (SELECT relname FROM pg_class WHERE oid = table_name);
    apart integer;
BEGIN
    PERFORM check_not_distributed(table_name);
    IF shard_count IS NOT NULL AND colocate_with NOT IN ('default', 'none') THEN
        RAISE EXCEPTION 'Cannot use colocate_with with a table and shard_count at the same time';
    END IF;
    IF colocate_with IN ('default', 'none') THEN
        apart := nextval('colocation_groups');
    ELSE
        SELECT colocationid INTO apart FROM pg_dist_partition
            WHERE logicalrelid = colocate_with::regclass AND partmethod = 'h';
        IF apart IS NULL THEN
            RAISE EXCEPTION 'relation % is not distributed', colocate_with;
        END IF;
    END IF;
    EXECUTE format('ALTER TABLE %I RENAME TO %I', name, name || '_local');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY HASH (%I)',
        name, name || '_local', distribution_column);
    FOR part IN 0..3 LOOP
        EXECUTE format('CREATE TABLE played.%I PARTITION OF %I FOR VALUES WITH (MODULUS 4, REMAINDER %s)',
            name || '_' || part, name, part);
    END LOOP;
    EXECUTE format('INSERT INTO %I SELECT * FROM %I', name, name || '_local');
    EXECUTE format('ALTER TABLE %I SET SCHEMA played', name || '_local');
    INSERT INTO pg_dist_partition VALUES (name::regclass, 'h', distribution_column, apart, 'c');
END $$;

CREATE FUNCTION create_reference_table(table_name regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_not_distributed(table_name);
    INSERT INTO pg_dist_partition VALUES (table_name, 'n', NULL, 0, 't');
END $$;

CREATE FUNCTION truncate_local_data_after_distributing_table(function_table_name regclass) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_dist_partition WHERE logicalrelid = function_table_name) THEN
        RAISE EXCEPTION 'supplied parameter is not a distributed relation';
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS played.%I',
        (SELECT relname FROM pg_class WHERE oid = function_table_name) || '_local');
END $$;
