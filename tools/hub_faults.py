"""Run the benchmarks against a Hub that fails, once for each fault of ``tests/hub_faults.py``, and time what is said.

    python tools/hub_faults.py [--only NAME] [--beside N] [-o docs/reliability.md]

Each fault is met by a whole run of pytest, once by a model and once by SST-2. Afterwards the Hub is sound, and the
cache is checked: offline nothing may be taken from it, and then it must hold what the Hub has. The table replaces what
stands between two comments of the output file. The seconds are those from the first request to the end of the run, or
of the whole run where no request arrives. It takes about ten minutes with three runs beside each other.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.hub_faults import DATA, FAULTS, MODEL, HubFault, Place
from tests.hub_runs import TOKEN, Run, environment, options_for, run_benchmarks, serve, take, write_repositories
from tests.loopback_hub import running_hub

BEGIN, END = "<!-- hub-faults:begin -->", "<!-- hub-faults:end -->"
HEADERS = ("the Hub", "what the user reads, in short", "model, seconds", "SST-2, seconds")


@dataclass(frozen=True)
class Met:
    """What became of one fault met by one run."""

    fault: HubFault
    place: Place
    run: Run
    hub_seconds: float
    broken: list[str]

    @property
    def in_short(self) -> str:
        """The clause that says why, without what is the same in all."""
        said = " ".join(self.run.sentences)
        clause = re.search(r"has no complete copy(?: of \S+)?, and (.*?)\. (?:Ways on|Three ways on)", said)
        text = clause.group(1) if clause else said[:200] or "nothing"
        return re.sub(r"http://127\.0\.0\.1:\d+", "HUB", text).replace(self.place.repo_id, "ID")


def meet(fault: HubFault, place: Place, repositories: dict[Place, Path]) -> Met:
    """Run the benchmarks against the fault, and look at what is left of it."""
    with running_hub() as server, tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        serve(server, repositories)
        fault.order(server, place)
        login = {"HF_TOKEN": TOKEN} if fault.token else {}
        told = environment(fault.endpoint(server), home, **login)
        run = run_benchmarks(*options_for(place), told=told, folder=home)
        hub_seconds = time.perf_counter() - server.first_request if server.first_request else run.seconds
        broken = [f"not said: {pattern}" for pattern in fault.unsaid(run.output)]
        broken += ["a traceback"] * ("Traceback" in run.output) + ["the token"] * (TOKEN in run.output)
        broken += ["it passed"] * (run.status == 0) + [f"{run.seconds:.0f} s"] * (run.seconds > 60)
        broken += [f"left behind: {path.name}" for path in home.rglob("*.incomplete")]
        server.forget()
        offline = take(place, {**told, "HF_HUB_OFFLINE": "1"})
        broken += ["a bad snapshot is taken offline"] * ("said" not in offline)
        sound = take(place, environment(server.address, home))
        folder = repositories[place]
        expected = {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*")
            if path.is_file()
        }
        broken += ["the cache is not what the Hub has"] * (sound.get("files") != expected)
        return Met(fault, place, run, hub_seconds, broken)


def table(met: list[Met]) -> Iterator[str]:
    """Yield the lines of the Markdown table, one a fault."""
    yield f"| {' | '.join(HEADERS)} |"
    yield f"|{' --- |' * len(HEADERS)}"
    for fault in dict.fromkeys(each.fault for each in met):
        by_place = {each.place: each for each in met if each.fault is fault}
        seconds = [f"{by_place[place].hub_seconds:.0f}" if place in by_place else "" for place in (MODEL, DATA)]
        yield f"| {fault.name} | {next(iter(by_place.values())).in_short} | {' | '.join(seconds)} |"


def main() -> int:
    """Meet every fault, write the table, and return 1 where one was not met as promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="the faults whose name holds this")
    parser.add_argument("--beside", type=int, default=3, help="runs beside each other")
    parser.add_argument("-o", "--output", type=Path, help="the file whose table is replaced; else it is printed")
    arguments = parser.parse_args()
    faults = [fault for fault in FAULTS if not arguments.only or arguments.only in fault.name]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(arguments.beside) as pool:
        repositories = write_repositories(Path(scratch))
        jobs = [pool.submit(meet, fault, place, repositories) for fault in faults for place in (MODEL, DATA)]
        met = []
        for job in jobs:
            met.append(job.result())
            each = met[-1]
            seconds = f"{each.hub_seconds:.1f} of {each.run.seconds:.1f} s"
            print(f"{each.fault.name}, {each.place.repo_type}: {seconds} {each.broken}", file=sys.stderr)
    text = "\n".join(table(met))
    if arguments.output is None:
        print(text)
    else:
        page = arguments.output.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        after = rest.partition(END)[2]
        arguments.output.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    return int(any(each.broken for each in met))


if __name__ == "__main__":
    sys.exit(main())
