"use strict";
// The table is the one place that says what a trial is; marks are shown and lit up by its number.
const heads = [...document.querySelectorAll("thead th")];
const body = document.querySelector("tbody");
const tip = document.getElementById("tip");
let pinned = null;

function light(trial) {
  for (const each of document.querySelectorAll(".hot")) each.classList.remove("hot");
  document.body.classList.toggle("busy", trial !== null);
  if (trial === null) return;
  for (const each of document.querySelectorAll(`[data-t="${trial}"]`)) each.classList.add("hot");
}

function tell(trial, event) {
  const row = body.querySelector(`tr[data-t="${trial}"]`);
  const lines = document.createElement("table");
  [...row.cells].slice(1).forEach((cell, at) => {
    if (cell.textContent === "") return;
    const line = lines.insertRow();
    line.insertCell().textContent = heads[at + 1].textContent;
    line.insertCell().textContent = cell.textContent;
  });
  const title = document.createElement("b");
  title.textContent = `trial ${trial}`;
  tip.replaceChildren(title, lines);
  tip.style.display = "block";
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(0, event.clientX + 16 + width > innerWidth ? event.clientX - width - 16 : event.clientX + 16)}px`;
  tip.style.top = `${Math.max(0, Math.min(event.clientY + 12, innerHeight - height - 4))}px`;
}

function sort(column) {
  const head = heads[column];
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const each of heads) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
  const order = (a, b) => {
    const [left, right] = [key(a), key(b)];
    if (left === "" || right === "") return (left === "") - (right === ""); // empty ones last, either way
    const numbers = left - right;
    return (down ? -1 : 1) * (Number.isNaN(numbers) ? left.localeCompare(right) : numbers);
  };
  body.append(...[...body.rows].sort(order));
}

document.addEventListener("mousemove", (event) => {
  const mark = event.target.closest("svg [data-t]");
  if (mark) tell(mark.dataset.t, event);
  else tip.style.display = "none";
  if (pinned === null) light(mark ? mark.dataset.t : null);
});
document.addEventListener("click", (event) => {
  const mark = event.target.closest("[data-t]");
  pinned = mark && mark.dataset.t !== pinned ? mark.dataset.t : null;
  light(pinned);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") light((pinned = null));
});
heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => sort(column)));
