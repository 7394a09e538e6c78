"""Inject every fault of ``tests/support/hub_faults.py`` with the real clients, and time the sentence the user reads.

    python tools/checks/hub_faults.py [--whole] [--only NAME] [--parallel N] [-o FILE]

One process downloads a model and one downloads SST-2; with ``--whole`` these are whole runs of pytest, an hour in all.
Then the Hub works again and the cache is checked: offline nothing may be read from it, online it must match the Hub.
Seconds are from the client's first request to the sentence. About ten minutes.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support import hub_runs
from tests.support.hub_faults import DATA, FAULTS, MODEL, HubFault, Place
from tests.support.loopback_hub import running_hub

HEADERS = ("the Hub", "what the user reads, in short", "model, seconds", "SST-2, seconds")


@dataclass(frozen=True)
class Met:
    """The result of one fault in one process."""

    fault: HubFault
    place: Place
    said: str
    seconds: float
    broken: list[str]

    @property
    def in_short(self) -> str:
        """The clause with the reason, without digests and addresses."""
        clause = re.search(r"(?:has no copy of \S+|lacks [^,]+), and (.*?)\. Next steps:", self.said)
        text = clause.group(1) if clause else self.said[:200] or "nothing"
        text = re.sub(r"\b[0-9a-f]{40,64}\b", "DIGEST", text).replace(self.place.repo_id, "ID")
        return re.sub(r"http://(127\.0\.0\.1:\d+|no-such-host\.invalid)", "HUB", text)


def meet(fault: HubFault, place: Place, repositories: dict[Place, Path], *, whole: bool) -> Met:
    """Download from a Hub with a fault, and check the sentence and the cache."""
    with running_hub() as server, tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        hub_runs.serve(server, repositories)
        fault.inject(server, place)
        login = {"HF_TOKEN": hub_runs.TOKEN} if fault.token else {}
        client = {} if fault.is_of_xet or place == MODEL else {"HF_HUB_DISABLE_XET": "1"}
        env = hub_runs.environment(fault.endpoint(server), home, **login, **client)
        if whole:
            run = hub_runs.run_benchmarks(*hub_runs.options_for(place), env=env, folder=home)
            output, said, seconds = run.output, " ".join(run.errors), run.seconds
        else:
            answer = hub_runs.fetch(place, env)
            output = said = answer.get("error", "")
            seconds = answer["seconds"]
        if server.first_question is not None:
            seconds = time.perf_counter() - server.first_question
        broken = [f"not said: {pattern}" for pattern in fault.missing(output)]
        broken += ["a traceback"] * ("Traceback" in output) + ["the token"] * (hub_runs.TOKEN in output)
        broken += ["it passed"] * (not said) + [f"{seconds:.0f} s"] * (seconds > 60)
        broken += [f"left behind: {path.name}" for path in home.rglob("*.incomplete")]
        server.forget()
        offline = hub_runs.fetch(place, {**env, "HF_HUB_OFFLINE": "1"})
        broken += ["a bad snapshot is taken offline"] * ("error" not in offline)
        sound = hub_runs.fetch(place, hub_runs.environment(server.address, home))
        broken += ["the cache is not what the Hub has"] * (sound.get("files") != hub_runs.digests(repositories[place]))
        return Met(fault, place, said, seconds, broken)


def table(met: list[Met]) -> Iterator[str]:
    """Yield the lines of the Markdown table, one per fault."""
    yield f"| {' | '.join(HEADERS)} |"
    yield f"|{' --- |' * len(HEADERS)}"
    for fault in dict.fromkeys(each.fault for each in met):
        by_place = {each.place: each for each in met if each.fault is fault}
        seconds = [f"{by_place[place].seconds:.0f}" if place in by_place else "" for place in (MODEL, DATA)]
        yield f"| {fault.name} | {next(iter(by_place.values())).in_short} | {' | '.join(seconds)} |"


def main() -> int:
    """Inject every fault, write the table, and return 1 if one was not handled as promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", action="store_true", help="whole runs of pytest")
    parser.add_argument("--only", help="only faults whose name contains this")
    parser.add_argument("--parallel", type=int, default=3, help="runs at the same time")
    parser.add_argument("-o", "--output", type=Path, help="file for the table (default: print it)")
    arguments = parser.parse_args()
    faults = [fault for fault in FAULTS if not arguments.only or arguments.only in fault.name]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(arguments.parallel) as pool:
        repositories = hub_runs.write_repositories(Path(scratch))
        jobs = [
            pool.submit(meet, fault, place, repositories, whole=arguments.whole)
            for fault in faults
            for place in (MODEL, DATA)
        ]
        met = [job.result() for job in jobs]
    for result in met:
        print(f"{result.fault.name}, {result.place.repo_type}: {result.seconds:.1f} s {result.broken}", file=sys.stderr)
    text = "\n".join(table(met))
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(f"{text}\n", encoding="utf-8")
    return int(any(each.broken for each in met))


if __name__ == "__main__":
    sys.exit(main())
