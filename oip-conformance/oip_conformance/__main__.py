"""Runs the command as `python -m oip_conformance`."""

from oip_conformance.cli import main

if __name__ == "__main__":
    main(prog_name="oip-conformance")
