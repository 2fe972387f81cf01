/**
 * The report's script: shows what a mark of a chart stands for while the pointer is on it, or after a touch, or, with
 * the arrow keys, from mark to mark of a chart that has the focus. Without it the tables below the charts say the same.
 */
export const script = `
"use strict";
const tip = document.getElementById("tip");
const marksOf = (chart) => [...chart.querySelectorAll("[data-tip]")];
const reach = 28;
let shownAt = 0;

function nearest(chart, x, y) {
  let best, least = reach;
  for (const mark of marksOf(chart)) {
    const box = mark.getBoundingClientRect();
    const dx = Math.max(box.left - x, 0, x - box.right);
    const dy = Math.max(box.top - y, 0, y - box.bottom);
    const distance = Math.hypot(dx, dy);
    if (distance < least) [best, least] = [mark, distance];
  }
  return best;
}

function show(mark, x, y) {
  tip.textContent = mark.getAttribute("data-tip");
  shownAt = scrollY;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, x + 14), innerWidth - width - 8);
  const top = y - height - 12 < 8 ? y + 18 : y - height - 12;
  tip.style.left = left + "px";
  tip.style.top = Math.max(8, top) + "px";
}

function hide() {
  tip.hidden = true;
}

function point(event) {
  const chart = event.target.closest ? event.target.closest(".chart") : null;
  const mark = chart && (event.target.closest("[data-tip]") || nearest(chart, event.clientX, event.clientY));
  if (mark) show(mark, event.clientX, event.clientY);
  else hide();
}

document.addEventListener("pointermove", point);
document.addEventListener("pointerdown", point);
document.addEventListener("pointerleave", (event) => {
  // A finger that is lifted leaves too; what it touched stays.
  if (event.pointerType === "mouse") hide();
});
addEventListener("scroll", () => { if (Math.abs(scrollY - shownAt) > 8) hide(); }, { passive: true });
for (const chart of document.querySelectorAll(".chart")) {
  chart.setAttribute("tabindex", "0");
  let at = -1;
  chart.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const marks = marksOf(chart);
    if (step === undefined || marks.length === 0) return;
    event.preventDefault();
    at = (at + step + marks.length) % marks.length;
    const box = marks[at].getBoundingClientRect();
    show(marks[at], box.left + box.width / 2, box.top);
  });
  chart.addEventListener("blur", hide);
}
`;
