// Tables are sorted by a click on a heading, again the other way round; cells that hold no number stay last.
"use strict";

function sortBy(heading) {
  const table = heading.closest("table");
  const column = [...heading.parentNode.children].indexOf(heading);
  const descending = heading.getAttribute("aria-sort") === "ascending";
  const numeric = heading.classList.contains("number");
  const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const missing = (text) => numeric && (text === "" || Number.isNaN(Number(text)));
  const rows = [...table.tBodies[0].rows];
  rows.sort((first, second) => {
    const [a, b] = [value(first), value(second)];
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const order = numeric ? Number(a) - Number(b) : a.localeCompare(b);
    return descending ? -order : order;
  });
  for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  table.tBodies[0].append(...rows);
}

for (const button of document.querySelectorAll("th button"))
  button.addEventListener("click", () => sortBy(button.closest("th")));
