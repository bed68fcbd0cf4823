"use strict";
(() => {
  const data = JSON.parse(document.getElementById("review-data").textContent);
  const prefix = `bussynth-review/${data.digest}/${data.layout}/`;
  const tiles = [...document.querySelectorAll(".tile")];
  const role = (name) => document.querySelector(`[data-role="${name}"]`);
  const root = document.documentElement;
  const memory = new Map();
  let kept = true; // whether the browser keeps what is marked
  let unsaved = false;
  let current = 0;
  let dialog = null;

  // One entry a page: its ids, and a letter for each: "a" fine, "r" rejected, "." not marked.
  function put(page, entry) {
    memory.set(page, entry);
    try {
      localStorage.setItem(prefix + page, JSON.stringify(entry));
    } catch {
      kept = false;
    }
  }
  function whole(entry) {
    return Array.isArray(entry?.ids) && typeof entry.marks === "string"
      && entry.ids.length === entry.marks.length && entry.ids.every((id) => typeof id === "string");
  }
  function pages() {
    const found = new Map();
    try {
      for (let at = 0; at < localStorage.length; at++) {
        const key = localStorage.key(at);
        if (!key.startsWith(prefix)) continue;
        try {
          const entry = JSON.parse(localStorage.getItem(key));
          if (whole(entry)) found.set(key.slice(prefix.length), entry);
        } catch { /* not ours */ }
      }
    } catch {
      kept = false;
    }
    if (!kept) for (const [page, entry] of memory) found.set(page, entry);
    return found;
  }
  function count(marks, letters) {
    return [...marks].filter((letter) => letters.includes(letter)).length;
  }
  function say(text, bad = false) {
    const place = role("status");
    place.textContent = text;
    place.classList.toggle("bad", bad);
  }

  function letter(tile) {
    return tile.dataset.mark ?? ".";
  }
  function show(tile, mark) {
    if (mark === ".") delete tile.dataset.mark;
    else tile.dataset.mark = mark;
    for (const button of tile.querySelectorAll("[data-mark]"))
      button.setAttribute("aria-pressed", String(button.dataset.mark === mark));
  }
  function refresh() {
    const all = pages();
    const own = all.get(String(data.page));
    if (own && own.ids.join() === data.ids.join()) tiles.forEach((tile, at) => show(tile, own.marks[at]));
    let looked = 0;
    let rejected = 0;
    for (const [page, entry] of all) {
      const seen = count(entry.marks, "ar");
      const bad = count(entry.marks, "r");
      looked += seen;
      rejected += bad;
      const cell = (name) => document.querySelector(`[data-${name}="${CSS.escape(page)}"]`);
      if (cell("looked")) cell("looked").textContent = seen;
      if (cell("rejected")) cell("rejected").textContent = bad;
    }
    role("count").textContent = `${looked} of ${data.total} looked at, ${rejected} rejected`;
    role("progress").value = looked;
    if (dialog?.open) caption();
  }
  function store() {
    put(String(data.page), { ids: data.ids, marks: tiles.map(letter).join("") });
    unsaved = true;
    if (!kept) say("This browser keeps no marks: save the decisions before you leave this page.", true);
    else say("");
    refresh();
  }
  function mark(at, value) {
    if (!tiles[at]) return;
    show(tiles[at], value);
    store();
  }

  function move(to) {
    if (!tiles.length) return;
    tiles[current].tabIndex = -1;
    current = Math.min(Math.max(to, 0), tiles.length - 1);
    tiles[current].tabIndex = 0;
    if (dialog?.open) enlarge();
    else {
      tiles[current].focus({ preventScroll: true });
      tiles[current].scrollIntoView({ block: "nearest" });
    }
  }
  function columns() {
    const next = tiles.findIndex((tile) => tile.offsetTop !== tiles[0].offsetTop);
    return next < 0 ? tiles.length : next;
  }
  function caption() {
    const line = dialog.querySelector("p");
    const tile = tiles[current];
    const words = { a: "✓ fine", r: "✕ rejected", ".": "not marked" };
    line.replaceChildren();
    for (const text of [tile.querySelector(".name").textContent, tile.querySelector(".tags").textContent, words[letter(tile)]]) {
      const part = document.createElement("span");
      part.textContent = text;
      line.append(part);
    }
    line.dataset.mark = letter(tile);
  }
  function enlarge() {
    if (!dialog) {
      dialog = document.createElement("dialog");
      dialog.append(document.createElement("div"), document.createElement("p"));
      dialog.firstChild.className = "picture";
      dialog.addEventListener("click", () => dialog.close());
      dialog.addEventListener("close", () => move(current));
      document.body.append(dialog);
    }
    const picture = tiles[current].querySelector(".picture");
    dialog.firstChild.replaceChildren(...[...picture.children].map((part) => part.cloneNode(true)));
    dialog.querySelector("img").loading = "eager";
    caption();
    if (!dialog.open) dialog.showModal();
  }

  function save() {
    const looked = [];
    const rejected = [];
    for (const entry of pages().values())
      entry.ids.forEach((id, at) => {
        if (entry.marks[at] === "a" || entry.marks[at] === "r") looked.push(id);
        if (entry.marks[at] === "r") rejected.push(id);
      });
    const content = {
      schema: data.schema, digest: data.digest, previews: data.previews,
      looked_at: looked, rejected, saved: new Date().toISOString(),
    };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(content)], { type: "application/json" }));
    link.download = data.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    unsaved = false;
    const left = data.total - looked.length;
    say(`Saved: ${looked.length} looked at, ${rejected.length} rejected.`
      + (left ? ` ${left} are not marked, so the review is not complete.` : ""), left > 0);
  }
  function outlines() {
    const off = root.dataset.outlines !== "off";
    root.dataset.outlines = off ? "off" : "on";
    document.querySelector('[data-do="outlines"]').setAttribute("aria-pressed", String(!off));
  }
  const actions = {
    save,
    outlines,
    fine() {
      tiles.forEach((tile) => { if (letter(tile) === ".") show(tile, "a"); });
      store();
    },
  };
  const keys = {
    a: () => { mark(current, "a"); move(current + 1); },
    r: () => { mark(current, "r"); move(current + 1); },
    u: () => mark(current, "."),
    o: outlines,
    z: () => (dialog?.open ? dialog.close() : enlarge()),
    n: () => document.querySelector('a[rel="next"]')?.click(),
    p: () => document.querySelector('a[rel="prev"]')?.click(),
    ArrowLeft: () => move(current - 1),
    ArrowRight: () => move(current + 1),
    ArrowUp: () => move(current - columns()),
    ArrowDown: () => move(current + columns()),
  };

  for (const part of document.querySelectorAll(".js")) part.hidden = false;
  for (const button of document.querySelectorAll("button[data-do]"))
    button.addEventListener("click", actions[button.dataset.do]);
  for (const button of document.querySelectorAll("button[data-size]"))
    button.addEventListener("click", () => {
      root.dataset.size = button.dataset.size;
      tiles[current]?.scrollIntoView({ block: "nearest" });
    });
  tiles.forEach((tile, at) => {
    tile.tabIndex = at ? -1 : 0;
    tile.addEventListener("focusin", () => {
      tiles[current].tabIndex = -1;
      current = at;
      tile.tabIndex = 0;
    });
    tile.querySelector(".picture").addEventListener("click", (event) => {
      event.preventDefault();
      current = at;
      enlarge();
    });
    for (const button of tile.querySelectorAll("button[data-mark]"))
      button.addEventListener("click", () => mark(at, letter(tile) === button.dataset.mark ? "." : button.dataset.mark));
  });
  if (tiles.length)
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      keys[event.key]();
    });
  addEventListener("storage", refresh);
  addEventListener("pageshow", refresh);
  addEventListener("beforeunload", (event) => { if (!kept && unsaved) event.preventDefault(); });
  refresh();
})();
