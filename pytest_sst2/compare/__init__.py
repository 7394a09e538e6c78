"""Compare two results: verdicts, causes, speed and memory. Needs no model and no torch.

- ``comparison``: two results in, a verdict, statistics and causes for every cell out. Start here.
- ``within_run``: cells of one run against one another, by the same verdicts.
- ``pairing``: which records of two runs belong together.
- ``several_seeds``: the bounds and tests of a cell, from ``score_bound`` (sentences), ``randomisation`` (few flips) and
  ``training_spread`` (seeds). ``family``: the correction over the cells. ``single_seeds``: seeds that failed.
- ``verdict``: the rule that turns them into a word. ``would_decide``: what would decide an undecided cell.
- ``stopping_rule``, ``seed_schedule``, ``futility``: which seeds ``--sst2-seeds auto`` needs.
- ``early_check``: what is certain before the first cell is measured.
- ``drift/``: what differs in the chain from rows to predictions, in words.
- ``changed_on_purpose``: pairs cells across a declared change, and finds what has to be declared.
- ``speed_and_memory``: times (``cell_times``, with the noise of ``time_ratio``) and ``peak_memory``.
- ``plan``: simulates what the verdict would be, in the situations of ``plan_situations``.
- ``run_outcome``: whether a whole run passes, holds or fails.
- ``cell_analysis``: what a report shows of each cell: confusion matrix, ``probability_calibration``, ``slices``,
  ``flips``.
- ``history``: accuracy and time over the saved baselines.
"""
