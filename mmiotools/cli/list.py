"""`mmiotools list`"""

from __future__ import annotations

import importlib

import click

from mmiotools.cli.common import Run
from mmiotools.cli.options import quiet_option
from mmiotools.trace.in_c import json_text
from mmiotools.trace.registry import Listing, Registry
from mmiotools.typed import Any

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    ("The formats, and which can be read or written:", "mmiotools list formats"),
    ("The drivers that record knows:", "mmiotools list drivers"),
    ("The register maps that --regs knows, and the cards they are for:", "mmiotools list regmaps"),
]

#: Family → where its registry or table is; None for a family that has no members yet.
FAMILIES: dict[str, str | None] = {
    "formats": "mmiotools.formats:FORMATS",
    "drivers": "mmiotools.drivers:DRIVERS",
    "devices": "mmiotools.devices:DEVICES",
    "predicates": "mmiotools.filters.predicates:PREDICATES",
    "views": "mmiotools.diff.views:VIEWS",
    "policies": "mmiotools.replay.policy:POLICIES",
    "plugins": "mmiotools.plugins:PLUGINS",
    "transports": "mmiotools.serve:TRANSPORTS",
    "quirks": "mmiotools.engine.quirks:QUIRKS",
    "scenarios": "mmiotools.record.plan:bundled_scenarios",
    "rules": "mmiotools.diff.rules:RULES",
    "regmaps": "mmiotools.regmaps:bundled_maps",
}


@click.command()
@click.argument("family", type=click.Choice(list(FAMILIES)), metavar="FAMILY")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@quiet_option
def command(family: str, as_json: bool, quiet: bool) -> int:
    """List what can be named: formats, drivers, devices, predicates, views, policies, plugins, transports,
    quirks, scenarios, rules or regmaps.

    A plug-in that does not work is listed with the reason.
    """
    run = Run(quiet)
    members = _members(family)
    if not members:
        run.say(f"there are no {family} yet")
        return run.status
    wide = max(len(listing.name) for listing, _ in members)
    for listing, details in members:
        if as_json:
            click.echo(json_text({**listing._asdict(), **details}))
            continue
        told = "" if listing.origin == "built-in" else f"  [{listing.origin}]"
        if listing.problem is not None:
            told += f"  does not work: {listing.problem}"
        elif family == "formats":
            told += f"  ({_directions(details)}; {' '.join(details['suffixes'])})"
            told += f"  needs: {details['needs']}" if "needs" in details else ""
        elif family == "quirks":
            told += f"  ({', '.join(details['compats'])})"
        elif family == "regmaps":
            told += f"  ({' '.join(details['ids'])})"
        elif "versions" in details:
            told += f"  (versions {', '.join(details['versions'])})"
        click.echo(f"{listing.name:<{wide}}  {listing.title}{told}")
    return run.status


def _members(family: str) -> list[tuple[Listing, dict[str, Any]]]:
    target = FAMILIES[family]
    if target is None:
        return []
    module, _, attribute = target.partition(":")
    table = getattr(importlib.import_module(module), attribute)
    if callable(table):
        table = table()
    if not isinstance(table, Registry):
        return [(Listing(item.name, item.title, "built-in", None), _row(item)) for item in table]
    return [(listing, _details(family, table, listing)) for listing in table.listing()]


def _row(item: Any) -> dict[str, Any]:
    """What a row of a table says besides name and title."""
    return {name: list(value) for name, value in item._asdict().items() if isinstance(value, tuple) and value}


def _details(family: str, registry: Registry[Any], listing: Listing) -> dict[str, Any]:
    if listing.problem is not None:
        return {}
    found = registry.get(listing.name)
    if family == "formats":
        about = {
            "readable": found.readable,
            "writable": found.writable,
            "suffixes": list(found.suffixes),
            "keeps": sorted(found.keeps),
        }
        needs = getattr(found, "needs", None)
        return about if needs is None else about | {"needs": needs}
    if family == "drivers":
        return {"versions": list(found.versions), "device": found.device}
    return {}


def _directions(details: dict[str, Any]) -> str:
    return " and ".join(word for word in ("read", "write") if details["readable" if word == "read" else "writable"])
