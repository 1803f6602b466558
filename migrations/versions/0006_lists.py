"""Lists that take the same time however long they are, by counts that are kept instead of counting at every request.

A *shelf* is what one combination of filters finds: everything, everything of a subject, of a subject and an age range,
and so on. Each shelf is cut into *stretches*, runs of up to a few thousand items of one priority in the order of their
ids, and ``library_stretch`` says how many items each has. The sum is the list's total. Adding up in order tells in
which stretch a page begins, and only that stretch is read.

Writers never touch these counts, because two of them would wait for each other, or deadlock. They append to
``library_moved`` what came and went, in the transaction in which it did. Readers add that up, too, and from time to
time `library_fold` works it into the stretches. All of it follows ``library_search``, which has what is needed of an
item: its combination of filters (`kind`), its priority, and whether it is shown.
"""

import itertools

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MARK = "Added by the library server"
FILTERS = ("subject_area", "age_range", "content_type", "difficulty_level")
STRETCH = 2000  # items; a stretch that has come to twice as many is cut
MANY = 5000
LEAST, MOST = "'-9223372036854775808'::bigint", "9223372036854775807"  # before and after every id

# Each subset of the filters is left out once: one kind stands on sixteen shelves.
_SUBSETS = ", ".join(
    f"('{{{','.join(names)}}}'::text[])" for size in range(5) for names in itertools.combinations(FILTERS, size)
)

TABLES = {
    "library_shelf": """
        CREATE TABLE library_shelf (id integer GENERATED ALWAYS AS IDENTITY, filters jsonb NOT NULL,
          CONSTRAINT pk_library_shelf PRIMARY KEY (id))""",
    # `first`: the id that it begins with; the first of its priority begins before all ids.
    "library_stretch": """
        CREATE TABLE library_stretch (shelf integer NOT NULL, active boolean NOT NULL, priority bigint NOT NULL,
          first bigint NOT NULL, count bigint NOT NULL,
          CONSTRAINT pk_library_stretch PRIMARY KEY (shelf, active, priority, first))""",
    # `sign`: 1 where they came, -1 where they went.
    "library_moved": """
        CREATE TABLE library_moved (id bigint GENERATED ALWAYS AS IDENTITY, kind integer NOT NULL,
          active boolean NOT NULL, priority bigint NOT NULL, sign integer NOT NULL, ids bigint[] NOT NULL,
          CONSTRAINT pk_library_moved PRIMARY KEY (id))""",
}
INDEXES = {
    "ix_library_shelf": "library_shelf USING hash (filters)",  # which bounds no length
    "ix_library_kind_filters": "library_kind USING gin (filters jsonb_path_ops)",
    # the order of all items, and of each kind
    "ix_library_search_list": "library_search (priority, id) INCLUDE (active)",
    "ix_library_search_kind": "library_search (kind, priority, id) INCLUDE (active)",
}

FUNCTIONS = {
    # Only the triggers of search write there, which run as the owner.
    "library_note_moves()": """
        CREATE FUNCTION library_note_moves() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF TG_OP = 'UPDATE' THEN
            INSERT INTO {schema}.library_moved (kind, active, priority, sign, ids) VALUES
              (OLD.kind, OLD.active IS NOT FALSE, OLD.priority, -1, ARRAY[OLD.id]),
              (NEW.kind, NEW.active IS NOT FALSE, NEW.priority, 1, ARRAY[NEW.id]);
          ELSE
            INSERT INTO {schema}.library_moved (kind, active, priority, sign, ids)
            SELECT kind, active IS NOT FALSE, priority, CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END, array_agg(id)
            FROM library_rows GROUP BY 1, 2, 3;
          END IF;
          RETURN NULL;
        END $$""",
    # The shelves that a kind stands on, by their filters.
    "library_shelves(jsonb)": f"""
        CREATE FUNCTION library_shelves(filters jsonb) RETURNS SETOF jsonb LANGUAGE sql IMMUTABLE AS $$
          SELECT filters - left_out FROM (VALUES {_SUBSETS}) AS subset (left_out)
        $$""",
    "library_make_shelves()": """
        CREATE FUNCTION library_make_shelves() RETURNS void LANGUAGE sql AS $$
          INSERT INTO library_shelf (filters)
          SELECT DISTINCT shelf FROM library_kind, library_shelves(filters) shelf
          WHERE NOT EXISTS (SELECT FROM library_shelf known WHERE known.filters = shelf)
        $$""",
    "library_cut()": f"""
        CREATE FUNCTION library_cut() RETURNS void LANGUAGE sql AS $$
          WITH long AS (DELETE FROM library_stretch WHERE count > 2 * {STRETCH} RETURNING *)
          INSERT INTO library_stretch
          SELECT shelf, active, priority, CASE part WHEN 0 THEN first ELSE min(id) END, count(*)
          FROM long CROSS JOIN LATERAL (
            SELECT s.id, (row_number() OVER (ORDER BY s.id) - 1) / {STRETCH} AS part
            FROM library_search s
            WHERE s.priority = long.priority AND (s.active IS NOT FALSE) = long.active AND s.id >= long.first
              AND s.id < coalesce((SELECT min(next.first) FROM library_stretch next
                                   WHERE (next.shelf, next.active, next.priority)
                                       = (long.shelf, long.active, long.priority) AND next.first > long.first), {MOST})
              AND s.kind = ANY (ARRAY(SELECT k.id FROM library_kind k JOIN library_shelf
                                      ON k.filters @> library_shelf.filters WHERE library_shelf.id = long.shelf))
          ) parts GROUP BY shelf, active, priority, first, part
        $$""",
    # Works what was appended into the counts. For one at a time, in a transaction that is REPEATABLE READ: all its
    # statements must see the same of what others append meanwhile.
    "library_fold()": f"""
        CREATE FUNCTION library_fold() RETURNS void LANGUAGE plpgsql AS $$
        DECLARE
          known bigint := (SELECT coalesce(sum(count), 0) FROM library_stretch
                           WHERE shelf = (SELECT id FROM library_shelf WHERE filters = '{{}}'));
        BEGIN
          IF (SELECT sum(cardinality(ids)) FROM library_moved) > {MANY} + known / 8 THEN
            PERFORM library_recount();  -- which is quicker then
            RETURN;
          END IF;
          PERFORM library_make_shelves();
          WITH taken AS (DELETE FROM library_moved RETURNING *),
          moved AS (SELECT kind, active, priority, item AS id, sum(sign) AS count FROM taken, unnest(ids) item
                    GROUP BY kind, active, priority, item HAVING sum(sign) <> 0),
          kinds AS (SELECT k.id AS kind, s.id AS shelf
                    FROM library_kind k, library_shelves(k.filters) of JOIN library_shelf s ON s.filters = of
                    WHERE k.id IN (SELECT kind FROM library_moved)),
          placed AS (SELECT k.shelf, m.active, m.priority, m.count, coalesce((
                       SELECT max(s.first) FROM library_stretch s WHERE s.first <= m.id
                       AND (s.shelf, s.active, s.priority) = (k.shelf, m.active, m.priority)), {LEAST}) AS first
                     FROM moved m JOIN kinds k USING (kind))
          INSERT INTO library_stretch
          SELECT shelf, active, priority, first, sum(count) FROM placed GROUP BY shelf, active, priority, first
          ON CONFLICT ON CONSTRAINT pk_library_stretch DO UPDATE SET count = library_stretch.count + excluded.count;
          DELETE FROM library_stretch WHERE count = 0;
          PERFORM library_cut();
        END $$""",
    # Counts anew, whatever was there, in one walk: by kind, in blocks of ids so wide that few hold more items of a
    # priority than a stretch; from them by shelf; and runs of blocks are stretches. Of three times the root of what is
    # on a shelf: to walk to a stretch and to read in it then cost alike. For a transaction like the fold's.
    "library_recount()": f"""
        CREATE FUNCTION library_recount() RETURNS void LANGUAGE plpgsql SET work_mem = '64MB' AS $$
        DECLARE
          width integer := (SELECT min(bits) FROM (
            SELECT floor(log(2, {STRETCH} * (max(id) - min(id) + 1) / count(*)))::integer AS bits
            FROM library_search GROUP BY active IS NOT FALSE, priority) spread);
        BEGIN
          DELETE FROM library_moved;
          DELETE FROM library_stretch;
          PERFORM library_make_shelves();
          WITH kinds AS MATERIALIZED (
            SELECT k.id AS kind, s.id AS shelf
            FROM library_kind k, library_shelves(k.filters) of JOIN library_shelf s ON s.filters = of),
          blocks AS (
            SELECT kind, active IS NOT FALSE AS active, priority, id >> width AS block, count(*)::integer
            FROM library_search GROUP BY 1, 2, 3, 4),
          shelved AS (
            SELECT shelf, active, priority, block, sum(count) AS count
            FROM blocks JOIN kinds USING (kind) GROUP BY 1, 2, 3, 4),
          numbered AS (
            SELECT *, div(sum(count) OVER (PARTITION BY shelf, active, priority ORDER BY block) - count,
                          least({STRETCH}, 3 * sqrt(sum(count) OVER (PARTITION BY shelf)))::integer)
                      AS part FROM shelved)
          INSERT INTO library_stretch
          SELECT shelf, active, priority, CASE part WHEN 0 THEN {LEAST} ELSE min(block) << width END, sum(count)
          FROM numbered GROUP BY shelf, active, priority, part
          ORDER BY shelf, active, priority, part;  -- so that those of a shelf lie together
          PERFORM library_cut();
        END $$""",
    # A page of the items that have the values `asked` of filters and one of the `states` of `active`: the ids of up to
    # `most` of them after the first `skip`, in order, and how many there are in all. Walks the priorities, then the
    # stretches of those that the page lies in and, among them in the order of ids, what is not worked in yet. Both
    # states together know the stretches' priorities alone.
    "library_page(jsonb, boolean[], bigint, integer)": f"""
        CREATE FUNCTION library_page(asked jsonb, states boolean[], skip bigint, most integer,
                                     OUT total bigint, OUT ids bigint[]) LANGUAGE plpgsql STABLE AS $$
        DECLARE
          wanted integer := (SELECT id FROM library_shelf WHERE filters = asked);
          kinds integer[] := CASE WHEN asked <> '{{}}'
                             THEN ARRAY(SELECT id FROM library_kind WHERE filters @> asked) END;
          lowest bigint;  -- the priorities that the page begins in
          highest bigint;  -- and ends in
          step record;
          here record;
          reached bigint;  -- how many come before this step
          before bigint;  -- and before the stretch `here`, to which the steps since then belong
          until bigint;
          passed bigint;
        BEGIN
          SELECT coalesce(sum(count), 0), coalesce(sum(count) FILTER (WHERE upto <= skip), 0),
                 min(priority) FILTER (WHERE upto > skip),
                 coalesce(min(priority) FILTER (WHERE upto >= skip + most), {MOST})
          INTO total, reached, lowest, highest
          FROM (SELECT priority, sum(count) AS count, sum(sum(count)) OVER (ORDER BY priority) AS upto FROM (
            SELECT priority, count FROM library_stretch WHERE shelf = wanted AND active = ANY (states)
            UNION ALL
            SELECT priority, sign * cardinality(m.ids) FROM library_moved m
            WHERE active = ANY (states) AND (kinds IS NULL OR kind = ANY (kinds))) counts GROUP BY priority) levels;
          ids := '{{}}';
          before := reached;
          SELECT NULL::bigint AS priority, NULL::bigint AS first INTO here;
          FOR step IN
            SELECT * FROM (
              SELECT priority, CASE WHEN cardinality(states) = 1 THEN first ELSE {LEAST} END AS first, count,
                     true AS begins
              FROM library_stretch WHERE shelf = wanted AND active = ANY (states)
              UNION ALL
              SELECT priority, moves.first, moves.count, moves.begins FROM library_moved m CROSS JOIN LATERAL (
                SELECT {LEAST} AS first, 0 AS count, true AS begins
                UNION ALL SELECT item, m.sign, false FROM unnest(m.ids) item) moves
              WHERE m.active = ANY (states) AND (kinds IS NULL OR m.kind = ANY (kinds))
            ) steps WHERE priority BETWEEN lowest AND highest
            UNION ALL
            SELECT NULL, NULL, 0, true  -- the end
            ORDER BY priority, first, begins DESC
          LOOP
            IF step.begins AND (step.priority, step.first) IS DISTINCT FROM (here.priority, here.first) THEN
              IF reached > skip AND before < reached THEN
                until := CASE WHEN step.priority = here.priority THEN step.first ELSE {MOST} END;
                passed := greatest(skip - before, 0);
                IF kinds IS NULL THEN  -- in rows, lest PostgreSQL take the primary key and read all priorities
                  ids := ids || ARRAY(
                    SELECT s.id FROM library_search s
                    WHERE (s.priority, s.id) >= (here.priority, here.first)
                      AND (s.priority, s.id) < (here.priority, until) AND (s.active IS NOT FALSE) = ANY (states)
                    ORDER BY s.priority, s.id OFFSET passed LIMIT most - cardinality(ids));
                ELSE
                  ids := ids || ARRAY(
                    SELECT found.id FROM unnest(kinds) one (kind) CROSS JOIN LATERAL (
                      SELECT s.id FROM library_search s
                      WHERE s.kind = one.kind AND s.priority = here.priority AND s.id >= here.first AND s.id < until
                        AND (s.active IS NOT FALSE) = ANY (states)
                      ORDER BY s.id LIMIT passed + most - cardinality(ids)) found
                    ORDER BY found.id OFFSET passed LIMIT most - cardinality(ids));
                END IF;
              END IF;
              before := reached;
              here := step;
            END IF;
            reached := reached + step.count;
            EXIT WHEN cardinality(ids) >= most;
          END LOOP;
        END $$""",
}
CHANGED = "(OLD.kind, OLD.active, OLD.priority, OLD.id) IS DISTINCT FROM (NEW.kind, NEW.active, NEW.priority, NEW.id)"
TRIGGERS = {
    "library_note_insert": "INSERT ON library_search REFERENCING NEW TABLE AS library_rows FOR EACH STATEMENT",
    "library_note_delete": "DELETE ON library_search REFERENCING OLD TABLE AS library_rows FOR EACH STATEMENT",
    "library_note_update": f"UPDATE ON library_search FOR EACH ROW WHEN ({CHANGED})",
}


def upgrade() -> None:
    for name, statement in TABLES.items():
        op.execute(statement)
        op.execute(f"COMMENT ON TABLE {name} IS '{MARK}'")
    bind = op.get_bind()
    schema = bind.execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    op.execute("SET LOCAL check_function_bodies = off")  # some name others that come later
    for statement in FUNCTIONS.values():
        op.execute(statement.replace("{schema}", schema))
    op.execute("SET LOCAL check_function_bodies = on")
    for name, event in TRIGGERS.items():  # from here on nobody writes until we are done
        op.execute(f"CREATE TRIGGER {name} AFTER {event} EXECUTE FUNCTION library_note_moves()")
    for name, where in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {where}")
    op.execute("SELECT library_recount()")
    op.execute(f"ANALYZE {', '.join(TABLES)}")


def downgrade() -> None:
    for name in TRIGGERS:
        op.execute(f"DROP TRIGGER IF EXISTS {name} ON library_search")
    for name in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION IF EXISTS {name}")
    for name in INDEXES:
        op.execute(f"DROP INDEX IF EXISTS {name}")
    for name in TABLES:
        op.execute(f"DROP TABLE IF EXISTS {name}")
