"""The same benchmarks in two environments, and which package, release or commit causes a difference.

- ``command.py``: what ``pytest-sst2 upgrade`` does, step by step; start here.
- ``ab_run.py``: resolves and builds both environments, and runs the benchmarks in them in turns.
- ``auto_seeds.py``: more seeds until each accuracy is decided; ``timed_turns.py``: more turns until each time is.
- ``benchmark_check.py`` and ``command_check.py``: a check by benchmarks, and one by any command's exit status.
- ``benchmark_observer.py`` and ``command_check.py`` tell whether an environment has the symptom (``observer.py``);
  ``symptom.py``: what the benchmarks look for, such as a regression.
- ``cause_search.py``: repeats both ends, then searches the cause.
- ``package_search.py``: looks for the packages that cause a symptom, and for the first bad release.
- ``minimize.py``: the algorithms of this search, without environments.
- ``repository.py`` reads the user's git repository, ``checkouts.py`` checks commits out, ``installed_here.py`` is the
  environment that they run in if no package changes.
- ``commit_search.py``: looks for the first bad commit; ``first_bad_commit.py``: its algorithm, without git.
- ``reading_list.py``: the changed functions that ran in the cell; ``traced_run.py`` runs it, ``source_changes.py`` and
  ``definitions.py`` compare the sources.
- ``benchmark_plan.py``: which benchmarks run, with which options.
- ``benchmark_runs.py``: runs pytest in an environment and merges several passes.
- ``environments.py``: builds environments, keeps them and reuses them; ``uv.py`` calls uv.
- ``pins.py``: versions of packages, read from requirements and from this environment.
- ``package_lists.py``: the packages that a lock file, a file of a commit, or a baseline names; ``lock_files.py`` reads
  the lock files of uv, PEP 751, Poetry, PDM and Pipenv.
- ``dependency_closure.py``: which package changes need each other.
- ``runner_wheel.py``: packs this package as a wheel, so that both environments run the same code.
"""
