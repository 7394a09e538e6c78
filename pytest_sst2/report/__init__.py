"""Render what ``compare/`` worked out. Renderers decide nothing and do not import one another.

- ``headline``, ``run_headline``: the first two lines of a comparison, and of a run. ``summary``: everything else that
  every report says.
- ``terminal``, ``markdown``, ``html``, ``csv_export``: one renderer each. ``write``: writes their files.
- ``comparison_text``: a comparison for the terminal and as JSON, and its table for the other renderers.
- ``junit``: the properties of a JUnit file.
- ``within_run_text``: the same for cells of one run.
- ``history``: the saved baselines as text and as a page.
- ``results_table``, ``text_table``: columns and rows, and a table that fits a terminal. ``ansi``: colours.
- ``page_table``, ``bars``, ``templating``, ``templates/``: the tables and the bars of a page, and the pages.
- ``page_comparison``, ``cell_details``: the compared cells on a page, and one cell.
- ``reproduce``: the commands that measure the cells again.
"""
