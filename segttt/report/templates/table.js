// The table of cases: one score at a time, sorted and filtered.
"use strict";
(() => {
  const facts = JSON.parse(document.getElementById("scores").textContent);
  const find = (id) => document.getElementById(id);
  const [metric, name, below, count] = ["metric", "name", "below", "count"].map((id) => find(`table-${id}`));
  const [head, body] = [find("table").tHead, find("table").tBodies[0]];
  let order = { column: 0, down: false }; // column -1 is the name

  const element = (tag, text, parent) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };

  const compare = (rows) => (a, b) => {
    if (order.column < 0) return facts.cases[a].localeCompare(facts.cases[b]) * (order.down ? -1 : 1);
    const [x, y] = [rows[a][order.column], rows[b][order.column]];
    if (x === null || y === null) return (x === null) - (y === null); // what has no value comes last
    return (x - y) * (order.down ? -1 : 1);
  };

  function drawHead(table) {
    head.replaceChildren();
    const row = element("tr", undefined, head);
    ["Case", ...table.columns].forEach((title, i) => {
      const cell = element("th", undefined, row);
      cell.scope = "col";
      const own = i - 1 === order.column;
      cell.setAttribute("aria-sort", own ? (order.down ? "descending" : "ascending") : "none");
      const button = element("button", title, cell);
      button.type = "button";
      button.addEventListener("click", () => {
        order = { column: i - 1, down: own ? !order.down : false };
        draw();
        head.querySelectorAll("button")[i].focus();
      });
    });
  }

  function drawBody(table) {
    const [wanted, limit] = [name.value.trim().toLowerCase(), below.value === "" ? null : Number(below.value)];
    const first = Math.max(order.column, 0);
    const kept = facts.cases.map((_, i) => i).filter((i) => facts.cases[i].toLowerCase().includes(wanted)
      && (limit === null || (table.rows[i][first] !== null && table.rows[i][first] < limit)));
    body.replaceChildren();
    for (const i of kept.sort(compare(table.rows))) {
      const row = element("tr", undefined, body);
      const title = element("th", undefined, row);
      title.scope = "row";
      title.title = facts.cases[i];
      if (facts.views[i] === null) title.textContent = facts.cases[i];
      else {
        const button = element("button", facts.cases[i], title);
        button.type = "button";
        button.className = "open";
        button.dataset.view = facts.views[i];
      }
      for (const value of table.rows[i]) element("td", value === null ? "–" : value.toFixed(table.digits), row);
    }
    count.textContent = `${kept.length} of ${facts.cases.length} cases`;
    find("table-below-name").textContent = `${table.columns[first]} below`;
  }

  function draw() {
    const table = facts.tables[metric.value];
    if (!table) return;
    drawHead(table);
    drawBody(table);
  }

  facts.tables.forEach((table, i) => { element("option", table.name, metric).value = i; });
  metric.addEventListener("change", () => { order = { column: 0, down: false }; below.value = ""; draw(); });
  for (const input of [name, below]) input.addEventListener("input", () => drawBody(facts.tables[metric.value]));
  draw();
})();
