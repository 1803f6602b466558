"""A folder as storage: whole files or none, nothing overwritten, no way out of the folder, nothing left open."""

import errno
import os
import resource
import signal
import socket
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from library_server.storage.base import FileMissing, PathTaken, Stat
from library_server.storage.local import PARTIAL_PREFIX, LocalStorage
from tests.lib.hostile_paths import HOSTILE_PATHS

SECRET = b"a secret of this machine"
MISSING = ["none.mp3", "audio", "audio/none.mp3", "none/one.mp3", "audio/one.mp3/x", "audio/one.mp3/x/y", "x" * 255]
ODD = [
    "pipe",
    "socket",
    "link",
    "folder_link/secret.txt",
    "inner_link",
    "inner_folder_link/one.mp3",
    "broken",
    "circle",
]


@pytest.fixture(autouse=True)
def _nothing_stays_open():
    before = open_files()
    yield
    assert open_files() == before


@pytest.fixture
def root(tmp_path):
    """A content folder with one file, and all kinds of things that are none; beside it, a secret."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_bytes(SECRET)
    root = tmp_path / "content"
    (root / "audio").mkdir(parents=True)
    (root / "audio/one.mp3").write_bytes(b"one")
    os.mkfifo(root / "pipe")
    with short_path(root) as short, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"{short}/socket")
    (root / "link").symlink_to(outside / "secret.txt")
    (root / "folder_link").symlink_to(outside)
    (root / "inner_link").symlink_to("audio/one.mp3")
    (root / "inner_folder_link").symlink_to("audio")
    (root / "broken").symlink_to("nowhere")
    (root / "circle").symlink_to("circle")
    return root


@pytest.fixture
def storage(root):
    return LocalStorage(root)


@pytest.fixture
def source(tmp_path):
    """A file of 200 000 bytes that waits elsewhere on the same file system."""
    source = tmp_path / "source"
    source.write_bytes(b"0123456789" * 20_000)
    source.chmod(0o600)
    return source


# Reading


def test_a_file_is_read_from_its_first_byte(storage):
    with storage.open("audio/one.mp3") as file:
        assert (file.tell(), file.read(), file.mode) == (0, b"one", "rb")


def test_size_and_time_are_those_of_the_file(storage, root):
    os.utime(root / "audio/one.mp3", (1_000_000_000, 1_767_607_200.9))
    assert storage.stat("audio/one.mp3") == Stat(size=3, modified=1_767_607_200)


def test_names_of_all_scripts_are_found(storage, root):
    names = ["Ünï cödé 😀.mp3", "a b+c&d=e?f#g%20h.mp3", '"quoted".mp3', "日本語", "%2e%2e", "x" * 255]
    for number, name in enumerate(names):
        (root / "audio" / name).write_bytes(b"x" * number)
    assert [storage.stat(f"audio/{name}").size for name in names] == list(range(len(names)))


def test_an_open_file_outlives_its_removal(storage):
    with storage.open("audio/one.mp3") as file:
        assert storage.remove("audio/one.mp3")
        assert file.read() == b"one"


def test_the_folder_itself_may_be_a_link(root, tmp_path):
    (tmp_path / "mounted").symlink_to(root)
    linked = LocalStorage(tmp_path / "mounted")
    assert linked.stat("audio/one.mp3").size == 3
    assert linked.put("audio/two.mp3", tmp_path / "outside/secret.txt")
    assert sorted(linked.list()) == ["audio/one.mp3", "audio/two.mp3"]
    assert linked.remove("audio/two.mp3")


@pytest.mark.parametrize("ask", [LocalStorage.stat, LocalStorage.open])
@pytest.mark.parametrize("path", [*MISSING, *ODD], ids=lambda path: path[:30])
def test_what_is_no_file_of_the_folder_is_missing(ask, path, storage):
    with at_once(), pytest.raises(FileMissing):
        ask(storage, path)


def test_a_hostile_path_is_missing_even_where_such_a_file_is(storage, root):
    made = [path for path in HOSTILE_PATHS if is_made(root, path)]
    assert len(made) > 50
    assert [path for path in HOSTILE_PATHS if read_or_none(storage, path) is not None] == []


@pytest.mark.parametrize("name", ["null", "zero", "tty", "shm", "stdin", "fd/0"])
def test_a_device_is_missing(name):
    with at_once(), pytest.raises(FileMissing):
        LocalStorage("/dev").open(name)


@pytest.mark.parametrize("path", ["audio/one.mp3", "x"])
def test_in_a_folder_that_does_not_exist_everything_is_missing(path, tmp_path):
    nowhere = LocalStorage(tmp_path / "nowhere")
    with pytest.raises(FileMissing):
        nowhere.stat(path)
    assert (list(nowhere.list()), nowhere.remove(path), (tmp_path / "nowhere").exists()) == ([], False, False)


def test_a_folder_that_is_swapped_for_a_link_never_leads_out(storage, root):
    """Whatever the moment, an answer is the file's or none."""
    audio, kept = root / "audio", root / "kept"
    (root / "audio/secret.txt").write_bytes(b"ours")
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            audio.rename(kept)
            audio.symlink_to(root.parent / "outside")
            audio.unlink()
            kept.rename(audio)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        seen = {read_or_none(storage, "audio/secret.txt") for _ in range(2_000)}
    finally:
        stop.set()
        swapper.join()
    assert seen <= {b"ours", None}
    assert read_or_none(storage, "audio/secret.txt") == b"ours"


@pytest.mark.parametrize("path", ["audio/one.mp3", "none.mp3", "audio/none.mp3", "link"])
def test_a_process_without_file_descriptors_does_not_claim_that_files_are_missing(path, storage):
    with no_more_descriptors(), pytest.raises(OSError, match="Too many open files") as failure:
        storage.open(path)
    assert failure.value.errno == errno.EMFILE


@pytest.mark.parametrize("spare", [1, 2])
def test_a_process_that_runs_out_of_descriptors_on_the_way_closes_what_it_opened(spare, storage, root):
    (root / "a/b/c").mkdir(parents=True)
    (root / "a/b/c/x").write_bytes(b"x")
    with no_more_descriptors(spare):
        outcomes = {succeeds(lambda: storage.open("a/b/c/x").close()) for _ in range(5)}
    assert outcomes == {spare > 1}


# Putting


@pytest.mark.parametrize("give_away", [False, True], ids=["copied", "given away"])
def test_a_file_that_is_put_is_there_for_everybody_to_read(give_away, storage, root, source):
    assert storage.put("video/new/two.mp4", source, give_away=give_away) is True
    target = root / "video/new/two.mp4"
    assert target.read_bytes() == source.read_bytes() == b"0123456789" * 20_000
    assert (target.stat().st_mode & 0o7777, target.is_symlink()) == (0o644, False)
    assert source.exists()
    assert everything_in(root / "video") == ["new", "new/two.mp4"]


def test_folders_that_are_made_are_for_everybody_too_whatever_the_umask(storage, root, source):
    before = os.umask(0o077)
    try:
        storage.put("video/new/two.mp4", source)
        (root / "kept").mkdir(mode=0o700)
        storage.put("kept/two.mp4", source)
    finally:
        os.umask(before)
    modes = {name: (root / name).stat().st_mode & 0o777 for name in ("video", "video/new", "kept")}
    assert modes == {"video": 0o755, "video/new": 0o755, "kept": 0o700}  # what others made is as they want it


def test_a_file_that_is_given_away_costs_no_copy(storage, root, source):
    storage.put("two.mp4", source, give_away=True)
    assert (root / "two.mp4").stat().st_ino == source.stat().st_ino


def test_a_file_that_is_kept_by_its_owner_can_change_without_ours(storage, root, source):
    storage.put("two.mp4", source)
    source.write_bytes(b"changed")
    assert (root / "two.mp4").stat().st_size == 200_000


def test_a_file_from_another_file_system_is_copied(storage, root):
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as elsewhere:
        elsewhere.write(b"from memory")
        elsewhere.flush()
        if Path(elsewhere.name).stat().st_dev == root.stat().st_dev:
            pytest.skip("there is but one file system")
        assert storage.put("two.mp4", Path(elsewhere.name), give_away=True) is True
        assert storage.put("two.mp4", Path(elsewhere.name), give_away=True) is False
    assert (root / "two.mp4").read_bytes() == b"from memory"
    assert (root / "two.mp4").stat().st_mode & 0o777 == 0o644
    assert leftovers(root) == []


def test_an_empty_file_can_be_put(storage, tmp_path):
    (tmp_path / "empty").touch()
    assert storage.put("empty.txt", tmp_path / "empty") is True
    assert storage.stat("empty.txt").size == 0


def test_the_first_file_makes_the_folder(tmp_path, source):
    storage = LocalStorage(tmp_path / "made/for it")
    assert storage.put("audio/two.mp3", source) is True
    assert list(storage.list()) == ["audio/two.mp3"]


@pytest.mark.parametrize("give_away", [False, True], ids=["copied", "given away"])
def test_the_same_bytes_again_are_there_already(give_away, storage, root, source):
    storage.put("two.mp4", source, give_away=give_away)
    before = (root / "two.mp4").stat()
    assert storage.put("two.mp4", source, give_away=give_away) is False
    after = (root / "two.mp4").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert leftovers(root) == []


@pytest.mark.parametrize("give_away", [False, True], ids=["copied", "given away"])
@pytest.mark.parametrize(
    "there", [b"other", b"", b"0123456789" * 19_999 + b"987654321x"], ids=["short", "empty", "as long"]
)
def test_other_bytes_are_never_overwritten(give_away, there, storage, root, source):
    (root / "two.mp4").write_bytes(there)
    with pytest.raises(PathTaken):
        storage.put("two.mp4", source, give_away=give_away)
    assert (root / "two.mp4").read_bytes() == there
    assert leftovers(root) == []


@pytest.mark.parametrize("give_away", [False, True], ids=["copied", "given away"])
@pytest.mark.parametrize("path", ["audio", "pipe", "socket", "link", "inner_link", "broken", "circle"])
def test_what_stands_in_the_way_stays(give_away, path, storage, root, source):
    before = everything_in(root)
    with at_once(), pytest.raises(PathTaken):
        storage.put(path, source, give_away=give_away)
    assert everything_in(root) == before
    assert (root.parent / "outside/secret.txt").read_bytes() == SECRET


def test_a_link_to_the_same_bytes_is_no_file_of_ours(storage, root):
    with pytest.raises(PathTaken):
        storage.put("link", root.parent / "outside/secret.txt")


@pytest.mark.parametrize("give_away", [False, True], ids=["copied", "given away"])
@pytest.mark.parametrize(
    "path", ["folder_link/new.txt", "inner_folder_link/new.txt", "folder_link/x/new.txt", "broken/x"]
)
def test_nothing_is_put_through_a_link(give_away, path, storage, root, source):
    before = everything_in(root.parent)
    with pytest.raises(FileMissing):
        storage.put(path, source, give_away=give_away)
    assert everything_in(root.parent) == before


def test_nothing_is_put_at_a_hostile_path(storage, root, source):
    before = everything_in(root.parent)
    for path in HOSTILE_PATHS:
        with pytest.raises(FileMissing):
            storage.put(path, source)
    assert everything_in(root.parent) == before


@pytest.mark.parametrize("path", ["audio/one.mp3/x", "audio/one.mp3/x/y", "pipe/x"])
def test_a_file_cannot_serve_as_a_folder(path, storage, root, source):
    before = everything_in(root)
    with pytest.raises(PathTaken):
        storage.put(path, source)
    assert everything_in(root) == before


@pytest.mark.parametrize("give_away", [False, True], ids=["copied", "given away"])
def test_a_source_that_is_not_there_leaves_nothing(give_away, storage, root, tmp_path):
    with pytest.raises(FileNotFoundError):
        storage.put("audio/two.mp3", tmp_path / "none", give_away=give_away)
    assert everything_in(root / "audio") == ["one.mp3"]


@pytest.mark.parametrize("give_away", [False, True], ids=["copied", "given away"])
def test_a_source_that_is_a_folder_leaves_nothing(give_away, storage, root, tmp_path):
    with pytest.raises(OSError, match="directory"):
        storage.put("audio/two.mp3", tmp_path, give_away=give_away)
    assert everything_in(root / "audio") == ["one.mp3"]


def test_a_full_disk_leaves_nothing(storage, root, source):
    with largest_file(100_000), pytest.raises(OSError, match="File too large"):
        storage.put("audio/two.mp3", source)
    assert everything_in(root / "audio") == ["one.mp3"]


@pytest.mark.parametrize("give_away", [False, True], ids=["copied", "given away"])
@pytest.mark.parametrize("spare", [0, 1, 2])
def test_a_process_that_runs_out_of_descriptors_puts_all_or_nothing(give_away, spare, storage, root, source):
    with no_more_descriptors(spare):
        done = succeeds(lambda: storage.put("audio/two.mp3", source, give_away=give_away))
    assert done is (spare > (0 if give_away else 1))
    assert everything_in(root / "audio") == ["one.mp3", "two.mp3"][: 1 + done]


@pytest.mark.parametrize("give_away", [False, True], ids=["copied", "given away"])
def test_of_many_at_once_with_other_bytes_one_wins(give_away, storage, root, tmp_path):
    outcomes = put_at_once(storage, tmp_path, [f"{number}".encode() * 100_000 for number in range(8)], give_away)
    assert sorted(outcomes.values(), key=str) == [PathTaken] * 7 + [True]
    winner = next(data for data, outcome in outcomes.items() if outcome is True)
    assert (root / "audio/contested.mp3").read_bytes() == winner
    assert leftovers(root) == []


@pytest.mark.parametrize("give_away", [False, True], ids=["copied", "given away"])
def test_of_many_at_once_with_the_same_bytes_one_puts_and_all_succeed(give_away, storage, root, tmp_path):
    outcomes = put_at_once(storage, tmp_path, [b"same" * 50_000] * 8, give_away)
    assert outcomes == {b"same" * 50_000: True}
    assert (root / "audio/contested.mp3").read_bytes() == b"same" * 50_000
    assert leftovers(root) == []


def test_a_file_appears_whole_or_not_at_all(storage, root, tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 5_000_000)
    sizes, stop = set(), threading.Event()

    def watch():
        while not stop.is_set():
            sizes.add(len(read_or_none(storage, "large.mp4") or b""))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(5):
        storage.put("large.mp4", tmp_path / "large")
        storage.remove("large.mp4")
    stop.set()
    watcher.join()
    assert sizes <= {0, 5_000_000}


# Removing


def test_a_file_is_removed_once(storage, root):
    assert storage.remove("audio/one.mp3") is True
    assert storage.remove("audio/one.mp3") is False
    assert everything_in(root / "audio") == []


def test_removing_what_is_not_there_removes_nothing(storage, root):
    made = [path for path in HOSTILE_PATHS if is_made(root, path)]
    assert len(made) > 50
    before = everything_in(root.parent)
    assert [path for path in (*MISSING[2:], *HOSTILE_PATHS) if storage.remove(path)] == []
    assert everything_in(root.parent) == before


@pytest.mark.parametrize("path", ["folder_link/secret.txt", "inner_folder_link/one.mp3"])
def test_nothing_is_removed_through_a_link(path, storage, root):
    before = everything_in(root.parent)
    assert storage.remove(path) is False
    assert everything_in(root.parent) == before


@pytest.mark.parametrize("path", ["link", "inner_link", "broken"])
def test_what_a_link_points_to_is_not_removed(path, storage, root):
    storage.remove(path)
    assert (root / "audio/one.mp3").read_bytes() == b"one"
    assert (root.parent / "outside/secret.txt").read_bytes() == SECRET


def test_a_folder_is_not_removed(storage, root):
    (root / "empty").mkdir()
    with pytest.raises(OSError, match=r"directory|permitted"):
        storage.remove("empty")
    assert (root / "empty").is_dir()


# Listing


def test_all_files_are_listed_and_nothing_else(storage, root, source):
    (root / ".hidden").write_text("x")
    (root / f"audio/{PARTIAL_PREFIX}abc").write_text("x")
    (root / ".git").mkdir()
    (root / ".git/config").write_text("x")
    (root / "nothing").mkdir()
    storage.put("images/a/b/Ünï cödé.png", source)
    storage.put("top.txt", source)
    assert sorted(storage.list()) == ["audio/one.mp3", "images/a/b/Ünï cödé.png", "top.txt"]
    assert list(storage.list("images")) == ["images/a/b/Ünï cödé.png"]


@pytest.mark.parametrize(
    "folder",
    [
        "none",
        "audio/one.mp3",
        "pipe",
        "folder_link",
        "inner_folder_link",
        "..",
        "../outside",
        "/etc",
        "audio/../../outside",
    ],
)
def test_what_is_no_folder_of_ours_lists_nothing(folder, storage):
    assert list(storage.list(folder)) == []


def test_what_is_listed_can_be_opened(storage, source):
    for path in ("images/two.png", "three"):
        storage.put(path, source)
    assert {path: storage.stat(path).size for path in storage.list()} == {
        "audio/one.mp3": 3,
        "images/two.png": 200_000,
        "three": 200_000,
    }


def open_files():
    """What this process holds open below the folders of tests. (Other threads open and close what they like.)"""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except OSError:
            continue
    return sorted(target for target in found if "/pytest-" in target)


def everything_in(folder):
    """Every path below `folder`, without following links, and what kind it is where that tells something."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def leftovers(root):
    return [path.name for path in root.rglob(f"{PARTIAL_PREFIX}*")]


def is_made(root, path):
    """Writes the file that a naive join would open, where that can be and lies inside the test's own folder."""
    try:
        naive = Path(os.path.normpath(f"{root}/{path}"))
        if not naive.is_relative_to(root.parent) or naive.exists():
            return False
        naive.parent.mkdir(parents=True, exist_ok=True)
        naive.write_bytes(SECRET)
    except (OSError, ValueError):
        return False
    return True


def read_or_none(storage, path):
    try:
        with storage.open(path) as file:
            return file.read()
    except FileMissing:
        return None


def succeeds(work):
    """Whether `work` gets by with the descriptors that are left."""
    try:
        work()
    except OSError as error:
        assert error.errno == errno.EMFILE
        return False
    return True


def put_at_once(storage, folder, contents, give_away):
    """What each of these contents got for ``audio/contested.mp3``: True where any of the same did, else the error."""
    gate, outcomes = threading.Barrier(len(contents)), []

    def put(number, data):
        source = folder / f"source-{number}"
        source.write_bytes(data)
        gate.wait(10)
        try:
            outcomes.append((data, storage.put("audio/contested.mp3", source, give_away=give_away)))
        except PathTaken:
            outcomes.append((data, PathTaken))

    threads = [threading.Thread(target=put, args=entry) for entry in enumerate(contents)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome for _, outcome in outcomes].count(True) == 1
    assert len(outcomes) == len(contents)
    return dict(sorted(outcomes, key=lambda entry: entry[1] is True))


@contextmanager
def at_once(seconds=5):
    """Ends what blocks, as opening a pipe without a writer does, by an alarm."""

    def give_up(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def short_path(folder):
    """Another name of `folder`, because the address of a socket holds a hundred characters."""
    with tempfile.TemporaryDirectory(prefix="library-") as short:
        Path(short, "f").symlink_to(folder)
        yield f"{short}/f"


@contextmanager
def no_more_descriptors(spare=0):
    """While open, this process can open at most `spare` more files at a time."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [os.dup(0) for _ in range(spare + 1)]  # there may be gaps between those in use
    for descriptor in free:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def largest_file(size):
    """While open, the kernel lets this process write no file larger than `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
