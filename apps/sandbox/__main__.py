"""`python -m apps.sandbox ai|gateway --port N`: start one of the servers."""

import argparse
import asyncio
import sys
from pathlib import Path

from apps.sandbox.ai.app import make_ai_app
from apps.sandbox.gateway.app import make_gateway_app
from apps.sandbox.journal import JournalError
from apps.sandbox.server import ServerError, serve


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM; 0 after it, 1 if the server can't start."""
    options = _parser().parse_args(arguments)
    try:
        app = (
            make_ai_app(data=options.data) if options.server == "ai" else make_gateway_app(data=options.data)
        )
        asyncio.run(serve(app, name=options.server, host=options.host, port=options.port))
    except (JournalError, ServerError) as error:
        sys.stderr.write(f"sandbox {options.server}: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m apps.sandbox", description=__doc__)
    servers = parser.add_subparsers(dest="server", required=True)
    ai = servers.add_parser("ai", help="OpenAI at /openai/v1, Azure OpenAI at /azure")
    ai.add_argument(
        "--data", type=Path, help="folder for the journal of billed requests; none kept by default"
    )
    gateway = servers.add_parser("gateway", help="the platform gateway at /gateway")
    gateway.add_argument("--data", type=Path, required=True, help="folder for the ledger of arrivals")
    for server in (ai, gateway):
        server.add_argument("--host", default="127.0.0.1")
        server.add_argument("--port", type=_port, required=True, help="0 takes a free one")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
