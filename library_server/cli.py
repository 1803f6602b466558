"""The commands of operators: ``flask library …``. Thin: they call services and print."""

import sys
from pathlib import Path
from typing import TextIO

import click
from flask.cli import AppGroup
from sqlalchemy.exc import OperationalError

from library_server.accounts import tokens
from library_server.actor import Kind
from library_server.catalog import counts, importing
from library_server.catalog.manifests import Difference, ManifestError
from library_server.config import current_config
from library_server.curriculum.importing import TABLES as CURRICULUM
from library_server.files import sweep as sweeping
from library_server.operations import schema_report
from library_server.operations.doctor import visits
from library_server.operations.doctor.examination import examine
from library_server.operations.schema_report import Level
from library_server.shared.gate import RedisAway
from library_server.usage.flushing import flush
from library_server.web import links

SHOWN = 100
LEVELS = {Level.FINE: "ok", Level.DEGRADED: "warning", Level.UNUSABLE: "error"}
NOT_KEPT_UP = "library_search lacks some, as triggers were off; `flask library recount --search` makes it anew"
TABLES = {"items": importing.ITEMS} | CURRICULUM

library = AppGroup("library", help="Look after the library.")


@library.command("token")
@click.option("--parent", type=click.IntRange(1), help="The id of a parent.")
@click.option("--child", type=click.IntRange(1), help="The id of a child.")
@click.option("--hours", type=click.IntRange(1, 24 * 365), default=12, show_default=True, help="How long it is valid.")
def token(parent: int | None, child: int | None, hours: int) -> None:
    """Print a token for local trials. Refused in production."""
    config = current_config()
    if config.app_env == "production":
        raise click.ClickException("tokens are the backend's to give in production (APP_ENV)")
    user = parent or child
    if user is None or (parent and child):
        raise click.UsageError("give one of --parent and --child")
    kind: Kind = "parent" if parent else "child"
    click.echo(tokens.mint(user, kind, config.secret_key, hours * 3600))


@library.command("check-schema")
def check_schema() -> None:
    """Say what the database has and lacks. Exit status: 0 fine, 1 degraded, 2 unusable."""
    try:
        findings = schema_report.report()
    except OperationalError:
        click.echo("The database cannot be reached: check DATABASE_URL and that PostgreSQL runs.")
        sys.exit(Level.UNUSABLE)
    for finding in findings:
        click.echo(f"{finding.level.name.lower():9} {finding.table}: {finding.sentence}")
    worst = max(finding.level for finding in findings)
    click.echo(f"Altogether: {worst.name.lower()}.")
    sys.exit(worst)


@library.command("doctor")
@click.argument("url")
@click.option(
    "--token", help="A token that the backend made, to be checked; other users of this machine may see it here."
)
@click.option("--token-file", type=click.File(errors="replace"), help="The same from a file; - is standard input.")
@click.option(
    "--replicas", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many servers there are."
)
def doctor(url: str, token: str | None, token_file: TextIO | None, replicas: int) -> None:
    """Say what is wrong with the installation at URL, and how to mend it (docs/operating.md). Run it with the server's
    settings, as its user. It changes nothing. Exit status: 0 fine, 1 warnings, 2 errors.
    """
    if token_file is not None:
        token = token_file.read(100_000)
    worst = Level.FINE
    try:
        for finding in examine(url, token, replicas):
            click.echo(f"{LEVELS[finding.level]:7}  {finding.table}: {finding.sentence}")
            worst = max(worst, finding.level)
    except visits.NoAddress as error:
        raise click.UsageError(str(error)) from None
    sys.exit(worst)


@library.command("link-key")
def link_key() -> None:
    """Print the key of signed links, for an nginx that checks them itself (deploy/nginx/). Keep it secret."""
    click.echo(links.link_key())


@library.command("sweep")
@click.option(
    "--older-than", default=60, show_default=True, type=click.IntRange(0), help="Minutes a leftover must be old."
)
@click.option("--verify", is_flag=True, help="Read every file whose digest is known, and compare.")
def sweep(older_than: int, verify: bool) -> None:
    """Remove what crashes left behind; report files without items, items without files. Exit status 1 if files are
    missing, changed or unreadable.
    """
    report = sweeping.sweep(older_than * 60, verify)
    click.echo(f"{report.leftovers_removed} leftovers removed, {report.uploads_taken_back} broken uploads taken back.")
    _list("files without items", report.files_without_items)
    _list("items without files", [f"item {item}: {path}" for item, path in report.items_without_files])
    if verify:
        _list("files that have changed", report.files_changed)
    if report.files_unreadable:
        _list("files that cannot be read", report.files_unreadable)
    sys.exit(1 if report.items_without_files or report.files_changed or report.files_unreadable else 0)


@library.command("flush-usage")
def flush_usage() -> None:
    """Take the counts of views and downloads from Redis to PostgreSQL now; servers do so by themselves."""
    try:
        flushed = flush()
    except RedisAway:
        raise click.ClickException("Redis is away; nothing is lost, try again") from None
    click.echo(f"{flushed.views} views and {flushed.downloads} downloads written.")


@library.command("recount")
@click.option("--search", is_flag=True, help="Before that, make anew what search reads; writers wait meanwhile.")
def recount(search: bool) -> None:
    """Count anew what lists go by, if `check-schema` says that it does not add up. Servers go on meanwhile."""
    if search:
        counts.refill()
    counts.recount()
    if wrong := counts.wrong():
        raise click.ClickException(f"still out by {wrong} items: {NOT_KEPT_UP}")
    click.echo("Counted.")


def _list(what: str, lines: list[str]) -> None:
    click.echo(f"{len(lines)} {what}{':' if lines else '.'}")
    for line in sorted(lines)[:SHOWN]:
        click.echo(f"  {line}")
    if len(lines) > SHOWN:
        click.echo(f"  … and {len(lines) - SHOWN} more.")


@library.command("import")
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--kind", type=click.Choice(list(TABLES)), default="items", show_default=True, help="What its rows are.")
@click.option(
    "--files",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder that paths are relative to; the files are copied into the content folder.",
)
@click.option("--update", is_flag=True, help="Make rows that are there already what the manifest says.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, row by row, and do nothing.")
def import_rows(manifest: Path, kind: str, files: Path | None, update: bool, dry_run: bool) -> None:
    """Import the rows of MANIFEST, a CSV file (docs/import.md). Exit status 1 when rows are bad."""
    with manifest.open("rb") as lines:
        length = sum(1 for _ in lines)
    try:
        with click.progressbar(length=length, label=f"Reading {manifest.name}", file=sys.stderr) as bar:
            report = importing.import_manifest(
                manifest, files, table=TABLES[kind], update=update, dry_run=dry_run, progress=bar.update
            )
    except ManifestError as error:
        raise click.ClickException(str(error)) from None
    for line, sentence in sorted(report.problems)[:SHOWN]:
        click.echo(f"line {line}: {sentence}")
    if len(report.problems) > SHOWN:
        click.echo(f"… and {len(report.problems) - SHOWN} more bad rows.")
    for difference in report.differences:
        click.echo(_told(difference))
    if dry_run and (more := report.added + report.updated - len(report.differences)) > 0:
        click.echo(f"… and {more} more that would be added or changed.")
    would = "would be " if dry_run else ""
    click.echo(
        f"{report.rows} rows: {report.added} {would}added, {report.updated} {would}updated, "
        f"{report.unchanged} left as they are, {len(report.problems)} bad; {report.files} files copied."
    )
    sys.exit(1 if report.problems else 0)


def _told(difference: Difference) -> str:
    key = " · ".join(map(_on_a_line, difference.key))
    changes = [f"\n    {name}: {_on_a_line(old)} → {_on_a_line(new)}" for name, old, new in difference.changes]
    return f"line {difference.line} would {'change' if changes else 'add'}: {key}{''.join(changes)}"


def _on_a_line(told: str | None) -> str:
    return "nothing" if told is None else " ".join(told.split())
