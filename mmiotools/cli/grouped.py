"""A command whose --help lists its options under headings."""

from __future__ import annotations

import click

from mmiotools.typed import ClassVar, Iterator, Mapping, Sequence

#: The heading of options that are in no group.
OTHERS = "Other options"


class Grouped(click.Command):
    """A subclass says:

    groups  heading → names of options without dashes, in the order in which they are listed
    more    where to read on; in --help alone
    """

    groups: ClassVar[Mapping[str, Sequence[str]]] = {}
    more: ClassVar[str] = ""

    def grouped(self, params: Sequence[click.Parameter]) -> Iterator[tuple[str, list[click.Option]]]:
        """Each heading with its options; options of no group come last."""
        left = {param.opts[-1].lstrip("-"): param for param in params if isinstance(param, click.Option)}
        for heading, names in self.groups.items():
            yield heading, [left.pop(name) for name in names]
        yield OTHERS, list(left.values())

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does, and `more` behind it."""
        super().format_help_text(ctx, formatter)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(self.more)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does, a section a group."""
        for heading, found in self.grouped(self.get_params(ctx)):
            records = [record for option in found if (record := option.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
