"""`python -m edgecnn` is `edgecnn`."""

from edgecnn.cli.main import main

if __name__ == "__main__":
    main()
