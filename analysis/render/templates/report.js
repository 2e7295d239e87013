// SPDX-FileCopyrightText: Evenkeel contributors
// SPDX-License-Identifier: Apache-2.0
// Only adds to a page that is whole without it: what a mark is at once where the pointer is, and tables that print.
"use strict";
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);
for (const title of document.querySelectorAll(".drawing title")) {
  const mark = title.parentNode, said = title.textContent;
  title.remove();
  mark.addEventListener("pointerenter", (event) => {
    tip.textContent = said;
    tip.hidden = false;
    const left = Math.min(event.pageX + 12, document.documentElement.clientWidth - tip.offsetWidth - 8);
    tip.style.setProperty("left", `${Math.max(8, left)}px`);
    tip.style.setProperty("top", `${event.pageY + 16}px`);
  });
  mark.addEventListener("pointerleave", () => { tip.hidden = true; });
}
const folded = [];
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    folded.push(details);
  }
});
addEventListener("afterprint", () => {
  for (const details of folded.splice(0)) details.open = false;
});
