"""OpenVINO's telemetry is off in edgecnn, and other programs can still import it."""

import subprocess
import sys

import pytest

from edgecnn.host.child import child_environment
from edgecnn.runtime.engines.registry import installed

CODE = """
import importlib.util, sys
import edgecnn.runtime.engines.openvino
assert "openvino_telemetry" not in sys.modules
assert importlib.util.find_spec("openvino_telemetry") is not None
stub = sys.modules["openvino.tools.ovc.telemetry_utils"].tm
assert stub.__name__ == "openvino.tools.ovc.telemetry_stub", stub
"""


@pytest.mark.skipif("openvino" not in installed(), reason="requires OpenVINO")
def test_imports_openvino_without_telemetry():
    done = subprocess.run([sys.executable, "-c", CODE], env=child_environment(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
