"""What ``pytest-sst2 COMMAND`` does, one file per command.

- ``main.py``: the entry point; parses the command line, runs the command, prints errors.
- ``compare.py``, ``report.py``, ``merge.py``, ``history.py``: saved results.
- ``upgrade.py``: the arguments of the upgrade check, which ``pytest_sst2.upgrade`` runs.
- ``doctor.py`` and ``doctor_checks.py``: what is installed and reachable.
- ``models.py``, ``methods.py``, ``recipes.py``, ``cache.py``: tables and the cache of embeddings.
- ``comparison_options.py``: the options of every command that compares. ``output.py``: printing.
"""
