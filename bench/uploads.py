"""An upload of 90 MB through a real gunicorn, alone and behind nginx, beside `dd` with fsync and `sha256sum`.

Run: ``python -m bench.uploads``; needs nginx with njs (Debian: nginx-light libnginx-mod-http-js).

The disk and the digest are what an upload cannot do without. Each round sends other bytes, and takes away what was
kept. The second figure is the most memory that a worker has ever had (VmHWM), before the uploads and after them.
"""

import contextlib
import http.client
import os
import shutil
import subprocess
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt

from bench.files import NEEDED, serve
from bench.harness import SECRET, Case, Options, Want

MB = 1_000_000
SIZE = 90 * MB
BOUNDARY = "7c1f9be2d4"


def main() -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory(prefix="library-bench-") as folder:
        for case in cases(Options(Path(folder), rows=1000)):
            print(case, flush=True)


def cases(given: Options) -> Iterator[Case]:
    """The seconds of an upload, and the memory of the workers. Raises SystemExit where nginx is missing."""
    if not shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        raise SystemExit(NEEDED)
    with contextlib.ExitStack() as stack:
        servers = serve(stack, given)
        sound = servers.folder / "sound.wav"
        _make_sound(sound)
        candidates: dict[str, Callable[[], object]] = {
            "dd and sha256sum": lambda: _copy(sound, servers.folder / "copied.wav"),
            "upload": lambda: _upload(sound, servers.asked),
            "upload behind nginx": lambda: _upload(sound, servers.nginx),
        }
        before = [peak(pid) for pid in workers_of(servers.asked)]
        seconds: dict[str, list[float]] = {name: [] for name in candidates}
        for number in range(given.rounds + 1):
            for name, run in candidates.items():
                _prepare(sound, servers.folder / "content" / "audio")
                started = time.perf_counter()
                run()
                if number:  # the first round warms up
                    seconds[name].append(time.perf_counter() - started)
        after = [peak(pid) for pid in workers_of(servers.asked)]
    wants = [Want(name, 1.3, "dd and sha256sum", at_most=True) for name in ("upload", "upload behind nginx")]
    yield Case("upload of 90 MB", "s", seconds, wants)
    flat = [Want("after the uploads", 1.2, "before", at_most=True)]
    yield Case("peak memory of a worker", "MiB", {"before": before, "after the uploads": after}, flat)


def _make_sound(path: Path) -> None:
    """A WAV file of SIZE bytes of noise."""
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 44_100, 0, "NONE", ""))
        file.writeframes(os.urandom(SIZE))


def _prepare(sound: Path, kept: Path) -> None:
    """Makes other bytes of it, on disk, and removes what was kept of those before."""
    with sound.open("r+b") as file:
        file.seek(1000)
        file.write(os.urandom(16))
    for path in kept.glob("sound-*"):
        path.unlink()
    os.sync()


def _copy(source: Path, target: Path) -> None:
    dd, digest = str(shutil.which("dd")), str(shutil.which("sha256sum"))
    subprocess.run([dd, f"if={source}", f"of={target}", "bs=1M", "conv=fsync", "status=none"], check=True, timeout=60)
    subprocess.run([digest, str(target)], check=True, capture_output=True, timeout=60)
    target.unlink()


def _upload(path: Path, port: int) -> None:
    """Sends it as a browser does, but for the time that reading it takes."""
    now = int(time.time())
    claims = {"user_id": 1, "user_type": "parent", "sub": "1", "iat": now, "exp": now + 3600}
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    ).encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("POST", "/api/content/upload")
    connection.putheader("Authorization", f"Bearer {jwt.encode(claims, SECRET, 'HS256')}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(len(head) + path.stat().st_size + len(tail)))
    connection.endheaders(head)
    with path.open("rb") as file:
        connection.sock.sendfile(file)
    connection.send(tail)
    answer = connection.getresponse()
    if answer.status != 201:
        raise RuntimeError(f"the upload failed: {answer.status} {answer.read()!r}")
    connection.close()


def workers_of(port: int) -> list[int]:
    """The processes of the gunicorn at this port, but its master."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if f"--bind=127.0.0.1:{port}".encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return [pid for pid, parent in parents.items() if parent in parents]


def peak(pid: int) -> float:
    """The most memory that it has ever had at once, in MiB (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
