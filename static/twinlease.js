// Live updates, search as you type, the map. Every page works without it.

/* Live: parts of the page that the server sends again when they have changed (src/web/live.rs) */

const page = document.body.dataset.page;
const STALL_MS = 35_000; // Two heartbeats, and some.
const AGAIN_MS = 3_000;
const GRACE_MS = 1_500; // A stream that comes back at once was never away.
const LOOK_AGAIN_MS = 1_000;

let stream = null;
let heard = Date.now();
let stall = 0;
let again = 0;
let look = 0;
const waiting = new Map(); // What would have replaced the element that somebody is at.

function clock(at) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

function alive() {
  heard = Date.now();
  clearTimeout(stall);
  stall = setTimeout(stalled, STALL_MS);
  if (document.body.classList.contains("is-stale")) {
    document.body.classList.remove("is-stale");
    document.getElementById("not-live").hidden = true;
  }
}

function stalled() {
  document.body.classList.add("is-stale");
  const line = document.getElementById("not-live");
  line.textContent = `Not live since ${clock(heard)}, reconnecting`;
  line.hidden = false;
}

// A drag is under way in it: nothing of it moves until that is over.
function isDragged(element) {
  return element.matches("[data-dragging]") || element.querySelector("[data-dragging]") !== null;
}

function isBusy(element) {
  const at = document.activeElement;
  if (at && at !== document.body && element.contains(at)) return true;
  // Somebody opened it, ticked it or typed into it.
  return [...element.querySelectorAll("input, textarea, select")].some((field) =>
    field.type === "checkbox" || field.type === "radio" ? field.checked !== field.defaultChecked
      : "defaultValue" in field && field.type !== "hidden" && field.value !== field.defaultValue);
}

// Changes what differs and nothing else: what somebody has scrolled to, marked or opened stays where it is. Elements with an
// id are known again wherever they stand.
function morph(before, after) {
  if (before.isEqualNode(after)) return;
  if (before.nodeName !== after.nodeName || before.id !== after.id) {
    before.replaceWith(after);
    return;
  }
  if (before.nodeType !== Node.ELEMENT_NODE) {
    before.data = after.data;
    return;
  }
  const isTheirs = (name) =>
    (name === "open" && before.nodeName === "DETAILS") || name === "tabindex" || name === "data-picked";
  for (const { name } of [...before.attributes]) {
    if (!after.hasAttribute(name) && !isTheirs(name)) before.removeAttribute(name);
  }
  for (const { name, value } of [...after.attributes]) {
    if (before.getAttribute(name) !== value && !isTheirs(name)) before.setAttribute(name, value);
  }
  morphChildren(before, after, () => false);
}

// Those that `stays` holds for are left as they are.
function morphChildren(before, after, stays) {
  const wanted = new Set([...after.children].map((child) => child.id));
  for (const child of [...before.children]) {
    if (child.id && !wanted.has(child.id) && !stays(child)) child.remove();
  }
  const known = new Map([...before.children].filter((child) => child.id).map((child) => [child.id, child]));
  let place = before.firstChild;
  for (const next of [...after.childNodes]) {
    const same = next.id ? known.get(next.id) : place && !place.id && place.nodeName === next.nodeName ? place : undefined;
    if (!same) {
      before.insertBefore(next, place);
      continue;
    }
    if (same === place) place = place.nextSibling;
    // What is moved loses the focus.
    else if (!stays(same)) before.insertBefore(same, place);
    if (!stays(same)) morph(same, next);
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    if (!gone.id || !stays(gone)) gone.remove();
  }
}

function renew(id, html) {
  const before = document.getElementById(id);
  if (!before) return;
  const holder = document.createElement("template");
  holder.innerHTML = html.trim();
  const after = holder.content.firstElementChild;
  if (!after || before.isEqualNode(after)) return;
  if (isDragged(before)) {
    wait(id, html);
    return;
  }
  if (!isBusy(before)) {
    morph(before, after);
    return;
  }
  // The rest waits until nobody is at it; of a list, only the row that somebody is at.
  const [old, rows] = [before, after].map((part) => part.querySelector("[data-rows]"));
  if (old && rows) morphChildren(old, rows, (row) => row.nodeType === Node.ELEMENT_NODE && isBusy(row));
  wait(id, html);
}

// A window that is not in front does not say when somebody has left: it is looked at again.
function wait(id, html) {
  waiting.set(id, html);
  look ||= setTimeout(settle, LOOK_AGAIN_MS);
}

// What had to wait: now, or when whoever is at it has left.
function settle() {
  clearTimeout(look);
  look = 0;
  for (const [id, html] of [...waiting]) {
    waiting.delete(id);
    renew(id, html);
  }
}

function open() {
  clearTimeout(again);
  if (stream || document.hidden) return;
  // What the page shows, where its address does not say it.
  const own = document.body.dataset.asked ?? location.search.slice(1);
  stream = new EventSource(`/live?live=${page}&at=${encodeURIComponent(location.pathname)}${own ? `&${own}` : ""}`);
  stream.addEventListener("parts", (event) => {
    alive();
    for (const [id, html] of JSON.parse(event.data)) {
      waiting.delete(id);
      renew(id, html);
    }
  });
  stream.addEventListener("beat", alive);
  stream.addEventListener("bye", () => location.reload());
  stream.onopen = alive;
  stream.onerror = () => {
    close();
    clearTimeout(stall);
    stall = setTimeout(stalled, GRACE_MS);
    again = setTimeout(open, AGAIN_MS);
  };
}

function close() {
  stream?.close();
  stream = null;
  clearTimeout(again);
}

if (page !== undefined) {
  document.addEventListener("visibilitychange", () => {
    clearTimeout(stall);
    if (document.hidden) close();
    else {
      stall = setTimeout(stalled, AGAIN_MS + GRACE_MS);
      open();
    }
  });
  document.addEventListener("focusout", () => setTimeout(settle, 200));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => {
    // From the memory of the browser: as it was, perhaps before the sign-out.
    if (event.persisted) location.reload();
  });
  open();
}

/* Home, Devices: search while somebody types; `/` leads to the box */

const SEARCH_PAUSE_MS = 150;

function searchAsYouType(box) {
  let pause = 0;
  let running = null;
  const into = box.dataset.into;
  const onDevices = location.pathname === "/devices";
  const ask = async () => {
    running?.abort();
    running = new AbortController();
    const wanted = new URLSearchParams(new FormData(box.form)).toString();
    try {
      // Home shows what was found only while something is searched for.
      const empty = !onDevices && box.value.trim() === "";
      const answer = empty ? null : await fetch(`${box.dataset.search}?${wanted}`, { signal: running.signal });
      if (answer && !answer.ok) return;
      const text = answer ? await answer.text() : `<div id="${into}"></div>`;
      const found = new DOMParser().parseFromString(text, "text/html").getElementById(into);
      const shown = document.getElementById(into);
      if (!found || !shown) return;
      if (onDevices) history.replaceState(null, "", `/devices?${wanted}`);
      shown.replaceWith(document.adoptNode(found));
    } catch (error) {
      // Out of reach, or asked anew: the form still works.
      if (error.name !== "AbortError") console.warn(error);
    }
  };
  box.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(ask, SEARCH_PAUSE_MS);
  });
}

document.querySelectorAll("input[data-search]").forEach(searchAsYouType);

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || isTyping || event.ctrlKey || event.altKey || event.metaKey) return;
  const box = document.querySelector("input[data-search]");
  if (!box) return;
  event.preventDefault();
  box.focus();
  box.select();
});

// Map: arrows move, Shift+arrows and dragging choose a range for the form below.
document.documentElement.classList.add("has-script");
for (const map of document.querySelectorAll("[data-map]")) {
  // The map is live: a cell may be another element the next moment.
  const all = () => [...map.querySelectorAll(".cell")];
  const from = document.getElementById("from");
  const to = document.getElementById("to");
  const said = document.getElementById("range-said");
  let anchor = null;
  let pointer = null;
  let wasDragged = false;

  const only = (at) => all().forEach((cell, i) => cell.setAttribute("tabindex", i === at ? "0" : "-1"));
  const focus = (at) => { only(at); all()[at].focus(); };
  const choose = (one, other) => {
    const [low, high] = [Math.min(one, other), Math.max(one, other)];
    const cells = all();
    cells.forEach((cell, i) => cell.toggleAttribute("data-picked", i >= low && i <= high));
    const base = map.dataset.part.split(".").slice(0, 3).join(".");
    from.value = `${base}.${cells[low].dataset.last}`;
    to.value = `${base}.${cells[high].dataset.last}`;
    const count = high - low + 1;
    said.textContent = `.${cells[low].dataset.last} to .${cells[high].dataset.last}: ${count} ${count === 1 ? "address" : "addresses"}`;
  };
  const columns = () => getComputedStyle(map).gridTemplateColumns.split(" ").length;
  const letGo = () => {
    if (pointer === null) return;
    pointer = null;
    map.removeAttribute("data-dragging");
    settle();
  };

  only(Math.max(0, all().findIndex((cell) => cell.classList.contains("free"))));
  map.addEventListener("keydown", (event) => {
    const cells = all();
    const at = cells.indexOf(document.activeElement);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() }[event.key];
    const next = event.key === "Home" ? 0 : event.key === "End" ? cells.length - 1 : at + (step ?? NaN);
    if (at < 0 || Number.isNaN(next) || !cells[next]) return;
    event.preventDefault();
    if (event.shiftKey) { anchor ??= at; choose(anchor, next); } else { anchor = null; }
    focus(next);
  });
  map.addEventListener("dragstart", (event) => event.preventDefault());
  map.addEventListener("pointerdown", (event) => {
    // A finger scrolls; the fields below are for it.
    const at = all().indexOf(event.target.closest(".cell"));
    wasDragged = false;
    if (at < 0 || event.button !== 0 || event.pointerType === "touch") return;
    pointer = at;
    map.setAttribute("data-dragging", "");
  });
  map.addEventListener("pointerover", (event) => {
    // Let go outside of the window.
    if (!(event.buttons & 1)) return letGo();
    const at = all().indexOf(event.target.closest?.(".cell"));
    if (pointer === null || at < 0 || (at === pointer && !wasDragged)) return;
    wasDragged = true;
    choose(pointer, at);
  });
  addEventListener("pointerup", letGo);
  addEventListener("pointercancel", letGo);
  map.addEventListener("click", (event) => {
    if (wasDragged) event.preventDefault();
    wasDragged = false;
  });
}

// Import: the file that was chosen is shown at once, as it would come in.
for (const field of document.querySelectorAll("input[type=file][data-at-once]")) {
  field.addEventListener("change", () => { if (field.files.length) field.form.requestSubmit(); });
}

// First visit: look again by itself while the search runs.
const soon = document.querySelector("[data-soon]");
if (soon) setTimeout(() => location.replace(soon.dataset.soon), 2000);
