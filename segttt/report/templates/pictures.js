// Pictures with outlines: what is drawn over them, the gallery, and what opens a case.
"use strict";
(() => {
  const holder = document.getElementById("viewer-facts");
  if (!holder) return;
  const { cases } = JSON.parse(holder.textContent);
  const scores = JSON.parse(document.getElementById("scores").textContent);
  const find = (id) => document.getElementById(id);

  for (const box of document.querySelectorAll("[data-toggle]")) {
    box.addEventListener("change", () => {
      document.body.classList.toggle(`no-${box.dataset.toggle}`, !box.checked);
      for (const other of document.querySelectorAll(`[data-toggle="${box.dataset.toggle}"]`)) other.checked = box.checked;
    });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest(".open, .point.linked");
    if (button) document.dispatchEvent(new CustomEvent("open-case", { detail: Number(button.dataset.view) }));
  });
  const place = new Map(scores.cases.map((id, i) => [id, scores.views[i]]));
  for (const point of document.querySelectorAll(".point")) {
    const view = place.get(point.dataset.case);
    if (view === null || view === undefined) continue;
    point.dataset.view = view;
    point.classList.add("linked");
  }

  const gallery = find("gallery");
  if (!gallery) return;
  const thumbs = [...gallery.children];
  let shown = thumbs.map((_, i) => i);
  const orders = { worst: (a, b) => a - b, best: (a, b) => b - a, name: (a, b) => cases[a].id.localeCompare(cases[b].id) };
  find("gallery-order").addEventListener("change", (event) => {
    shown.sort(orders[event.target.value]);
    gallery.replaceChildren(...shown.map((i) => thumbs[i]));
  });

  const [dialog, picture] = [find("large"), find("large-picture")];
  let now = 0;
  function enlarge(i) {
    now = i;
    picture.setAttribute("viewBox", thumbs[i].querySelector("svg").getAttribute("viewBox"));
    picture.querySelector("use").setAttribute("href", `#picture-${i}`);
    picture.setAttribute("aria-label", cases[i].id);
    find("large-title").textContent = cases[i].id;
    find("large-score").textContent = cases[i].score;
    if (!dialog.open) dialog.showModal();
  }
  const step = (by) => enlarge(shown[(shown.indexOf(now) + by + shown.length) % shown.length]);
  document.addEventListener("open-case", (event) => enlarge(event.detail));
  find("large-previous").addEventListener("click", () => step(-1));
  find("large-next").addEventListener("click", () => step(1));
  find("large-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  });
})();
