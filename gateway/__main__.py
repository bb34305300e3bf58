"""python -m gateway --config FILE: one gateway process with its engines."""


def main() -> int:
    """Run until SIGTERM or SIGINT; status 1 when it could not start, or lost all its engines."""
    # Imported here: engines spawn processes, each of which imports this module again.
    from gateway.process import run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
