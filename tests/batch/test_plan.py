"""Tests of the plan of a batch job."""

import os
from pathlib import Path

import pytest

from edgecnn.batch.plan import Entry, Plan, sorted_on_disk
from edgecnn.errors import SourceError


def plan_of(*names: str, shard_images: int = 2) -> Plan:
    return Plan(map(Entry, names), shard_images=shard_images)


def test_divides_images_into_shards_in_their_order():
    plan = plan_of("b", "a", "e", "d", "c")
    assert plan.images == 5
    assert [[entry.name for entry in plan.entries(shard)] for shard in range(3)] == [["b", "a"], ["e", "d"], ["c"]]
    assert list(map(plan.size_of, range(3))) == [2, 2, 1]


def test_keeps_places_and_names_that_are_not_utf8():
    entries = [Entry(os.fsdecode(b"caf\xe9.jpg")), Entry("a.tar/b", "/x/a.tar", 512, 99)]
    plan = Plan(entries, shard_images=8)
    assert plan.entries(0) == entries
    assert entries[0].printable_name == "caf\\xe9.jpg"


def test_rejects_a_name_that_occurs_twice():
    with pytest.raises(SourceError, match=r"contains b\.jpg twice: remove one of them"):
        plan_of("a.jpg", "b.jpg", "b.jpg", "c.jpg")


def test_digest_depends_on_names_order_and_places():
    plans = [
        plan_of("a", "b"),
        plan_of("b", "a"),
        plan_of("a"),
        Plan([Entry("a", start=1), Entry("b")], shard_images=2),
    ]
    assert len({plan.digest for plan in plans}) == len(plans)
    assert plan_of("a", "b").digest == plan_of("a", "b", shard_images=1).digest


def test_sorts_paths_by_their_parts():
    paths = ["a.jpg", "a/b.jpg", "a/b/c.jpg", "a b/x", "Z", os.fsdecode(b"\xff"), "é"]
    assert list(sorted_on_disk(paths)) == [str(path) for path in sorted(map(Path, paths))]


def test_reports_a_full_disk_of_temporary_files(monkeypatch: pytest.MonkeyPatch):
    import sqlite3

    from edgecnn.batch import plan

    def full() -> sqlite3.Connection:
        database = sqlite3.connect("", isolation_level=None)
        database.execute("PRAGMA max_page_count = 8")
        return database

    monkeypatch.setattr(plan, "_temporary_database", full)
    with pytest.raises(plan.EdgecnnError, match="temporary files: database or disk is full; set TMPDIR"):
        plan_of(*(f"{index:0999d}" for index in range(100)))
