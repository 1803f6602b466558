import time, pytest
from tests.uploads.server import running


@pytest.mark.parametrize("shape", ["guide"])
def test_t(database_url, servers, folders, as_parent):
    a = time.time()
    with running(folders, database_url, servers.redis_url) as s:
        b = time.time()
        from tests.uploads.test_upload_over_the_wire import WORDS

        for _ in range(3):
            s.post(WORDS, as_parent)
        c = time.time()
    d = time.time()
    print("TIMES start", b - a, "posts", c - b, "stop", d - c)
