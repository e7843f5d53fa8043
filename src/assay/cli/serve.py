"""The champion over HTTP: the verb `assay serve`. Owns its words; the work is done in serve/."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option


def add_to(app: typer.Typer) -> None:
    """Give `app` this verb."""
    app.command()(serve)


def serve(
    host: Annotated[str | None, Option(help="Address to listen at; by default serve.host.")] = None,
    port: Annotated[int | None, Option(min=0, max=65535, help="Port; by default serve.port. 0: any free one.")] = None,
) -> None:
    """Let the champion answer over HTTP; a new champion takes its place without a request lost.

    Example: assay serve --port 8000
    """
    from assay.settings import load

    params = load()  # before what takes seconds to import
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}

    from assay.serve import serve as run

    run(params.model_copy(update={"serve": params.serve.model_copy(update=given)}), Path())
