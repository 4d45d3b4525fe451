"""The table in memory does what moto's does, with everything that the ledger asks of it."""

from __future__ import annotations

from tagship.ledger import releases
from tagship.ledger.table import Ledger
from tagship.model.release import Retry, Status
from tests.unit.interleaved import NAME, TAGS, World
from tests.unit.tables import MemoryTable, ledger_table


def lived(world: World) -> None:
    """Two releases: one is deployed and rolled back, the other is rejected and retried."""
    first, second = world.upload(TAGS[0]), world.upload(TAGS[1])
    for _ in range(12):
        world.decide(TAGS[0], "approve")
        world.go_on(first)
    world.upload(TAGS[0], retry=Retry(attempt=2, by="ana", why="again"))
    world.go_on(world.executions[-1])
    world.roll_back(TAGS[0])
    for _ in range(4):
        world.go_on(world.executions[-1])
    for _ in range(9):
        world.go_on(second)
        world.decide(TAGS[1], "reject")
    world.retry(TAGS[1])
    for _ in range(3):
        world.go_on(world.executions[-1])
    world.stop(world.executions[-1])
    world.supervise(world.executions[-1])
    world.sweep()


def test_the_in_memory_ledger_behaves_like_motos():
    with ledger_table() as client:
        worlds = [World(client), World(MemoryTable())]
        for world in worlds:
            lived(world)
        ledgers: list[Ledger] = [world.ledger for world in worlds]
        for prefix in ("FACT#", "RELEASE#", "LOCK", "CURRENT", "HEAD"):
            one, other = (list(each.query(f"APPLICATION#{NAME}", prefix)) for each in ledgers)
            assert one == other
        assert [list(each.facts_in_order(NAME)) for each in ledgers[:1]] == [
            list(each.facts_in_order(NAME)) for each in ledgers[1:]
        ]
        for kind in ("release", "lock", "approval"):
            assert list(ledgers[0].open_of(kind)) == [
                {name: item[name] for name in ("pk", "sk", "open")} for item in ledgers[1].open_of(kind)
            ]
        stands = [releases.get(ledgers[1], NAME, tag)["status"] for tag in TAGS[:2]]
        assert stands == [Status.ROLLED_BACK, Status.ABORTED]
