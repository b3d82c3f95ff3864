"""``caveat demo``."""

from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from registry.cli.common import console
from registry.client import Verdict
from registry.demo.story import Story, tell
from registry.demo.training_set import Ingredient
from registry.preference import Action

__all__ = ["demo"]


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("caveat-demo"),
    show_default=True,
    help="Folder to work in; made anew each time.",
)
def demo(out: Path) -> None:
    """Show the whole story on real pictures, with a report to open; under a minute.

    A registry is started, two artists and a gallery lodge their works, and a LoRA maker's folder, in which
    copies of them hide under other names, is filtered. Nothing leaves this machine.
    """
    people = console()
    story = tell(out, lambda line: people.print(f"[dim]·[/] {escape(line)}", soft_wrap=True))
    people.print()
    people.print(_table(story))
    people.print()
    for verdict in story.urls:
        style = "red" if verdict.action is Action.REMOVE else "green"
        name = escape(verdict.sample.name)
        people.print(
            f"[{style}]{verdict.action:7}[/] {name}\n        [dim]{escape(verdict.reason)}[/]", soft_wrap=True
        )
    summary = story.summary
    copies = sum(ingredient.is_copy for ingredient in story.ingredients)
    people.print(
        f"\n[bold]{summary.counts[Action.REMOVE]} of {copies} copies found and left out[/], with"
        f" {len(summary.left_out)} captions and caches of theirs;"
        f" {summary.kept} pictures stand in {escape(str(summary.target))}.",
        soft_wrap=True,
    )
    if summary.account is not None:
        report = Path(str(summary.account), "report.html").resolve()
        people.print(f"Open the report: {escape(str(report))}", soft_wrap=True)


def _table(story: Story) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for head in ("file", "what it is", "", "why"):
        table.add_column(head, overflow="fold", no_wrap=head in ("file", ""))
    for ingredient in story.ingredients:
        table.add_row(ingredient.name.partition("/")[2], *_cells(story, ingredient))
    return table


def _cells(story: Story, ingredient: Ingredient) -> tuple[str, str, str]:
    work = ingredient.picture.removeprefix("others/")
    what = (
        f"{escape(work)}: {ingredient.done}"
        if ingredient.is_copy
        else f"[dim]{escape(work)}: {ingredient.done}[/]"
    )
    fate = story.fate(ingredient)
    if fate is not None:
        style = "red" if fate.action is Action.REMOVE else "yellow"
        return what, f"[{style}]{fate.action}[/]", escape(_why(fate))
    if ingredient.missed:
        return what, "[yellow]missed[/]", f"[yellow]{ingredient.missed}[/]"
    if ingredient.is_copy:
        return what, "[yellow]missed[/]", "[yellow]this one should have been found[/]"
    return what, "[green]keep[/]", "[dim]no record[/]"


def _why(fate: Verdict) -> str:
    """Tell it in the words of the sentence, with whose work it is in front."""
    if fate.decision is None:
        return fate.reason
    label = fate.decision.statements[0].label
    how = fate.reason.partition(": ")[2].removesuffix(".").replace("looks like the registered work", "work")
    return f"{label}'s {how.removeprefix('the registered ')}"
