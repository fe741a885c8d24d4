"""Tests of child processes that answer a question."""

import os

import pytest

from edgecnn.host.child_call import ask_child


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="no priorities")
def test_runs_a_child_with_lower_priority():
    ended = ask_child("nice_child", {}, 30.0, niceness=7)
    assert ended is not None
    assert ended.stdout.split() == [b"%d" % (os.nice(0) + 7)]
