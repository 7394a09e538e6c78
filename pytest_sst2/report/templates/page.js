"use strict";
(() => {
  // Tables: the button in a header sorts by its column, numbers by their value. The search field filters the rows.
  const collator = new Intl.Collator("en", { numeric: true });
  const numberIn = (row, column) => {
    const { number } = row.cells[column].dataset;
    return number === undefined ? null : Number(number);
  };
  for (const table of document.querySelectorAll("table[id]")) {
    const headers = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    headers.forEach((header, column) => {
      header.querySelector("button")?.addEventListener("click", () => {
        const rising = header.getAttribute("aria-sort") !== "ascending";
        const numeric = header.classList.contains("number");
        headers.forEach((other) => other.hasAttribute("aria-sort") && other.setAttribute("aria-sort", "none"));
        header.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const rows = [...body.rows];
        // Rows without a number stay at the end in both directions.
        const empty = numeric ? rows.filter((row) => numberIn(row, column) === null) : [];
        const rest = rows.filter((row) => !empty.includes(row)).sort((one, other) => numeric
          ? numberIn(one, column) - numberIn(other, column)
          : collator.compare(one.cells[column].textContent, other.cells[column].textContent));
        if (!rising) rest.reverse();
        body.append(...rest, ...empty);
      });
    });
    const field = document.querySelector(`[data-filters="${table.id}"]`);
    field?.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let visible = 0;
      for (const row of body.rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        visible += row.hidden ? 0 : 1;
      }
      const count = document.querySelector(`[data-counts="${table.id}"]`);
      count.textContent = words.length ? `${visible} of ${body.rows.length} rows` : "";
    });
  }

  // Commands: a button copies. Where the clipboard is closed to pages, it selects the command.
  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const command = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(command.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(command);
        button.textContent = "Selected";
      }
    });
  }

  // Print folded parts too.
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
