// The timeline: a window of runs that moves over a history of any length, what is new in it, its filters and its keys.
//
// The feed holds runs one after another: [gap] run run run [gap]. Runs far from what is seen leave, and a gap keeps
// their height; they come back by the cursors of those that stayed, so nothing is lost or doubled on the way.

import { keys, onOnline, tell } from "./desk.js";

const book = document.querySelector("#book");
const feed = document.querySelector("#feed");
const sieve = document.querySelector("#sieve");
const fresh = document.querySelector("#fresh");
const root = document.documentElement;

const RUNS = 8; // held at a time, and more only where they are short
const AHEAD = 1600; // px from the end at which more is asked for
const KEPT = 100; // live events held back while somebody reads further down; with more the page is read anew
const OWN = ["channel", "family", "actor", "window", "mood", "noise", "thread", "text", "type", "f"]; // in the address

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const articles = () => all(".tp", feed);
const keysOf = (article) => article.dataset.keys.split(" ");
const holder = (key) => articles().find((article) => keysOf(article).includes(key));
const parsed = (html) => one(".run", new DOMParser().parseFromString(html, "text/html"));
const frame = () => new Promise((done) => requestAnimationFrame(done));

let reading = 0; // requests under way
const asked = async (path) => {
  reading += 1;
  try {
    const answer = await fetch(path, { headers: { "HX-Request": "true", "HX-Current-URL": location.href } });
    const to = answer.headers.get("HX-Redirect");
    if (to) location.assign(to);
    if (answer.status >= 500) tell(document.body.dataset.busy);
    return answer.ok ? await answer.text() : null;
  } catch {
    return null;
  } finally {
    reading -= 1;
    setTimeout(hearHeld); // once what was read stands
  }
};

// ---------- the address ----------

const address = () => new URLSearchParams(location.search);

/** What of the address is a filter. */
const filters = (from = address()) =>
  new URLSearchParams([...from].filter(([name, value]) => OWN.includes(name) && value));

const withFilters = (path, more = {}) => {
  const query = filters();
  for (const [name, value] of Object.entries(more)) query.set(name, value);
  return query.size ? `${path}?${query}` : path;
};

/** The filters as the form has them; none at all where it stands as it came. */
const inForm = () => {
  const chosen = new URLSearchParams([...new FormData(sieve)].filter(([name, value]) => value && name !== "date"));
  return `${chosen}` === "f=1&noise=hide" ? new URLSearchParams() : chosen;
};

const keep = (change, how = "replaceState") => {
  const next = new URL(location.href);
  change(next.searchParams);
  if (next.href !== location.href) history[how]({ desk: true }, "", next);
};

const showForm = () => {
  const set = filters();
  const plain = set.size === 0;
  one("[name=text]", sieve).value = set.get("text") ?? "";
  one("[name=noise]", sieve).checked = plain || !set.has("f") || set.get("noise") === "hide";
  for (const box of all(".pick input", sieve)) {
    box.checked = box.type === "radio" ? (set.get(box.name) ?? "") === box.value : set.getAll(box.name).includes(box.value);
  }
  only(set.get("thread"));
  sayForm();
};

/** The mark that only what belongs to one thing is shown. */
const only = (thread) => {
  one(".only", sieve)?.remove();
  if (!thread) return;
  const label = one("#only").content.firstElementChild.cloneNode(true);
  const box = one("input", label);
  box.value = thread;
  box.checked = true;
  label.lastElementChild.textContent = label.lastElementChild.dataset.says.replace("{thing}", thread);
  one(".state", sieve).before(label);
};

const sayForm = () => {
  let set = 0;
  for (const pick of all(".pick", sieve)) {
    const chosen = all("input:checked", pick).filter((box) => box.value);
    const summary = one("summary", pick);
    pick.classList.toggle("set", chosen.length > 0);
    let said = one("b", summary);
    if (!chosen.length) said?.remove();
    else {
      if (!said) {
        said = document.createElement("b");
        one(".i", summary).before(" ", said);
      }
      said.textContent = chosen.length === 1 ? chosen[0].parentElement.textContent.trim() : chosen.length;
      set += 1;
    }
  }
  one(".all b", sieve).textContent = set + (one("[name=noise]", sieve).checked ? 1 : 0) || "";
  one("#clear").hidden = filters().size === 0;
};

let counting = 0;
const count = () => {
  clearTimeout(counting);
  counting = setTimeout(async () => {
    const said = await asked(withFilters(book.dataset.count));
    if (said !== null) one("#count").textContent = said;
  }, 150);
};

// ---------- the window of runs ----------

const gapOf = (name) => one(`#gap-${name}`);
const heightOf = (name) => Number(gapOf(name).getAttribute("height"));
const setGap = (name, height) => gapOf(name).setAttribute("height", Math.max(0, Math.round(height)));
const runs = () => all(".run", feed);
const newest = () => !runs()[0]?.dataset.newer;
let skipped = 0; // articles in the gap above
let jumped = false; // then nobody knows how many there are

/** Changes the feed without moving what is being read. */
const still = (change) => {
  const anchor = articles().find((article) => article.getBoundingClientRect().bottom > 120);
  const before = anchor?.getBoundingClientRect().top;
  change();
  mend();
  if (!anchor?.isConnected) return;
  const moved = anchor.getBoundingClientRect().top - before;
  if (Math.abs(moved) >= 1) scrollBy({ top: moved, behavior: "instant" });
};

/** One head for each day, and where each article stands. */
const mend = () => {
  let day = null;
  for (const each of all(".day", feed)) {
    each.classList.toggle("goes-on", each.dataset.day === day);
    day = each.dataset.day;
  }
  const size = jumped || filters().size ? -1 : Number(feed.dataset.of);
  articles().forEach((article, at) => {
    article.setAttribute("aria-posinset", skipped + at + 1);
    article.setAttribute("aria-setsize", size);
  });
  one("#older").hidden = !runs().at(-1)?.dataset.older;
};

const settle = (run) => {
  document.adoptNode(run);
  for (const article of all(".tp", run)) point(article);
  return run;
};

/** Whether it is so far from what is seen that leaving does not make it needed again: long folds make short runs. */
const far = (run, name) => {
  const edge = name === "above" ? all(".tp", run).at(-1) : one(".tp", run);
  if (!edge) return true;
  const { top, bottom } = edge.getBoundingClientRect();
  return name === "above" ? bottom < -2 * AHEAD : top > innerHeight + 2 * AHEAD;
};

/** Takes a run out, also one that has the focus; the gap takes over its height. */
const drop = (run, name) => {
  const before = feed.offsetHeight;
  const held = all(".tp", run).length;
  run.remove();
  mend();
  setGap(name, heightOf(name) + before - feed.offsetHeight);
  if (name === "above") skipped += held;
};

let loads = 0; // a later way to fill the feed makes an earlier one void
const grow = async (name) => {
  const [edge, cursor, side] =
    name === "above" ? [runs()[0], "newer", "above"] : [runs().at(-1), "older", "before"];
  const from = edge?.dataset[cursor];
  if (!from) return false;
  const load = loads;
  const html = await asked(withFilters(book.dataset.timeline, { [side]: from }));
  if (html === null || load !== loads) return false;
  const run = settle(parsed(html));
  still(() => {
    const before = feed.offsetHeight;
    if (name === "above") edge.before(run);
    else edge.after(run);
    mend();
    const grown = feed.offsetHeight - before;
    setGap(name, run.dataset[cursor] ? heightOf(name) - grown : 0);
    if (name === "above") skipped = newest() ? 0 : Math.max(0, skipped - all(".tp", run).length);
  });
  window.htmx?.process(run);
  if (!one(".tp", run)) {
    // Nothing passed in what one read looks at: the edge moves on, and no empty run stays.
    edge.dataset[cursor] = run.dataset[cursor];
    run.remove();
    if (!edge.dataset[cursor]) setGap(name, 0);
    mend();
  }
  still(() => {
    const [other, end] = name === "above" ? ["below", -1] : ["above", 0];
    while (runs().length > RUNS && far(runs().at(end), other)) drop(runs().at(end), other);
  });
  return true;
};

let filling = null;
const needs = () => {
  const held = runs();
  if (!held.length) return null;
  const top = gapOf("above").getBoundingClientRect().bottom;
  const end = gapOf("below").getBoundingClientRect().top;
  if (held.at(-1).dataset.older && end < innerHeight + AHEAD) return "below";
  if (held[0].dataset.newer && top > -AHEAD) return "above";
  return null;
};

/** Asks for more until what is seen, and some more, is there. */
const fill = () => {
  filling ??= (async () => {
    await frame(); // so that it is under way before it can be over
    try {
      for (let next = needs(); next; next = needs()) {
        if (next === "above" && heightOf("above") > 4 * innerHeight && scrollY < innerHeight) {
          await load({}); // brought to the top at once: the way there need not be read
          scrollTo({ top: 0, behavior: "instant" });
          continue;
        }
        feed.setAttribute("aria-busy", "true");
        if (!(await grow(next))) break;
        await frame();
      }
    } finally {
      feed.setAttribute("aria-busy", "false");
      filling = null;
      watch();
    }
  })();
  return filling;
};

// It tells once of each gap that is observed anew, so what is there already must not be filled again: without end.
const ends = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && needs() && fill(), {
  rootMargin: `${AHEAD}px 0px`,
});
const watch = () => {
  if (needs()) return; // what could not be loaded now is tried again when something moves
  for (const name of ["above", "below"]) {
    ends.unobserve(gapOf(name));
    ends.observe(gapOf(name));
  }
};

/** Fills the feed anew from a place of the timeline: {date}, {at}, or the newest. */
let owed = null; // a place that could not be read, to be read once the connection is back
const load = async (place) => {
  loads += 1;
  const mine = loads;
  feed.setAttribute("aria-busy", "true");
  const html = await asked(withFilters(book.dataset.timeline, place));
  if (mine !== loads) return false;
  feed.setAttribute("aria-busy", "false");
  owed = html === null ? place : null;
  if (html === null) return false;
  const run = settle(parsed(html));
  for (const old of runs()) old.remove();
  setGap("above", 0);
  setGap("below", 0);
  skipped = 0;
  jumped = Boolean(run.dataset.newer);
  gapOf("above").after(run);
  window.htmx?.process(run);
  if (newest()) letGo();
  mend();
  watch();
  return true;
};

onOnline(async () => {
  if (!owed) return;
  await load(owed);
  count();
  fill();
});

// ---------- filters ----------

/** Reads the feed by the filters of the address. */
const sift = async () => {
  showForm();
  count();
  connect();
  const day = address().get("date");
  await load(day ? { date: day } : {});
  const top = book.getBoundingClientRect().top;
  if (top < 0) scrollBy({ top, behavior: "instant" });
  fill();
};

const filter = (chosen) => {
  keep((query) => {
    for (const name of [...OWN, "date", "at"]) query.delete(name);
    for (const [name, value] of chosen) query.append(name, value);
  }, "pushState");
  return sift();
};

const toThing = (thread) => filter(new URLSearchParams({ f: 1, thread }));

const jump = async (day) => {
  if (!day) return;
  keep((query) => query.set("date", day));
  if (!(await load({ date: day }))) return;
  articles()[0]?.focus({ preventScroll: true });
  land();
};

/** Begins to read below the heads that stick. */
const land = () => {
  articles()[0]?.scrollIntoView({ block: "start", behavior: "instant" });
  return fill();
};

let typing = 0;
sieve?.addEventListener("input", ({ target }) => {
  clearTimeout(typing);
  if (target.name === "text") typing = setTimeout(() => filter(inForm()), 250);
});
sieve?.addEventListener("change", ({ target }) => {
  if (target.name === "date") jump(target.value);
  else if (target.name && target.name !== "text") filter(inForm());
});
sieve?.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typing);
  filter(inForm());
});
one("#clear")?.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  filter(new URLSearchParams());
});
document.addEventListener("click", ({ target }) => {
  for (const pick of all(".pick[open]", sieve)) if (!pick.contains(target)) pick.open = false;
});
addEventListener(
  "popstate",
  (event) => {
    event.stopImmediatePropagation(); // nobody else's states are ours
    sift();
  },
  true,
);

// ---------- one touchpoint ----------

const select = (some) => {
  for (const old of all(".tp.sel", feed)) old.classList.remove("sel");
  for (const article of some) article.classList.add("sel");
};

const moreOf = async (article) => {
  const more = one("details.more", article);
  if (!more || one(".data", more)) return more;
  const html = await asked(more.dataset.url);
  if (html === null || one(".data", more)) return more;
  more.append(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
  window.htmx?.process(more);
  return more;
};

const open = async (article, wanted = true) => {
  const more = one("details.more", article);
  if (!more) return;
  more.open = wanted;
  if (wanted) await moreOf(article);
};

feed?.addEventListener(
  "toggle",
  ({ target }) => {
    if (!target.matches("details.more")) return;
    const article = target.closest(".tp");
    if (target.open) {
      moreOf(article);
      select([...all(".tp.sel", feed), article]);
    } else article.classList.remove("sel");
    keep((query) => (target.open ? query.set("at", target.dataset.key) : query.delete("at")));
  },
  true, // this event does not bubble
);

const copiedBySelecting = (text, beside) => {
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "vh";
  beside.after(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  focused?.focus({ preventScroll: true });
  return done;
};

const copy = async (button) => {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text); // not there on plain http, but for this machine
  } catch {
    if (!copiedBySelecting(text, button)) return tell(text);
  }
  one("span", button).textContent = button.dataset.done;
};

const acts = {
  json(button) {
    const text = one("pre.json", button.closest(".more"));
    text.hidden = !text.hidden;
    button.setAttribute("aria-expanded", String(!text.hidden));
  },
  copy,
};

feed?.addEventListener("click", (event) => {
  const { target } = event;
  if (event.ctrlKey || event.metaKey || event.shiftKey || !(target instanceof Element)) return;
  const thing = target.closest("a[data-filter]");
  if (thing) {
    event.preventDefault();
    toThing(thing.dataset.filter);
    return;
  }
  const button = target.closest("button[data-do]");
  if (button) acts[button.dataset.do]?.(button);
  const head = target.closest("h3");
  if (head) open(head.closest(".tp"), !one("details.more", head.closest(".tp"))?.open);
});

/** Brings touchpoints into sight, and opens the first: they are loaded where they are not there. */
const show = async (wanted) => {
  const first = wanted[0];
  if (!holder(first)) {
    await load({ at: first });
    if (!holder(first)) {
      await filter(new URLSearchParams("f=1")); // what passes no filter, or is noise, is there without any
      await load({ at: first });
    }
    if (!holder(first)) await load({});
  }
  const found = [...new Set(wanted.map(holder).filter(Boolean))];
  if (!found.length) return;
  select(found);
  found[0].scrollIntoView({ block: "start", behavior: "instant" }); // what loads on the way would end a slow one
  found[0].focus({ preventScroll: true });
  await open(found[0]);
  fill();
};
document.addEventListener("desk:show", ({ detail }) => detail.keys.length && show(detail.keys));

// ---------- points in the margin ----------

let why = { score: null, title: "", points: {} };
const points = new Intl.NumberFormat(root.lang, {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
  signDisplay: "exceptZero",
});

const point = (article) => {
  one(".pts", article)?.remove();
  const those = keysOf(article).map((key) => why.points[key]).filter(Boolean);
  if (!why.score || !those.length) return;
  const sum = those.reduce((all, [milli]) => all + milli, 0);
  const good = those.reduce((all, [milli, , is]) => all + (is ? 1 : -1) * Math.abs(milli), 0) >= 0;
  const margin = document.createElement("span");
  const unit = document.createElement("span");
  margin.className = `pts ${good ? "plus" : "minus"}`;
  unit.className = "unit";
  unit.textContent = why.title;
  margin.append(unit, ` ${those.length === 1 ? those[0][1] : points.format(sum / 1000).replace("-", "−")}`);
  article.append(margin);
};

document.addEventListener("desk:why", ({ detail }) => {
  why = detail;
  for (const article of articles()) point(article);
});

// ---------- live ----------

let token = new URL(book?.dataset.live ?? "/", location.href).searchParams.get("after");
let waiting = []; // what came while somebody reads further down
let unread = new Set();

const plural = new Intl.PluralRules(root.lang);
const pill = () => {
  const button = one("button", fresh);
  button.hidden = unread.size === 0;
  const says = fresh.dataset[plural.select(unread.size)] ?? fresh.dataset.other;
  one("span", button).textContent = says.replace(/\d+/, unread.size);
};
const letGo = () => {
  waiting = [];
  unread = new Set();
  pill();
};

/** Whether the newest is in sight, so that something may come in above it. */
const atTop = () =>
  newest() &&
  (gapOf("above").getBoundingClientRect().bottom > sieve.getBoundingClientRect().bottom - 8 || !articles().length);

const remove = (article) => {
  const day = article.closest(".day");
  article.remove();
  if (!one(".tp", day)) day.remove();
};

/** Puts an article where it belongs, if that is in the window. */
const insert = (article, day) => {
  const at = Number(article.dataset.at);
  const there = articles();
  const next = there.find((each) => Number(each.dataset.at) <= at);
  const last = there[(next ? there.indexOf(next) : there.length) - 1];
  if (!last && !newest()) return;
  if (!next && runs().at(-1)?.dataset.older) return;
  const same = (each) => each?.closest(".day").dataset.day === day.dataset.day;
  if (same(next)) next.before(article);
  else if (same(last)) last.after(article);
  else {
    const own = day.cloneNode(false);
    own.append(one(".dayhead", day).cloneNode(true), article);
    if (next) next.closest(".day").before(own);
    else if (last) last.closest(".day").after(own);
    else runs()[0].replaceChildren(own);
  }
};

/** What somebody has opened of an old article goes on in the new one, with all that he opened in it. */
const keepOpen = (old, article) => {
  const opened = one("details.more[open]", old);
  const more = one("details.more", article);
  if (!opened || !more) return;
  more.replaceWith(opened);
  article.classList.toggle("sel", old.classList.contains("sel"));
  if (opened.dataset.key === more.dataset.key) return;
  // It tells of what was the newest of a fold. Once it was read to its end, what is the newest now takes its place.
  opened.addEventListener("toggle", () => opened.open || opened.replaceWith(more));
};

const join = (html, arrives) => {
  const came = parsed(html);
  const replaced = new Set((came.dataset.replaces ?? "").split(" "));
  const old = articles().filter((article) => keysOf(article).some((key) => replaced.has(key)));
  const opened = new Set(old.filter((each) => one(".fold", each)?.open).flatMap(keysOf));
  const focused = old.some((each) => each.contains(document.activeElement)) && document.activeElement;
  const known = new Set(old.flatMap(keysOf));
  old.forEach(remove);
  const put = [];
  for (const day of all(".day", came)) {
    for (const article of all(".tp", day)) {
      settle(article);
      if (arrives && keysOf(article).some((key) => !known.has(key))) article.classList.add("arrives");
      const fold = one(".fold", article);
      if (fold && keysOf(article).some((key) => opened.has(key))) fold.open = true;
      point(article);
      insert(article, day);
      if (article.isConnected) put.push(article);
    }
  }
  for (const article of old) {
    const held = keysOf(article);
    const next = put.find((each) => keysOf(each).some((key) => held.includes(key)));
    if (next) keepOpen(article, next);
  }
  for (const article of put) window.htmx?.process(article);
  if (focused) (focused.isConnected ? focused : put[0])?.focus({ preventScroll: true });
};

let held = []; // what came while something was read: the answer may be older than it, and would wipe it out
const hearHeld = () => {
  while (held.length && !reading) arrived(held.shift());
};

const arrived = (html) => {
  if (reading) {
    held.push(html);
    return;
  }
  count();
  if (atTop() && !waiting.length) {
    join(html, true);
    mend();
    return;
  }
  const seen = new Set(articles().flatMap(keysOf));
  for (const article of all(".tp", parsed(html))) {
    for (const key of keysOf(article)) if (!seen.has(key)) unread.add(key);
  }
  if (unread.size) waiting.push(html);
  else still(() => join(html, false)); // late, or more of what is in sight: it stands where it belongs
  if (waiting.length > KEPT) waiting = waiting.slice(-KEPT);
  pill();
};

const showNew = async () => {
  if (newest() && waiting.length < KEPT) {
    for (const html of waiting) join(html, true);
    letGo();
    mend();
  } else await load({});
  const top = book.getBoundingClientRect().top;
  scrollBy({ top: Math.min(0, top), behavior: "instant" });
  articles()[0]?.focus({ preventScroll: true });
  fill();
};
fresh?.addEventListener("click", showNew);
addEventListener(
  "scroll",
  () => {
    if (waiting.length && atTop()) showNew();
    if (!filling && needs()) fill();
  },
  { passive: true },
);

const readAnew = async () => {
  const inSight = articles().find((article) => article.getBoundingClientRect().bottom > 120);
  if (atTop() || !inSight) await load({});
  else {
    const [key] = keysOf(inSight);
    const before = inSight.getBoundingClientRect().top;
    await load({ at: key });
    const there = holder(key);
    if (there) scrollBy({ top: there.getBoundingClientRect().top - before, behavior: "instant" });
  }
  count();
  fill();
};

let hidden = false; // since the stream was opened last
document.addEventListener("visibilitychange", () => {
  hidden ||= document.hidden;
});

const RETRY = 2000;
let line = null;

/** One stream for the filters of the address, going on from what was heard last. It comes back by itself. */
const connect = () => {
  line?.remove();
  if (document.hidden) {
    document.addEventListener("visibilitychange", connect, { once: true });
    return;
  }
  const here = document.createElement("div");
  const path = new URL(book.dataset.live, location.href).pathname;
  here.hidden = true;
  here.setAttribute("hx-sse:connect", withFilters(path, token ? { after: token } : {}));
  here.setAttribute("hx-swap", "none");
  here.setAttribute("hx-config", '{"sse": {"reconnectMaxDelay": 4000, "pauseOnBackground": true}}');
  const heard = (name, act) =>
    here.addEventListener(name, ({ detail }) => {
      if (detail.id) token = detail.id;
      if (here === line) act(detail.data);
    });
  heard("touchpoint", arrived);
  heard("standing", (html) => document.dispatchEvent(new CustomEvent("desk:standing", { detail: { html } })));
  heard("reload", readAnew);
  here.addEventListener("htmx:sse:before:connection", (event) => {
    // Let go while the page was not looked at: a browser opens six connections to a server, for all its pages.
    if (hidden) event.stopPropagation(); // which is not being offline
    hidden = document.hidden;
  });
  const again = () => setTimeout(() => here === line && connect(), RETRY);
  here.addEventListener("htmx:error", again);
  here.addEventListener("htmx:sse:close", ({ detail }) => detail.reason === "ended" && again());
  here.addEventListener("htmx:after:request", ({ detail }) => detail.ctx?.response?.status >= 400 && again());
  line = here;
  document.body.append(here);
  window.htmx?.process(here);
};

// A stream that outlived the gap does not say so, and one that did not may not have noticed.
if (book) addEventListener("online", connect);

// ---------- keys ----------

const current = () => document.activeElement?.closest?.(".tp") ?? null;

const go = (article) => {
  article.focus({ preventScroll: true });
  article.scrollIntoView({ block: "nearest", behavior: "instant" });
};

const step = async (by) => {
  const from = current();
  if (!from) {
    const inSight = articles().find((article) => article.getBoundingClientRect().top > 100);
    if (inSight) go(inSight);
    return;
  }
  const next = () => articles()[articles().indexOf(from) + by];
  if (!next()) await fill();
  if (next()) go(next());
};

const stepDay = (by) => {
  const days = all(".day:not(.goes-on)", feed);
  const from = current();
  const before = days.findLastIndex((day) => from && (day.contains(from) || day.compareDocumentPosition(from) & 4));
  const day = days[before + by];
  if (!day) return step(by);
  one(".tp", day).focus({ preventScroll: true });
  one(".tp", day).scrollIntoView({ block: "start", behavior: "instant" });
};

/** A key for the touchpoint one is at; it is nobody's where there is none. */
const here = (key, act) =>
  keys.on(key, () => {
    const article = current();
    if (!article) return false;
    return act(article);
  });

const press = async (article, what) => {
  await open(article);
  one(`[data-do=${what}]`, article)?.click();
};

if (book) {
  keys.on("j", () => void step(1));
  keys.on("k", () => void step(-1));
  here("PageDown", () => step(1));
  here("PageUp", () => step(-1));
  keys.on("J", () => void stepDay(1));
  keys.on("K", () => void stepDay(-1));
  here("Enter", (article) => {
    if (document.activeElement !== article) return false;
    open(article, !one("details.more", article)?.open);
  });
  here("e", (article) => {
    const fold = one(".fold", article) ?? one(".more", article);
    if (fold) fold.open = !fold.open;
  });
  here("x", (article) => press(article, "json"));
  here("c", (article) => press(article, "copy"));
  here("r", (article) => press(article, "related"));
  here("t", (article) => press(article, "mood"));
  keys.on(".", () => void showNew());
  keys.on("f", () => one("[name=text]", sieve).focus());
  keys.on("d", () => {
    const day = one("[name=date]", sieve);
    day.focus();
    day.showPicker?.();
  });

  for (const name of ["above", "below"]) {
    const gap = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [key, value] of Object.entries({ id: `gap-${name}`, class: "gap", width: 1, height: 0, "aria-hidden": true }))
      gap.setAttribute(key, value);
    if (name === "above") feed.prepend(gap);
    else feed.append(gap);
  }
  history.replaceState({ desk: true }, "");
  jumped = !newest();
  sayForm();
  pill();
  mend();
  count();
  document.addEventListener("DOMContentLoaded", () => {
    setTimeout(connect); // after htmx has begun, which would else open it a second time
    const at = address().get("at");
    if (at) show([at]);
    else if (address().get("date")) land();
    else fill();
  });
}
