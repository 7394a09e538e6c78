"""Print the sections of a run at the end of pytest's output: results, comparison within the run, comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from pytest_sst2.session.session import Session


class TerminalSections:
    """The sections of one run on pytest's terminal."""

    def __init__(self, reporter: pytest.TerminalReporter, run: Session) -> None:
        self._reporter = reporter
        self._run = run
        self._writer = reporter.config.get_terminal_writer()

    def print(self, *, only_comparison: bool) -> None:
        """Print every section that has something to say; ``only_comparison`` if no cell was measured."""
        for title, lines in (
            ("SST-2 benchmark", (lambda: []) if only_comparison else self._summary_lines),
            ("SST-2 within the run", self._within_run_lines),
            ("SST-2 comparison", self._comparison_lines),
        ):
            if text := _lines_or_error(title, lines):
                self._reporter.section(title)
                self.write(text)
        self._writer.flush()  # drawing a report may be what ends this process

    def write(self, lines: Sequence[str]) -> None:
        """Write lines in colour, without a character that the terminal cannot encode."""
        from pytest_sst2.report.ansi import coloured
        from pytest_sst2.utils.sanitize import encodable

        # Otherwise pytest would write an escape sequence of six characters for such a character.
        encoding = getattr(getattr(self._writer, "_file", None), "encoding", None)
        for line in lines:
            text = encodable(line, encoding)
            self._reporter.write_line(coloured(text, lambda part, color: self._writer.markup(part, **{color: True})))

    def _summary_lines(self) -> list[str]:
        from pytest_sst2.report.terminal import summary_lines

        gathered = self._run.gathered
        return summary_lines(
            gathered.records,
            gathered.failures,
            self._run.notes,
            self._run.problems,
            self._writer.fullwidth,
            verbose=self._reporter.config.option.verbose > 0,
        )

    def _within_run_lines(self) -> list[str]:
        if self._run.within is None:
            return []
        from pytest_sst2.report.within_run_text import within_run_lines

        return within_run_lines(self._run.within, self._writer.fullwidth)

    def _comparison_lines(self) -> list[str]:
        run, comparison = self._run, self._run.comparison
        if comparison is None:
            return []
        from pytest_sst2.report.comparison_text import comparison_lines

        return comparison_lines(comparison, run.settings.fail_on, self._writer.fullwidth, opening=run.opening())


def _lines_or_error(title: str, lines: Callable[[], list[str]]) -> list[str]:
    """Return the lines of a section, or one line about why it cannot be printed: all results are written by now."""
    try:
        return lines()
    except Exception as error:
        from pytest_sst2.utils.unexpected import unexpected

        return [f"ERROR: {unexpected(f'the section {title!r}', error)}"]
