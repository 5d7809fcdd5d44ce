"use strict";
// Without this script everything is unfolded and the pictures stand still. With it tables fold, sort and can be
// searched, and the pointer reads the trial next to it.
(() => {
  document.querySelectorAll("details").forEach((part) => part.removeAttribute("open"));
  document.documentElement.classList.add("ready");
  const table = document.querySelector(".trials");
  const rows = table ? [...table.tBodies[0].rows] : [];
  const heads = table ? [...table.tHead.rows[0].cells].map((cell) => cell.textContent) : [];
  const row_of = new Map(rows.map((row) => [row.cells[0].textContent, row]));
  const lines = [...document.querySelectorAll("#parallel [data-t]")];

  // The pointer: the nearest point of a picture, with the values of its trial.
  const tip = document.body.appendChild(document.createElement("div"));
  tip.id = "tip";
  tip.hidden = true;
  const said = (trial) => {
    const row = row_of.get(trial);
    if (!row) return `trial ${trial}`;
    return heads.map((head, k) => `${head}: ${row.cells[k].textContent}`).slice(0, 18).join("\n");
  };
  const show = (trial, event) => {
    tip.textContent = said(trial);
    tip.hidden = false;
    const left = Math.min(event.pageX + 14, window.scrollX + document.documentElement.clientWidth - tip.offsetWidth - 4);
    tip.style.left = `${Math.max(left, 2)}px`;
    tip.style.top = `${event.pageY + 14}px`;
  };
  const hide = () => {
    tip.hidden = true;
    lines.forEach((line) => line.classList.remove("on"));
  };
  const light = (trial) => lines.forEach((line) => line.classList.toggle("on", line.dataset.t === trial));
  document.querySelectorAll("svg.plot").forEach((svg) => {
    const points = [];
    svg.querySelectorAll("path[data-t]").forEach((path) => {
      if (path.closest("#parallel")) return;
      const trials = path.dataset.t.split(" ");
      [...path.getAttribute("d").matchAll(/M([\d.-]+) ([\d.-]+)/g)].forEach((at, k) => points.push([+at[1], +at[2], trials[k]]));
    });
    if (points.length) {
      svg.addEventListener("pointermove", (event) => {
        const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
        let best = null, nearest = 120;
        points.forEach((point) => {
          const far = (point[0] - at.x) ** 2 + (point[1] - at.y) ** 2;
          if (far < nearest) [best, nearest] = [point, far];
        });
        if (!best) return hide();
        light(best[2]);
        return show(best[2], event);
      });
      svg.addEventListener("pointerleave", hide);
    }
  });
  lines.forEach((line) => {
    line.addEventListener("pointermove", (event) => { light(line.dataset.t); show(line.dataset.t, event); });
    line.addEventListener("pointerleave", hide);
  });
  if (!table) return;

  // Searching and the brushes of the parallel coordinates leave the same trials in the table and among the lines.
  const ranges = new Map();
  const tools = document.createElement("p");
  tools.className = "tools";
  const label = tools.appendChild(document.createElement("label"));
  label.append("Search ");
  const input = label.appendChild(document.createElement("input"));
  input.type = "search";
  const left = tools.appendChild(document.createElement("span"));
  left.setAttribute("role", "status");
  table.closest(".scroll").before(tools);
  const height = (line, x) => {
    const at = [...line.getAttribute("d").matchAll(/[ML]([\d.-]+) ([\d.-]+)/g)].find((point) => +point[1] === x);
    return at ? +at[2] : NaN;
  };
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const out = new Set(lines.filter((line) => [...ranges].some(([x, [a, b]]) => !(height(line, x) >= a && height(line, x) <= b))).map((line) => line.dataset.t));
    let n = 0;
    rows.forEach((row) => {
      const text = row.textContent.toLowerCase();
      row.hidden = out.has(row.cells[0].textContent) || !words.every((word) => text.includes(word));
      n += !row.hidden;
    });
    const hidden = new Set(rows.filter((row) => row.hidden).map((row) => row.cells[0].textContent));
    lines.forEach((line) => line.classList.toggle("off", out.has(line.dataset.t) || hidden.has(line.dataset.t)));
    left.textContent = n === rows.length ? "" : `${n} of ${rows.length} rows`;
  };
  input.addEventListener("input", filter);
  document.querySelectorAll("#parallel .upright").forEach((axis) => {
    const svg = axis.ownerSVGElement, x = +axis.dataset.x;
    const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const grip = box.cloneNode();
    Object.entries({ x: x - 10, y: 36, width: 20, height: 236, fill: "transparent" }).forEach(([key, value]) => grip.setAttribute(key, value));
    box.setAttribute("class", "brush");
    axis.append(grip, box);
    const y_of = (event) => Math.min(272, Math.max(36, new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).y));
    let from = null;
    grip.addEventListener("pointerdown", (event) => { from = y_of(event); grip.setPointerCapture(event.pointerId); event.preventDefault(); });
    grip.addEventListener("pointermove", (event) => {
      if (from === null) return;
      const [a, b] = [from, y_of(event)].sort((one, other) => one - other);
      Object.entries({ x: x - 6, y: a, width: 12, height: b - a }).forEach(([key, value]) => box.setAttribute(key, value));
    });
    grip.addEventListener("pointerup", (event) => {
      const [a, b] = [from, y_of(event)].sort((one, other) => one - other);
      from = null;
      if (b - a < 4) { ranges.delete(x); box.setAttribute("height", 0); } else ranges.set(x, [a, b]);
      filter();
    });
  });

  // A click on a head sorts by its column; a second one turns the order round.
  const value = (row, k) => {
    const text = row.cells[k].textContent, found = Number(text.replaceAll(",", ""));
    return text.trim() === "" || Number.isNaN(found) ? text : found;
  };
  [...table.tHead.rows[0].cells].forEach((cell, k) => {
    const button = document.createElement("button");
    button.textContent = cell.textContent;
    cell.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") === "ascending";
      [...table.tHead.rows[0].cells].forEach((other) => other.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (a, b) => {
        const [one, other] = [value(a, k), value(b, k)];
        if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
        return (one < other ? -1 : one > other ? 1 : 0) * (down ? -1 : 1);
      };
      table.tBodies[0].append(...rows.sort(order));
    });
  });
})();
