"use strict";
// Tooltips, sorting, enlarging, copying. The page reads the same without: every plot is drawn, every table is whole.
(() => {
  const make = (tag, css, text) => {
    const made = document.createElement(tag);
    if (css) made.className = css;
    if (text) made.textContent = text;
    return made;
  };

  // -- tooltips: on hover, on touch, and on focus: a plot takes the focus, arrow keys go from mark to mark
  const tip = make("div");
  tip.id = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  document.body.append(tip);
  let hot = [];

  const hint = (mark) => {
    const title = mark.querySelector(":scope > title");
    if (title) { // the browser's own tooltip would cover ours
      mark.dataset.tip = title.textContent;
      title.remove();
    }
    return mark.dataset.tip;
  };

  const show = (mark) => {
    hide();
    const text = hint(mark);
    if (!text) return;
    tip.textContent = text;
    tip.hidden = false;
    (mark.closest("dialog") || document.body).append(tip);
    const place = mark.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = Math.min(Math.max(4, place.left + place.width / 2 - own.width / 2), innerWidth - own.width - 4);
    const above = place.top - own.height - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 4 ? above : place.bottom + 8}px`;
    const trial = mark.dataset.t;
    hot = trial === undefined ? [mark] : [...document.querySelectorAll(`svg [data-t="${CSS.escape(trial)}"]`)];
    hot.forEach((one) => one.classList.add("hot"));
  };

  const hide = () => {
    tip.hidden = true;
    hot.forEach((one) => one.classList.remove("hot"));
    hot = [];
  };

  const isMark = (node) => node.closest && node.closest("svg.plot [data-m]");
  document.addEventListener("pointerover", (event) => { const mark = isMark(event.target); mark ? show(mark) : hide(); });
  document.addEventListener("pointerdown", (event) => { const mark = isMark(event.target); mark ? show(mark) : hide(); });
  document.addEventListener("scroll", hide, { passive: true });

  const listen = (svg) => {
    const marks = [...svg.querySelectorAll("[data-m]")];
    if (!marks.length) return;
    let at = -1;
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("aria-description", "arrow keys go from mark to mark");
    svg.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      if (event.key === "Escape") { hide(); return; }
      if (event.key === "Home") at = -1;
      else if (!(event.key in steps)) return;
      event.preventDefault();
      at = (at + (steps[event.key] || 1) + marks.length) % marks.length;
      show(marks[at]);
    });
    svg.addEventListener("focus", () => { if (svg.matches(":focus-visible")) show(marks[Math.max(at, 0)]); });
    svg.addEventListener("blur", hide);
  };

  // -- enlarging: wheel, drag, two fingers or the buttons change the part of the picture that is seen
  const enlarge = (svg) => {
    const dialog = make("dialog"), bar = make("div", "bar"), copy = svg.cloneNode(true);
    const whole = svg.getAttribute("viewBox").split(" ").map(Number);
    let box = [...whole];
    const draw = () => copy.setAttribute("viewBox", box.join(" "));
    const zoom = (factor, x = 0.5, y = 0.5) => {
      const width = Math.min(Math.max(box[2] * factor, whole[2] / 40), whole[2]), height = width * whole[3] / whole[2];
      box = [box[0] + (box[2] - width) * x, box[1] + (box[3] - height) * y, width, height];
      move(0, 0);
    };
    const move = (x, y) => {
      box[0] = Math.min(Math.max(box[0] + x, whole[0]), whole[0] + whole[2] - box[2]);
      box[1] = Math.min(Math.max(box[1] + y, whole[1]), whole[1] + whole[3] - box[3]);
      hide();
      draw();
    };
    const button = (text, label, act) => {
      const made = make("button", "tool", text);
      made.type = "button";
      made.setAttribute("aria-label", label);
      made.addEventListener("click", act);
      bar.append(made);
    };
    button("+", "zoom in", () => zoom(0.7));
    button("−", "zoom out", () => zoom(1 / 0.7));
    button("whole", "show the whole plot", () => zoom(100));
    button("close", "close", () => dialog.close());
    copy.removeAttribute("width");
    copy.removeAttribute("height");
    copy.addEventListener("wheel", (event) => {
      event.preventDefault();
      const place = copy.getBoundingClientRect();
      zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, (event.clientX - place.left) / place.width, (event.clientY - place.top) / place.height);
    }, { passive: false });
    copy.addEventListener("pointermove", (event) => {
      if (!(event.buttons & 1)) return;
      const place = copy.getBoundingClientRect();
      move(-event.movementX * box[2] / place.width, -event.movementY * box[3] / place.height);
    });
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "+" || event.key === "=") zoom(0.7);
      else if (event.key === "-") zoom(1 / 0.7);
    });
    dialog.addEventListener("close", () => { document.body.append(tip); hide(); dialog.remove(); });
    dialog.setAttribute("aria-label", svg.getAttribute("aria-label") || "plot");
    dialog.append(bar, copy);
    document.body.append(dialog);
    listen(copy);
    dialog.showModal();
  };

  document.querySelectorAll("svg.plot").forEach((svg) => {
    listen(svg);
    const figure = svg.closest(".figure");
    if (!figure) return;
    const button = make("button", "tool", "enlarge");
    button.type = "button";
    button.setAttribute("aria-label", `enlarge: ${svg.getAttribute("aria-label") || "plot"}`);
    button.addEventListener("click", () => enlarge(svg));
    figure.append(button);
  });

  // -- sorting: by a click, or Enter on a heading
  document.querySelectorAll("table.sortable").forEach((table) => {
    const body = table.tBodies[0], first = [...body.rows];
    if (first.length < 2) return;
    const key = (row, column) => {
      const cell = row.cells[column];
      if (!cell || (!cell.textContent && cell.dataset.v === undefined)) return null;
      return cell.dataset.v !== undefined ? Number(cell.dataset.v) : cell.textContent;
    };
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (!head.textContent.trim()) return; // a column of bars: the one before it has its numbers
      const button = make("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort"), next = { descending: "ascending", ascending: null }[now] ?? (now ? null : "descending");
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (next) head.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        const compare = (one, other) => {
          const a = key(one, column), b = key(other, column);
          if (a === null || b === null) return (a === null) - (b === null); // empty cells stay last
          return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
        };
        body.append(...(next ? [...first].sort(compare) : first));
      });
    });
  });

  // -- copying
  document.querySelectorAll(".code").forEach((block) => {
    const button = make("button", "tool", "copy");
    button.type = "button";
    button.addEventListener("click", async () => {
      const text = block.querySelector("pre").textContent;
      try { await navigator.clipboard.writeText(text); button.textContent = "copied"; }
      catch { getSelection().selectAllChildren(block.querySelector("pre")); button.textContent = "selected"; }
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
    block.append(button);
  });
})();
