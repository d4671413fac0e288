"""`harness cache`."""

from __future__ import annotations

import dataclasses
from datetime import datetime

import click

from harness.cli import main as cli
from harness.cli.output import echo, echo_json


@click.group("cache", short_help=cli.VERBS["cache"], invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Show the cached features of frozen models and the cached decoded images, most recently used first.

    $HARNESS_CACHE sets the folder of the cache, and $HARNESS_CACHE_GB its largest size. Above this size, the least
    recently used entries are removed. Everything in the cache can be computed again.
    """
    if context.invoked_subcommand is not None:
        return
    from harness.cache.store import GB, open_cache
    from harness.util.disk import bytes_text

    cache = open_cache()
    entries = cache.entries()
    total = sum(entry.bytes for entry in entries)
    if as_json:
        summary = {"folder": str(cache.folder), "limit": cache.limit, "bytes": total}
        echo_json(summary | {"entries": [dataclasses.asdict(entry) for entry in entries]})
        return
    for entry in entries:
        used = f"{datetime.fromtimestamp(entry.used):%Y-%m-%d %H:%M}"
        count = f"{entry.rows:>8} rows  {bytes_text(entry.bytes):>8}"
        echo(f"{entry.key[:8]}  {entry.kind:<8}  {count}  used {used}  {entry.about}")
    if not entries:
        echo("the cache is empty")
    echo(f"{bytes_text(total)} of {cache.limit / GB:g} GB in {cache.folder}")


@command.command("clear")
@click.argument("keys", nargs=-1)
def clear(keys: tuple[str, ...]) -> None:
    """Remove the entries whose keys begin with KEYS, or all entries. An entry that a run is writing stays."""
    from harness.cache.store import open_cache
    from harness.util.console import print_line

    cache = open_cache(print_line)
    removed = cache.clear(keys)
    echo(f"{removed} {'entry' if removed == 1 else 'entries'} removed from {cache.folder}")
