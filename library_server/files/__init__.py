"""Files over HTTP: serving content and assets, downloads, uploads, and what sweeps up after a crash."""
