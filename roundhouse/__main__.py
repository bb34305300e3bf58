"""The `roundhouse` command. Nothing heavy up here: engines import this module again."""


def main() -> None:
    from roundhouse.cli import app  # here, for the reason above

    app()


if __name__ == "__main__":
    main()
