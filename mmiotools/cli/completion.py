"""`mmiotools completion`"""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

#: Shown in --help and in the man page, and run by a test: (what it does, shell command).
EXAMPLES = [
    ("In this shell, if it is bash:", 'eval "$(mmiotools completion bash)"'),
    ("What fish would read:", "mmiotools completion fish"),
]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="bash|zsh|fish")
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    """Print the script that completes mmiotools in a shell.

    Commands, options, and the names of formats, drivers, devices, views and policies are completed. Put the line for
    your shell where it reads its settings:

    \b
      bash  ~/.bashrc                  eval "$(mmiotools completion bash)"
      zsh   ~/.zshrc                   eval "$(mmiotools completion zsh)"
      fish  ~/.config/fish/config.fish mmiotools completion fish | source
    """
    root = ctx.find_root()
    chosen = get_completion_class(shell)
    assert chosen is not None  # click brings these three
    completer = chosen(root.command, {}, "mmiotools", "_MMIOTOOLS_COMPLETE")
    # The base class's method: bash's own would start a bash first, only to look at its version.
    click.echo(ShellComplete.source(completer))
    return 0
