"use strict";
(() => {
  // Tables: the button in a header sorts by its column, numbers by their value. The search field filters the rows.
  const collator = new Intl.Collator("en", { numeric: true });
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    return "number" in cell.dataset ? Number(cell.dataset.number) : null;
  };
  const compare = (column, numeric) => (one, other) => {
    if (!numeric) return collator.compare(one.cells[column].textContent, other.cells[column].textContent);
    const [a, b] = [keyOf(one, column), keyOf(other, column)];
    return a - b;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headers = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    headers.forEach((header, column) => {
      header.querySelector("button").addEventListener("click", () => {
        const rising = header.getAttribute("aria-sort") !== "ascending";
        const numeric = header.classList.contains("number");
        headers.forEach((other) => other.setAttribute("aria-sort", "none"));
        header.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const rows = [...body.rows];
        // Rows without a number stay at the end in both directions.
        const empty = numeric ? rows.filter((row) => keyOf(row, column) === null) : [];
        const rest = rows.filter((row) => !empty.includes(row)).sort(compare(column, numeric));
        if (!rising) rest.reverse();
        body.append(...rest, ...empty);
      });
    });
    const field = document.querySelector(`[data-filters="${table.id}"]`);
    const count = document.querySelector(`[data-counts="${table.id}"]`);
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let visible = 0;
      for (const row of body.rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        visible += row.hidden ? 0 : 1;
      }
      count.textContent = words.length ? `${visible} of ${body.rows.length} rows` : "";
    });
  }

  // Charts: the tab key stops once per chart, the arrow keys move from mark to mark, and a focused mark shows its description.
  const tip = document.getElementById("tip");
  const show = (mark) => {
    tip.textContent = mark.getAttribute("aria-label");
    tip.hidden = false;
    const box = mark.getBoundingClientRect();
    const left = Math.min(box.right + 8, document.documentElement.clientWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(8, left) + window.scrollX}px`;
    tip.style.top = `${box.bottom + 8 + window.scrollY}px`;
  };
  const hide = () => { tip.hidden = true; };
  for (const drawing of document.querySelectorAll(".chart svg")) {
    const marks = [...drawing.querySelectorAll(".mark")];
    marks.forEach((mark, index) => {
      mark.setAttribute("tabindex", index === 0 ? "0" : "-1");
      mark.addEventListener("pointerenter", () => show(mark));
      mark.addEventListener("pointerleave", hide);
      mark.addEventListener("focus", () => show(mark));
      mark.addEventListener("blur", hide);
      mark.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (event.key === "Escape") hide();
        if (!step) return;
        event.preventDefault();
        const next = marks[(index + step + marks.length) % marks.length];
        mark.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
      });
    });
  }

  // Print folded parts too.
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details.cell")) details.open = true;
  });
})();
