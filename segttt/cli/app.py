"""The program: its commands, and the one place where errors become messages and exit codes."""

import sys
import traceback
from typing import Annotated

import typer

from segttt.cli import console
from segttt.cli.bench import bench
from segttt.cli.compare import compare
from segttt.cli.data import data_app
from segttt.cli.demo import demo
from segttt.cli.doctor import doctor
from segttt.cli.evaluate import evaluate
from segttt.cli.networks import networks_app
from segttt.cli.plan import plan
from segttt.cli.predict import predict
from segttt.cli.preprocess import preprocess
from segttt.cli.presets import presets_app
from segttt.cli.report import report
from segttt.cli.train import train
from segttt.errors import SegtttError, ran_out_of_memory

INTERRUPTED = 130
OUT_OF_RESOURCES = 5

app = typer.Typer(
    name="segttt",
    help="Medical image segmentation, from a folder of scans to a trained, evaluated model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for command in (plan, preprocess, train, predict, evaluate, compare, report, bench, demo, doctor):
    app.command()(command)
app.add_typer(presets_app, name="presets")
app.add_typer(networks_app, name="networks")
app.add_typer(data_app, name="data")


def _version(asked: bool) -> None:
    if asked:
        from segttt import __version__

        console.say(f"segttt {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Medical image segmentation, from a folder of scans to a trained, evaluated model.

    Exit codes: 0 done, 2 usage, 3 invalid data, 4 some cases failed, 5 memory or disk,
    6 something is not installed, 75 stopped early, 130 interrupted, 1 a bug of ours.
    """


def main() -> None:
    """Run the command line."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        return _exit_code(app(arguments, standalone_mode=True))
    except SystemExit as stop:
        return _interrupted() if stop.code == INTERRUPTED else _exit_code(stop.code)
    except SegtttError as error:
        _trace(arguments)
        console.fail(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except Exception as error:  # noqa: BLE001 - the boundary of the program
        _trace(arguments)
        if ran_out_of_memory(error):
            advice = "Use a smaller patch or batch (--set), fewer --workers, or another device."
            console.fail(f"Not enough memory ({_first_line(error)}). {advice}")
            return OUT_OF_RESOURCES
        console.fail(
            f"Internal error ({type(error).__name__}: {_first_line(error)}). This is a bug of "
            "segttt; `segttt --debug ...` shows where, please report it."
        )
        return 1


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no details"])[0]


def _interrupted() -> int:
    console.fail("Interrupted; the same command goes on from what is finished.")
    return INTERRUPTED


def _exit_code(code: object) -> int:
    return code if isinstance(code, int) else 0


def _trace(arguments: list[str]) -> None:
    if "--debug" in arguments:
        console.err.print(traceback.format_exc(), markup=False)
