"""Run the `edgecnn` command as `python -m edgecnn`."""

from edgecnn.cli.main import main

if __name__ == "__main__":
    main()
