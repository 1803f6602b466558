"""Paths that try to leave a folder, to hide, to reach a device, or to mean another file on another system."""

HOSTILE_PATHS = [
    # upwards
    *("..", "../x", "../../etc/passwd", "audio/..", "audio/../x"),
    *("audio/../../x", "audio/x/..", "../", "..//x", "a/../.."),
    *(".../x", "....//x", "..../x", "audio/.../x", "..;/x", "..x", "audio/..%2fx", "..%00/x", "..\0/x", "../\0x"),
    # from the root, from nowhere, in place
    *("", "/", "//", "///etc/passwd", "/etc/passwd", "//etc/passwd"),
    *("/x", "audio//x", "audio/", "audio///", "/audio/x"),
    *(".", "./x", "audio/.", "audio/./x", "./../x", "././x"),
    *(" ", "audio/ /x", "\t", "\u3000", "\u2028", "audio/\u00a0"),
    # backslashes
    *("\\", "..\\x", "..\\..\\etc\\passwd", "audio\\x", "\\etc\\passwd", "\\\\server\\share\\x", "audio/..\\..\\x"),
    *("audio/x\\", "C:\\x", "\\\\?\\C:\\x", "\\\\.\\COM1", "audio/\\..\\x"),
    # drives, streams, addresses
    *("C:", "C:x", "c:/x", "C:/Windows/win.ini", "x.mp3:stream"),
    *("x.mp3::$DATA", "audio::$INDEX_ALLOCATION/x", ":", "x:"),
    *("file:///etc/passwd", "http://example.org/x", "audio/a:b.mp3"),
    # control characters, half a surrogate pair
    *("\0", "x\0", "x\0.mp3", "audio\0/x", "x\n", "x\ny", "x\r\ny"),
    *("x\ty", "\x1b[0m", "x\x7f", "x\x80", "x\x9f", "\x01"),
    *("x\ud800", "\udc2e\udc2e/x", "audio/\udcff.mp3"),
    # hidden
    *(".x", ".env", ".git/config", "audio/.x", ".audio/x", ".partial-x", "audio/.partial-abc", ".htaccess", "a/.b/c"),
    # devices of Windows
    *("con", "CON", "Con.mp3", "nul", "NUL.txt", "audio/nul", "nul/x", "prn", "AUX.", "aux.mp3", "com1", "COM9.txt"),
    *("lpt1", "LPT9.mp3", "com0", "lpt0", "conin$", "CONOUT$", "com¹", "LPT³.txt", "con.tar.gz", "con .txt", "NUL /x"),
    # what Windows cuts off, and another file is meant
    *("x.", "x...", "audio./x", "x ", " x", "audio /x", " audio/x"),
    *("x. ", "x .", "x\u3000", "\u2003x", "x.mp3.", "x\u00a0"),
    # longer than file systems know
    *("x" * 256, "audio/" + "x" * 256, "x" * 256 + "/y", "é" * 128, "😀" * 64, "x" * 100_000),
]
