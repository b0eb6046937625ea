"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const element = (tag, attributes, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value !== null && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  };

  const choices = { dataset: new Set(), family: new Set(), budget: new Set(), source: new Set() };
  for (const table of data.tables) {
    choices.dataset.add(table.dataset);
    choices.budget.add(table.budget);
    choices.source.add(table.source);
    for (const line of table.lines) if (!line.reference) choices.family.add(line.family);
  }
  for (const [id, values] of Object.entries(choices)) {
    $(id).append(element("option", { value: "" }, "all"));
    for (const value of [...values].sort()) $(id).append(element("option", { value }, value));
  }

  /* Where a number lies between the ends of its column: the metric's bounds, or the range of what methods have there. */
  const ends = (table, i) => {
    const column = table.columns[i];
    const trained = table.lines.filter((line) => !line.reference);
    const seen = (trained.length ? trained : table.lines).flatMap((line) => {
      const score = line.scores[i];
      return score.mean === undefined ? [] : [score.mean, score.low ?? score.mean, score.high ?? score.mean];
    });
    const low = column.low ?? Math.min(...seen, 0);
    const high = column.high ?? Math.max(...seen, low + 1e-9);
    return [low, high];
  };
  const percent = (value, [low, high]) => `${(100 * Math.min(1, Math.max(0, (value - low) / (high - low)))).toFixed(1)}%`;

  const scoreCell = (score, range) => {
    const cell = element("td", { class: "n", title: score.why || null });
    cell.append(score.best ? element("b", {}, score.text) : score.text);
    if (score.mean !== undefined && range[1] > range[0]) {
      const bar = element("span", { class: "bar", "aria-hidden": "true" });
      bar.style.setProperty("--m", percent(score.mean, range));
      bar.style.setProperty("--l", percent(score.low ?? score.mean, range));
      bar.style.setProperty("--h", percent(score.high ?? score.mean, range));
      cell.append(bar);
    }
    return cell;
  };

  /* Text that may break where its parts begin; a method's name only around its parameters. */
  const breakable = (text, parts = /(?=[[/_])|(?<=,)/) => text.split(parts).flatMap((piece) => [element("wbr", {}), piece]).slice(1);

  const heading = (text, title, index, numeric) => {
    const button = element("button", { type: "button", title }, ...breakable(text));
    return element("th", { scope: "col", class: numeric ? "n" : null, "data-sort": index }, button);
  };

  const startsAscending = (table, index) =>
    index.startsWith("score") ? table.columns[Number(index.slice(6))].higher === false : index.startsWith("text");

  const sortBy = (head, state, index, ascending) => {
    const header = head.querySelector(`[data-sort="${index}"]`);
    for (const other of head.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const sign = ascending ? 1 : -1;
    const key = state.key(index);
    state.rows.sort((a, b) => {
      const [x, y] = [key(a.line), key(b.line)];
      if (x === undefined || x === null) return y === undefined || y === null ? 0 : 1;
      if (y === undefined || y === null) return -1;
      return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
    });
    state.fill();
  };

  const orders = new Map(); /* table → the order that was asked for, which filters leave */

  /* The best first, by the first number that has a better. */
  const usualOrder = (table, columns) => {
    const i = columns.find((one) => table.columns[one].higher !== null);
    return i === undefined ? { index: "text-label", ascending: true } : { index: `score-${i}`, ascending: !table.columns[i].higher };
  };

  const MOST_LINES = 200; /* of a table at first: what a browser lays out at once */

  const shownColumns = (table, every) => {
    const all = table.columns.map((_, i) => i);
    const few = all.filter((i) => table.columns[i].headline);
    return every || !few.length ? all : few;
  };

  const draw = (table, chosen) => {
    const lines = table.lines.filter((line) => chosen.line(line));
    if (!lines.length) return null;
    const columns = shownColumns(table, chosen.every);
    const ranges = columns.map((i) => ends(table, i));
    const head = element("tr", {}, heading("method", "sort by name", "text-label", false), heading("seeds", "sort by seeds", "seeds", true));
    columns.forEach((i) => {
      const column = table.columns[i];
      head.append(heading(`${column.key}\u00a0${column.arrow}`.trim(), `sort by ${column.key}`, `score-${i}`, true));
    });
    data.costs.forEach((name, i) => head.append(heading(name, `sort by ${name}`, `cost-${i}`, true)));
    const body = element("tbody", {});
    const build = (line) => {
      const row = element("tr", { class: line.reference ? "reference" : null });
      row.append(element("th", { scope: "row", title: line.settings || null }, ...breakable(line.label, /(?=\[)|(?<=,)/), line.loss ? element("span", { class: "why" }, line.loss) : null));
      row.append(element("td", { class: "n" }, line.seeds));
      columns.forEach((i, place) => row.append(scoreCell(line.scores[i], ranges[place])));
      line.costs.forEach((cost) => row.append(element("td", { class: "n" }, cost.text)));
      return row;
    };
    const rows = lines.map((line) => ({ line, made: null }));
    const foot = element("tfoot", {});
    for (const bound of ["floor", "ceiling"]) {
      if (!columns.some((i) => table.columns[i][bound] !== null)) continue;
      const row = element("tr", { class: "bound" }, element("th", { scope: "row" }, bound), element("td", {}));
      columns.forEach((i) => row.append(element("td", { class: "n" }, table.columns[i][bound] === null ? "—" : String(table.columns[i][bound]))));
      data.costs.forEach(() => row.append(element("td", {})));
      foot.append(row);
    }
    const title = `${table.label}, ${table.source}, budget ${table.budget}, protocol ${table.protocol}`;
    const made = element("table", {}, element("caption", { class: "hidden" }, title), element("thead", {}, head), body, foot);
    const more = element("button", { type: "button", class: "more" });
    const state = {
      rows,
      most: MOST_LINES,
      fill: () => {
        body.replaceChildren(...state.rows.slice(0, state.most).map((row) => (row.made ??= build(row.line))));
        more.hidden = state.rows.length <= state.most;
        more.textContent = `Show all ${state.rows.length} lines`;
      },
      key: (index) => {
        const i = Number(index.split("-")[1]);
        if (index.startsWith("score")) return (line) => line.scores[i].mean;
        if (index.startsWith("cost")) return (line) => line.costs[i].value;
        if (index === "seeds") return (line) => parseInt(line.seeds, 10);
        return (line) => line.label;
      },
    };
    const asked = orders.get(table);
    const order = asked && head.querySelector(`[data-sort="${asked.index}"]`) ? asked : usualOrder(table, columns);
    sortBy(head, state, order.index, order.ascending);
    more.addEventListener("click", () => {
      state.most = Infinity;
      state.fill();
    });
    head.addEventListener("click", (event) => {
      const header = event.target.closest("th");
      if (!header || !event.target.closest("button")) return;
      const index = header.dataset.sort;
      const now = header.getAttribute("aria-sort");
      const ascending = now ? now === "descending" : startsAscending(table, index);
      orders.set(table, { index, ascending });
      sortBy(head, state, index, ascending);
    });
    const facts = element("p", { class: "small" }, table.header.join(" · "));
    const scroll = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, made);
    const notes = table.notes.map((note) => element("p", { class: "small" }, note));
    return [element("section", { class: "table" }, element("h2", {}, title), facts, scroll, more, ...notes), lines.length];
  };

  const show = () => {
    const values = Object.fromEntries(Object.keys(choices).map((id) => [id, $(id).value]));
    const text = $("method").value.trim().toLowerCase();
    const references = $("references").checked;
    const chosen = {
      every: $("every").checked,
      line: (line) => (line.reference ? references && !text : (!values.family || line.family === values.family)
        && (!text || line.label.toLowerCase().includes(text))),
    };
    const isChosen = (table) => ["dataset", "budget", "source"].every((id) => !values[id] || table[id] === values[id]);
    const trained = (table) => table.lines.some((line) => !line.reference && chosen.line(line));
    let methods = 0;
    const drawn = data.tables
      .filter(isChosen)
      .filter((table) => trained(table) || (!values.family && !text))
      .map((table) => draw(table, chosen))
      .filter((one) => one !== null);
    for (const [, n] of drawn) methods += n;
    $("tables").replaceChildren(...drawn.map(([section]) => section));
    $("count").textContent = `${drawn.length} of ${data.tables.length} tables, ${methods} lines`;
    if (!drawn.length) $("tables").append(element("p", {}, "No table matches. Clear a filter to see more."));
    for (const { figure, table, line } of pictures) figure.hidden = !(isChosen(table) && line && chosen.line(line));
    for (const kind of document.querySelectorAll(".pictures")) kind.parentNode.hidden = !kind.querySelector("figure:not([hidden])");
  };

  const card = (name, facts, labels) => {
    const list = element("dl", {});
    for (const [field, label] of Object.entries(labels)) {
      if (facts[field]) list.append(element("dt", {}, label), element("dd", {}, facts[field]));
    }
    return element("details", {}, element("summary", {}, element("span", { class: "key" }, name), ` ${facts.title}: ${facts.summary}`), list);
  };
  for (const [name, facts] of Object.entries(data.methods)) {
    $("method-cards").append(card(name, facts, { paper: "paper", family: "family", source: "follows", verified: "verified", notes: "notes" }));
  }
  for (const [name, facts] of Object.entries(data.metrics)) {
    $("metric-cards").append(card(name, facts, { paper: "paper", source: "source", blind_to: "blind to", verified: "verified" }));
  }
  const pictures = data.pictures.map((picture) => {
    const table = data.tables[picture.table];
    const name = `${picture.method} on ${table.label}`;
    const image = element("img", { src: picture.data, alt: `${name}: ${picture.caption}`, loading: "lazy" });
    const words = element("figcaption", {}, element("b", {}, name), element("br", {}), picture.caption);
    const figure = element("figure", {}, image, words);
    $(`pictures-${picture.kind}`).append(figure);
    return { figure, table, line: table.lines.find((line) => line.label === picture.method) };
  });
  $("filters").addEventListener("input", show);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  show();
})();
