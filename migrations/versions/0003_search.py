"""Full-text search: a table beside the items that triggers keep, because ``content_library`` must not be written anew.

A generated column would rewrite every row under a lock that stops readers too, and an index on an expression would be
evaluated again for every hit. ``library_search`` has what counting and ranking read of an item: its filters, its place
in lists, its tsvector. The four filters are one number there, which ``library_kind`` explains, because every hit of a
search is counted by them. ``library_word`` has the words of the library, for near spellings.

The table is filled before the triggers are made; they then take a lock for the moment that it takes to catch up.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MARK = "Added by the library server"
EXTENSIONS = ("pg_trgm", "fuzzystrmatch")  # near spellings; search works without
TABLES = ("library_search", "library_kind", "library_word")
WORDS = range(1, 9)  # of a search, that are counted in titles
MANY = 100  # rows of an UPDATE
COMPLETIONS = 50  # of an unfinished word, that are looked for one by one
FAR = 1 << 22  # past every standing: a word in the title counts more

# An apostrophe separates no words: children leave it out.
_ASCII = r"regexp_replace(replace(lower(value), '''', ''), '[-!-/:-@[-`{-~]', ' ', 'g')"
_UNICODE = r"""
            regexp_replace(regexp_replace(translate(replace(replace(replace(
              lower(normalize(value, NFKD)), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'øłđı', 'oldi'),
              '[''\u0300-\u036f\u2018\u2019\u02bc]', '', 'g'),
              '[-!-/:-@[-`{-~\u0080-\u00bf\u2000-\u206f\u3000-\u303f]', ' ', 'g')"""

_WORDS = "".join(f"word_{n} text := words[{n}]; " for n in WORDS)
_IN_TITLE = "0"  # how many of the words; no more is asked than there are
for _n in reversed(WORDS):
    _IN_TITLE = f"CASE WHEN word_{_n} IS NULL THEN 0 ELSE (strpos(title, word_{_n}) > 0)::integer + {_IN_TITLE} END"


def _rank(of: str) -> str:
    return f"(SELECT ts_rank(document, asked) FROM library_search found WHERE found.ctid = {of}.place)"


FUNCTIONS = {
    # Lower case without accents and punctuation. `library_server/search/words.py` does the same to what is asked.
    "library_fold(text)": f"""
        CREATE FUNCTION library_fold(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
          SELECT CASE WHEN octet_length(value) = char_length(value) THEN {_ASCII} ELSE {_UNICODE} END
        $$""",
    # The texts inside a JSON column. What jsonb cannot hold (NUL, half a surrogate pair) is left out; where it cannot
    # be read at all (a number past every bound, thousands of levels), the JSON's own characters must do.
    "library_json_text(text)": r"""
        CREATE FUNCTION library_json_text(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
        BEGIN
          IF value IS NULL OR length(value) < 3 THEN
            RETURN '';
          END IF;
          value := jsonb_path_query_array(
            library_json_clean(value)::jsonb, 'strict $.** ? (@.type() == "string")')::text;
          RETURN CASE WHEN strpos(value, '\') > 0 THEN regexp_replace(value, '\\(u....|.)', ' ', 'g') ELSE value END;
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
          RETURN regexp_replace(value, '\\(u....|.)', ' ', 'g');
        END $$""",
    "library_json_title(text)": r"""
        CREATE FUNCTION library_json_title(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
        DECLARE
          title jsonb;
        BEGIN
          title := library_json_clean(value)::jsonb -> 'title';
          RETURN CASE WHEN jsonb_typeof(title) = 'string' THEN nullif(btrim(title #>> '{}'), '') END;
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
          RETURN NULL;
        END $$""",
    "library_json_clean(text)": r"""
        CREATE FUNCTION library_json_clean(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
          SELECT CASE WHEN value ~* '\\u(0000|d[89a-f])'
            THEN regexp_replace(value, '(\\\\)|\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\1', 'g')
            ELSE value END
        $$""",
    # What an item is called (the catalogue's own rule, but for the last resort: its type is no title to search).
    "library_title(text, text, text)": r"""
        CREATE FUNCTION library_title(title text, metadata text, path text) RETURNS text
        LANGUAGE sql IMMUTABLE AS $$
          SELECT left(coalesce(nullif(title, ''), library_json_title(metadata),
                               regexp_replace(path, '^.*/', ''), ''), 1000)
        $$""",
    # A title's words are in the document twice: as everything is, and as they are written behind "=". So what is
    # typed finds titles before a word is complete, and titles that are made of stop words. Every document has "=".
    "library_document(text, text, text, text)": r"""
        CREATE FUNCTION library_document(title text, objectives text, description text, metadata text)
        RETURNS tsvector LANGUAGE plpgsql IMMUTABLE AS $$
        DECLARE
          words text := '=' || array_to_string(tsvector_to_array(to_tsvector('pg_catalog.simple', title)), ' =');
        BEGIN
          IF length(words) > 100 THEN
            words := regexp_replace(words, '(=[^ ]{100})[^ ]+', '\1', 'g');
          END IF;
          RETURN setweight(to_tsvector('pg_catalog.english', title), 'A')
              || setweight(to_tsvector('pg_catalog.english', objectives), 'B')
              || setweight(to_tsvector('pg_catalog.english', description), 'C')
              || setweight(to_tsvector('pg_catalog.english', metadata), 'D')
              || array_to_tsvector('='::text || string_to_array(nullif(words, '='), ' '));
        END $$""",
    # What is typed, as a tsquery. The last word is completed if it is `unfinished`: to the library's words that begin
    # so, because looking for whatever has a `beginning` takes twice as long, and is left for where they are many or
    # none. Stop words alone are looked for in titles. Every entry has the lexeme "=", so that a search that only says
    # what it does not want has something to be looked up.
    "library_query(text, text, text, text)": f"""
        CREATE FUNCTION library_query(web text, unfinished text, beginning text, title text) RETURNS tsquery
        LANGUAGE plpgsql STABLE AS $$
        DECLARE
          query tsquery := websearch_to_tsquery('pg_catalog.english', web);
          last tsquery := websearch_to_tsquery('pg_catalog.english', unfinished);
          words text[];
        BEGIN
          IF numnode(query) = 0 THEN
            RETURN title::tsquery;
          ELSIF numnode(last) = 1 THEN
            words := ARRAY(SELECT word FROM (
              SELECT word FROM library_word WHERE word >= unfinished ORDER BY word LIMIT {COMPLETIONS}) next
              WHERE starts_with(word, unfinished));
            IF cardinality(words) BETWEEN 1 AND {COMPLETIONS - 1} THEN
              SELECT string_agg(quote_literal(lexeme), ' | ') || format(' | %L:*', '=' || unfinished) INTO beginning
              FROM unnest(tsvector_to_array(
                to_tsvector('pg_catalog.english', array_to_string(unfinished || words, ' ')))) lexeme;
              query := ts_rewrite(query, last, beginning::tsquery);
            ELSE
              query := ts_rewrite(query, last, last || beginning::tsquery);
            END IF;
          END IF;
          RETURN CASE WHEN querytree(query) = 'T' THEN '''='''::tsquery && query ELSE query END;
        END $$""",
    # The page of what `asked` finds among items with the values `chosen` of filters, and how many it finds of each
    # kind, whatever the filters. `state` is that of `active`, or missing for all; `words` begin with a space. The
    # `ranked` best by words in the title, priority and popularity are ordered by their text; the others follow.
    # One walk over what is found serves the counts, the order and the page; the documents are fetched from where they
    # were met. A connection keeps the plan of a function: to make one takes longer than to find a rare word.
    "library_find(tsquery, text[], boolean, jsonb, integer, bigint, integer)": f"""
        CREATE FUNCTION library_find(asked tsquery, words text[], state boolean, chosen jsonb,
                                     ranked integer, skip bigint, most integer,
                                     OUT counts json, OUT ids bigint[], OUT scores real[]) LANGUAGE plpgsql STABLE
        SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off SET work_mem = '32MB'
        AS $$
        DECLARE
          kinds integer[] := CASE WHEN chosen <> '{{}}'
                             THEN ARRAY(SELECT id FROM library_kind WHERE filters @> chosen) END;
          {_WORDS}
        BEGIN
          WITH hits AS MATERIALIZED (
            SELECT ctid AS place, id, kind, standing - {FAR} * ({_IN_TITLE}) AS standing
            FROM library_search WHERE document @@ asked AND (state IS NULL OR (active IS NOT FALSE) = state)),
          by_kind AS (SELECT kind, count(*) FROM hits GROUP BY kind),
          best AS (
            SELECT *, row_number() OVER () AS number FROM (
              SELECT place, id FROM hits WHERE kinds IS NULL OR kind IN (SELECT unnest(kinds))
              ORDER BY standing, id LIMIT greatest(ranked, skip + most)) ordered),
          page AS (
            SELECT *, CASE WHEN number <= ranked THEN {_rank("best")} ELSE -1 END AS rank
            FROM best ORDER BY rank DESC, number OFFSET skip LIMIT most)
          SELECT (SELECT json_agg(json_build_array(filters, count)) FROM by_kind JOIN library_kind ON id = kind),
                 coalesce(array_agg(id ORDER BY rank DESC, number), '{{}}'),
                 array_agg(CASE WHEN rank < 0 THEN {_rank("page")} ELSE rank END ORDER BY rank DESC, number)
          INTO counts, ids, scores FROM page;
        END $$""",
}

# In two steps, because PostgreSQL makes a function in SQL part of a statement only if what it is given is plain.
_TEXTS = """
    SELECT library_fold(title) AS title, left(library_fold(objectives), 50000) AS objectives,
           left(library_fold(description), 50000) AS description, left(library_fold(metadata), 50000) AS metadata
    FROM (SELECT library_title(n.title, n.content_metadata::text, n.file_path) AS title,
                 left(library_json_text(n.skill_objectives::text), 50000) AS objectives,
                 left(coalesce(n.description, ''), 50000) AS description,
                 left(library_json_text(n.content_metadata::text), 50000) AS metadata OFFSET 0) raw OFFSET 0"""
FILTERS = ("content_type", "subject_area", "age_range", "difficulty_level")
_FILTERS = "jsonb_build_object({})".format(", ".join(f"'{name}', n.{name}::text" for name in FILTERS))
# name: expression of the item `n`. Standing is priority (missing last), then popularity, the smaller the better.
# Whatever numbers others store fit, and popularity is in powers of two, so that a view seldom moves anything.
_CHEAP = {
    "active": "n.active",
    "kind": f"(SELECT min(k.id) FROM library_kind k WHERE k.filters = (SELECT {_FILTERS}))",
    "priority": "coalesce(n.download_priority, 9223372036854775807)",  # missing last, as lists have it
    "standing": "(coalesce(greatest(least(n.download_priority, 32766), -32768), 32767) + 32768) * 64 "
    "+ 63 - floor(ln(1 + greatest(n.usage_count, 0)::float8) / ln(2))::integer",
}
_COLUMNS = ", ".join(["id", *_CHEAP, "title", "document"])
_SOURCES = ("title", "description", "file_path", "skill_objectives::text", "content_metadata::text")


def _texts(items: str, where: str = "true") -> str:
    """The items with what is to be found of them, as text."""
    cheap = ", ".join(f"{expression} AS {name}" for name, expression in _CHEAP.items())
    return f"SELECT n.id, {cheap}, texts.* FROM {items} n CROSS JOIN LATERAL ({_TEXTS}) texts WHERE {where}"


def _write(texts: str) -> str:
    """Puts it into the table."""
    updates = ", ".join(f"{name} = excluded.{name}" for name in [*_CHEAP, "title", "document"])
    return f"""
        INSERT INTO library_search ({_COLUMNS})
        SELECT id, {", ".join(_CHEAP)}, ' ' || left(btrim(regexp_replace(title, ' +', ' ', 'g')), 100),
               library_document(title, objectives, description, metadata)
        FROM {texts} ON CONFLICT (id) DO UPDATE SET {updates}"""


def _note_words(texts: str) -> str:
    """The words that are new. Parsed is what stands between spaces, once each: most of it occurs again and again."""
    return f"""
        INSERT INTO library_word (word)
        SELECT word FROM (
          SELECT DISTINCT unnest(tsvector_to_array(to_tsvector('pg_catalog.simple', piece))) AS word FROM (
            SELECT DISTINCT unnest(string_to_array(said, ' ')) AS piece
            FROM (SELECT concat_ws(' ', title, objectives, description, metadata) AS said FROM {texts}) told
          ) pieces) words
        WHERE word ~ '^[^0-9]{{3,24}}$' AND NOT EXISTS (SELECT FROM library_word known WHERE known.word = words.word)"""


def _write_and_note_words(items: str, where: str = "true") -> str:
    """Both, of texts that are made once."""
    texts = _texts(items, where)
    return f"WITH texts AS MATERIALIZED ({texts}), written AS ({_write('texts')}) {_note_words('texts')}"


# No unique key and no waiting for each other: two who add a new one at once leave it there twice.
def _note_kinds(items: str, where: str = "true") -> str:
    return f"""
        INSERT INTO library_kind (filters)
        SELECT {_FILTERS} FROM (SELECT DISTINCT {", ".join(FILTERS)} FROM {items} n WHERE {where}) n
        WHERE NOT EXISTS (SELECT FROM library_kind k WHERE k.filters = {_FILTERS})"""


_FILL = [
    _note_kinds("content_library"),
    _write(f"({_texts('content_library')}) texts"),
    _note_words(f"(SELECT texts.* FROM content_library n CROSS JOIN LATERAL ({_TEXTS}) texts) found"),
]
# Makes anew what triggers that were off have not kept up. What others write meanwhile waits.
FUNCTIONS["library_refill()"] = f"""
        CREATE FUNCTION library_refill() RETURNS void LANGUAGE plpgsql SET jit = off AS $$
        BEGIN
          LOCK TABLE content_library IN SHARE MODE;
          DELETE FROM library_word;
          DELETE FROM library_search s WHERE NOT EXISTS (SELECT FROM content_library n WHERE n.id = s.id);
          {"; ".join(_FILL)};
        END $$"""


def _differ(old: str, new: str, names: tuple[str, ...]) -> str:
    return (
        f"({', '.join(f'{old}.{name}' for name in names)}) IS DISTINCT FROM "
        f"({', '.join(f'{new}.{name}' for name in names)})"
    )


_CHANGED = (
    "(SELECT a.* FROM library_after a LEFT JOIN library_before b ON b.id = a.id "
    f"WHERE b.id IS NULL OR {_differ('b', 'a', _SOURCES)})"
)
_TRIGGERS = {
    "INSERT": (
        "REFERENCING NEW TABLE AS library_after",
        [_note_kinds("library_after"), _write_and_note_words("library_after")],
    ),
    "UPDATE": (
        "REFERENCING OLD TABLE AS library_before NEW TABLE AS library_after",
        [
            "DELETE FROM library_search s USING (SELECT b.id FROM library_before b "
            "LEFT JOIN library_after a ON a.id = b.id WHERE a.id IS NULL) gone WHERE s.id = gone.id",
            _note_kinds("library_after"),
            _write_and_note_words(_CHANGED),
            f"""
        UPDATE library_search s SET ({", ".join(_CHEAP)}) = ROW({", ".join(_CHEAP.values())})
        FROM library_after n WHERE s.id = n.id
          AND ({", ".join(f"s.{name}" for name in _CHEAP)}) IS DISTINCT FROM ({", ".join(_CHEAP.values())})""",
        ],
    ),
    "DELETE": (
        "REFERENCING OLD TABLE AS library_before",
        ["DELETE FROM library_search s USING library_before b WHERE s.id = b.id"],
    ),
    "TRUNCATE": ("", ["DELETE FROM library_search"]),
}


def upgrade() -> None:
    for extension in EXTENSIONS:
        _make_extension(extension)
    _make_functions()
    _make_tables()
    oldest = _scalar("SELECT pg_snapshot_xmin(pg_current_snapshot())::xid::text")
    for statement in _FILL:
        _run(statement)
    _make_indexes()
    for event, (tables, statements) in _TRIGGERS.items():
        _make_trigger(event, tables, statements)
    _catch_up(oldest)


def downgrade() -> None:
    for event in _TRIGGERS:
        _run(f"DROP TRIGGER IF EXISTS library_search_{event.lower()} ON content_library")
        _run(f"DROP FUNCTION IF EXISTS library_search_{event.lower()}()")
    for table in TABLES:
        _run(f"DROP TABLE IF EXISTS {table}")
    for function in reversed(FUNCTIONS):
        _run(f"DROP FUNCTION IF EXISTS {function}")
    for extension in EXTENSIONS:
        _drop_extension(extension)


def _make_extension(name: str) -> None:
    if _scalar(f"SELECT count(*) FROM pg_available_extensions WHERE name = '{name}' AND installed_version IS NULL"):
        try:
            with op.get_bind().begin_nested():
                _run(f"CREATE EXTENSION {name}")
                _run(f"COMMENT ON EXTENSION {name} IS '{MARK}'")
        except sa.exc.DBAPIError:
            pass  # we may not; `check-schema` says so


def _drop_extension(name: str) -> None:
    made = f"SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = '{name}'"
    if _scalar(made) == MARK:
        try:
            with op.get_bind().begin_nested():
                _run(f"DROP EXTENSION {name}")
        except sa.exc.DBAPIError:
            pass  # somebody else has come to use it


def _make_functions() -> None:
    _run("SET LOCAL check_function_bodies = off")  # some name others that come later
    for statement in FUNCTIONS.values():
        _run(statement if _scalar("SHOW server_encoding") == "UTF8" else statement.replace(_UNICODE, _ASCII))
    _run("SET LOCAL check_function_bodies = on")


def _make_tables() -> None:
    _run(
        "CREATE TABLE library_search (id bigint NOT NULL, active boolean, kind integer NOT NULL, "
        "priority bigint NOT NULL, standing integer NOT NULL, title text NOT NULL, document tsvector NOT NULL, "
        "CONSTRAINT pk_library_search PRIMARY KEY (id))"
    )
    _run(
        "CREATE TABLE library_kind (id integer GENERATED ALWAYS AS IDENTITY, filters jsonb NOT NULL, "
        "CONSTRAINT pk_library_kind PRIMARY KEY (id))"
    )
    _run("CREATE INDEX ix_library_kind ON library_kind USING hash (filters)")  # which bounds no length
    _run(
        'CREATE TABLE library_word (id bigint GENERATED ALWAYS AS IDENTITY, word text COLLATE "C" NOT NULL, '
        "CONSTRAINT pk_library_word PRIMARY KEY (id))"
    )
    for table in TABLES:
        _run(f"COMMENT ON TABLE {table} IS '{MARK}'")


def _make_indexes() -> None:
    # A long list of new entries, not yet sorted in, would have to be read by every search.
    _run(
        "CREATE INDEX ix_library_search_document ON library_search USING gin (document) "
        "WITH (gin_pending_list_limit = 256)"
    )
    _run('CREATE INDEX ix_library_search_title ON library_search (title COLLATE "C") INCLUDE (id, active, standing)')
    _run("CREATE INDEX ix_library_word ON library_word (word)")
    if _scalar("SELECT to_regproc('similarity')"):  # an extension may be installed where we do not look
        _run("CREATE INDEX ix_library_word_trigrams ON library_word USING gin (word gin_trgm_ops)")
    if _scalar("SELECT to_regproc('dmetaphone')"):
        _run('CREATE INDEX ix_library_word_sound ON library_word (dmetaphone(word) COLLATE "C")')
    _run(f"ANALYZE {', '.join(TABLES)}")


def _make_trigger(event: str, tables: str, statements: list[str]) -> None:
    """The backend writes as another user perhaps, so the function runs as the one who owns our tables.

    A connection keeps the plans of its first write, which may have met empty tables: indexes are to be used even so.
    Before PostgreSQL 18 a plan that cannot do without what is switched off counts as dear, and would be compiled.
    An UPDATE of many rows is planned for as many: the plan for one would look for each among all.
    """
    schema = _scalar(
        "SELECT quote_ident(relnamespace::regnamespace::text) FROM pg_class WHERE oid = 'library_search'::regclass"
    )
    name = f"library_search_{event.lower()}"
    body = ";\n".join(statements)
    if event == "UPDATE":
        planned = "; ".join(f"EXECUTE $many${statement}$many$" for statement in statements)
        body = (
            f"IF (SELECT count(*) FROM (SELECT FROM library_after LIMIT {MANY}) counted) = {MANY} "
            f"THEN {planned}; ELSE {body}; END IF"
        )
    _run(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
        f"SET search_path = pg_catalog, {schema}, pg_temp SET enable_seqscan = off SET jit = off "
        f"AS $$ BEGIN {body}; RETURN NULL; END $$"
    )
    _run(
        f"CREATE TRIGGER {name} AFTER {event} ON content_library {tables} FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    )


def _catch_up(oldest: str) -> None:
    """What others wrote while we filled the table: the triggers' lock has let them finish and keeps new ones out."""
    recent = f"age(n.xmin) <= age('{oldest}'::xid) AND n.xmin <> pg_current_xact_id()::xid"
    _run(_note_kinds("content_library", recent))
    _run(_write_and_note_words("content_library", recent))
    _run("DELETE FROM library_search s WHERE NOT EXISTS (SELECT FROM content_library n WHERE n.id = s.id)")


def _run(statement: str) -> sa.CursorResult:
    return op.get_bind().execute(sa.text(statement.replace(":", r"\:")))  # no colon here names a parameter


def _scalar(statement: str) -> str | None:
    return _run(statement).scalar()
