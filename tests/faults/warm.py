"""What victims are forked from: each task was done once, so that nothing is loaded while it is traced."""

import json
import tempfile
from pathlib import Path

from tests.faults.ledger import Entry, draft_of, questions
from tests.faults.service import Place
from tests.faults.victim import done_at_once

with tempfile.TemporaryDirectory(prefix="caveat-faults-") as _folder:
    _place, _entry = Place.make(Path(_folder) / "warm"), Entry.new()
    _bodies = {"register": draft_of(_entry), "look up": {"items": questions([_entry])}}
    for _task in ("register", "look up", "publish", "build"):
        done_at_once(_task, _place, json.dumps(_bodies.get(_task)).encode())
