"""Broken variants of the product, each an exact replacement in the source of one module, each to be caught.

A snippet that is not found exactly once is an error: whoever changes that code has to look at its mutant.

Left out, because they do no harm by themselves, or because another test holds them:
* dispatch that does not look at the end of the status topics tells again what was told: readers drop it by its
  sequence, the client as our banks. It only costs them reading.
* dispatch that numbers statuses from where it begins: it takes a restart between two records of outcomes of one log
  record, which chance does not bring. Held by tests/integration/test_dispatch.py (restart between the outcomes …).
* intake that has two log records on their way: where the first is refused, the broker refuses the second for its
  sequence number, as the producer is idempotent. Waiting is for one that is not.
* a snapshot that is named in the journal before it is whole: it is refused, and an older one or the log is read.
* a sink that does not look for the batch id: offsets below its progress are dropped before, the database's unique
  index stands behind. Held by tests/integration/test_ledger_conflicts.py.
* a gap in a source that is passed over: our intake makes none. Held by tests/core/test_repeats.py.
"""

from tests.simulation.mutant import Mutant
from tests.simulation.mutants_edges import EDGES
from tests.simulation.mutants_engine import ENGINE

MUTANTS: tuple[Mutant, ...] = (*ENGINE, *EDGES)
