"""Two editors at one row at once: both have their way, or one of them is told; never is anything lost in silence."""

import threading
import time
from contextlib import closing, contextmanager

import psycopg2
import pytest
from sqlalchemy import event

from library_server.extensions import db

REQUIRED = {"content_type": "story", "subject_area": "math", "age_range": "3-5"}


def test_changes_of_different_fields_are_both_kept(race, make_item, sql):
    item = make_item(title="Before", description="Before")
    answers = race(
        item,
        lambda client: client.patch(f"/content/{item}", json={"title": "A"}),
        lambda client: client.patch(f"/content/{item}", json={"description": "B"}),
        lambda client: client.patch(f"/content/{item}", json={"content_metadata": {"c": 1}}),
        lambda client: client.delete(f"/content/{item}"),
    )
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200]
    assert sql("SELECT title, description, content_metadata, active FROM content_library") == [
        {"title": "A", "description": "B", "content_metadata": {"c": 1}, "active": False}
    ]


def test_of_two_changes_of_the_same_revision_one_wins_and_one_is_told(race, make_item, sql, client, as_parent):
    item = make_item(title="Before")
    known = {"If-Match": client.get(f"/content/{item}", headers=as_parent).headers["ETag"]}
    answers = race(
        item,
        lambda client: client.patch(f"/content/{item}", json={"title": "A"}, headers=known),
        lambda client: client.patch(f"/content/{item}", json={"title": "B"}, headers=known),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    won, lost = sorted(answers, key=lambda answer: answer.status_code)
    assert sql("SELECT title FROM content_library") == [{"title": won.get_json()["content"]["title"]}]
    assert lost.get_json() == {"message": "Content has been changed since; fetch it again"}


def test_of_many_writes_of_the_same_revision_just_one_wins(race, make_item, sql, client, as_parent):
    item = make_item(title="Before")
    known = {"If-Match": client.get(f"/content/{item}", headers=as_parent).headers["ETag"]}

    def write(number):
        if number % 2:
            return lambda client: client.put(f"/content/{item}", json=REQUIRED | {"title": f"{number}"}, headers=known)
        return lambda client: client.patch(f"/content/{item}", json={"title": f"{number}"}, headers=known)

    answers = race(item, *(write(number) for number in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    won = next(answer for answer in answers if answer.status_code == 200).get_json()["content"]["title"]
    assert sql("SELECT title FROM content_library") == [{"title": won}]


@pytest.mark.parametrize("shape", ["guide"])
def test_a_change_does_not_wait_for_a_child_at_work(client, as_parent, make_item, database_url, child):
    item = make_item()
    with closing(psycopg2.connect(database_url)) as backend:
        backend.cursor().execute("INSERT INTO progress (child_id, content_id) VALUES (%s, %s)", (child, item))
        assert client.patch(f"/content/{item}", json={"title": "A"}, headers=as_parent).status_code == 200


def test_a_change_that_waited_for_a_purge_finds_nothing(race, make_item, sql):
    item = make_item()
    purged, *changed = race(
        item,
        lambda client: client.delete(f"/content/{item}?purge=true"),
        lambda client: client.patch(f"/content/{item}", json={"title": "Late"}),
        lambda client: client.put(f"/content/{item}", json=REQUIRED),
        lambda client: client.delete(f"/content/{item}"),
        lambda client: client.delete(f"/content/{item}?purge=true"),
    )
    assert purged.status_code == 200
    for answer in changed:
        assert (answer.status_code, answer.get_json()) == (404, {"message": "Content not found"})
    assert sql("SELECT id FROM content_library") == []


def test_a_purge_that_waited_for_a_change_respects_its_if_match(race, make_item, sql, client, as_parent):
    item = make_item(title="Before")
    known = {"If-Match": client.get(f"/content/{item}", headers=as_parent).headers["ETag"]}
    changed, purged = race(
        item,
        lambda client: client.patch(f"/content/{item}", json={"title": "Changed"}, headers=known),
        lambda client: client.delete(f"/content/{item}?purge=true", headers=known),
    )
    assert (changed.status_code, purged.status_code) == (200, 412)
    assert sql("SELECT title FROM content_library") == [{"title": "Changed"}]


def test_a_change_and_a_purge_right_after_it_are_both_answered(race, make_item, sql):
    for _ in range(5):
        item = make_item()
        changed, purged = race(
            item,
            lambda client, item=item: client.patch(f"/content/{item}", json={"title": "Changed"}),
            lambda client, item=item: client.delete(f"/content/{item}?purge=true"),
        )
        assert (changed.status_code, purged.status_code) == (200, 200)
    assert sql("SELECT id FROM content_library") == []


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_an_item_purged_the_moment_its_change_is_committed_is_no_error(app, client, as_parent, make_item, sql, method):
    item = make_item()
    body = None if method == "DELETE" else REQUIRED | {"title": "Changed"}
    with _right_after_the_commit(app, lambda: sql("DELETE FROM content_library")):
        response = client.open(f"/content/{item}", method=method, json=body, headers=as_parent)
    assert response.status_code == 200
    if body:
        assert response.get_json()["content"]["title"] == "Changed"


def test_an_answer_shows_what_its_own_request_wrote(app, client, as_parent, make_item, sql):
    item = make_item(title="Before")
    with _right_after_the_commit(app, lambda: sql("UPDATE content_library SET title = 'Theirs'")):
        response = client.patch(f"/content/{item}", json={"title": "Ours"}, headers=as_parent)
    assert response.get_json()["content"]["title"] == "Ours"
    known = as_parent | {"If-Match": response.headers["ETag"]}
    assert client.patch(f"/content/{item}", json={"title": "Ours again"}, headers=known).status_code == 412
    assert sql("SELECT title FROM content_library") == [{"title": "Theirs"}]


def test_items_made_at_once_have_ids_of_their_own(race, make_item, sql):
    item = make_item()
    made = race(item, *[lambda client: client.post("/content", json=REQUIRED)] * 6, wait=False)
    assert [answer.status_code for answer in made] == [201] * 6
    ids = {answer.get_json()["content_id"] for answer in made}
    assert ids | {item} == {row["id"] for row in sql("SELECT id FROM content_library")}
    assert len(ids) == 6


@pytest.fixture
def race(app, as_parent, database_url, sql):
    """``race(item, *requests)``: the answers to requests that wait for one row, in this order, and are then let go."""

    def run(item, *requests, wait=True):
        answers = [None] * len(requests)

        def send(number):
            client = app.test_client()
            client.environ_base["HTTP_AUTHORIZATION"] = as_parent["Authorization"]
            answers[number] = requests[number](client)

        threads = [threading.Thread(target=send, args=(number,)) for number in range(len(requests))]
        with _holding(database_url, item):
            for number, thread in enumerate(threads, start=1):
                thread.start()
                if wait:
                    _wait_for_waiters(sql, number)
        for thread in threads:
            thread.join(timeout=20)
        assert None not in answers
        return answers

    return run


@contextmanager
def _holding(url, item):
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM content_library WHERE id = %s FOR UPDATE", (item,))
            yield
            connection.commit()
    finally:
        connection.close()


def _wait_for_waiters(sql, number):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        if sql(waiting)[0]["count"] >= number:
            return
        time.sleep(0.01)
    raise AssertionError(f"fewer than {number} requests wait for the row")


@contextmanager
def _right_after_the_commit(app, work):
    """Lets somebody else do `work` once, between the commit of a request and the rest of it."""
    waiting = [work]

    def commit(connection):
        if waiting:
            connection.connection.commit()
            waiting.pop()()

    with app.app_context():
        engine = db.engine
    event.listen(engine, "commit", commit)
    try:
        yield
    finally:
        event.remove(engine, "commit", commit)
    assert not waiting
