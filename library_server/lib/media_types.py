"""The types that files are served as. What is not listed is bytes to save: a browser runs none of it."""

CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "pdf": "application/pdf",
    "txt": "text/plain; charset=utf-8",
    "json": "application/json",
}
ASSET_TYPES = CONTENT_TYPES | {
    "css": "text/css; charset=utf-8",
    "ico": "image/x-icon",
    "svg": "image/svg+xml",
    "ttf": "font/ttf",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
}
UNKNOWN = "application/octet-stream"
