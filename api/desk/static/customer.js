// The customer page: what is asked for only when it is wanted, and what changes while it is read.

import { keys, now, onOnline, showClock, whileSeen } from "./desk.js";

const page = document.querySelector("[data-customer]");
const from = page?.dataset.customer;
const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/** A fragment of ours as elements; null where it did not come. */
const fetched = async (path) => {
  try {
    const answer = await fetch(path, { headers: { "HX-Request": "true", "HX-Current-URL": location.href } });
    const to = answer.headers.get("HX-Redirect");
    if (to) location.assign(to);
    return answer.ok ? parsed(await answer.text()) : null;
  } catch {
    return null;
  }
};
const parsed = (html) => new DOMParser().parseFromString(html, "text/html").body;

/** Keeps a choice in the address, so that it can be sent to a colleague. */
const keep = (name, value) => {
  const address = new URL(location.href);
  if (value) address.searchParams.set(name, value);
  else address.searchParams.delete(name);
  history.replaceState(history.state, "", address);
};

// ---------- lines of 90 days ----------

const drawLines = async () => {
  const lines = await fetched(`${from}/lines`);
  for (const line of lines ? all(".spark", lines) : []) one(`#${line.id}`)?.replaceWith(line);
};

// ---------- why ----------

const tellMargin = (score) => {
  const sums = score && one(".sums", score);
  const detail = sums
    ? { score: score.dataset.score, title: score.dataset.title, points: JSON.parse(sums.dataset.points) }
    : { score: null, title: "", points: {} };
  document.dispatchEvent(new CustomEvent("desk:why", { detail }));
};

const askWhy = async (score) => {
  const why = one(".why", score);
  why.setAttribute("aria-busy", "true");
  const told = await fetched(`${from}/scores/${score.dataset.score}`);
  why.removeAttribute("aria-busy");
  const asked = one("tr.on a[data-if]", why)?.dataset.if;
  const without = one(".without", why)?.dataset.key;
  if (told) why.replaceChildren(...told.childNodes);
  const again = asked && all("a[data-if]", why).find((link) => link.dataset.if === asked);
  if (again) suppose(again);
  if (without) askWithout(score, without);
  if (score.open) tellMargin(score);
};

const opened = (score) => {
  keep("why", score.dataset.score);
  if (one(".sums", score)) tellMargin(score);
  else askWhy(score);
};

document.addEventListener(
  "toggle",
  ({ target }) => {
    if (!(target instanceof HTMLDetailsElement) || !target.matches(".score")) return;
    if (target.open) opened(target);
    else if (!one(".score[open]")) {
      keep("why", null);
      tellMargin(null);
    }
  },
  true, // this event does not bubble
);

for (let number = 1; number <= 9; number += 1) {
  keys.on(String(number), () => {
    const score = all(".score")[number - 1];
    if (!score) return false;
    score.open = !score.open;
    one("summary", score).focus({ preventScroll: true });
    score.scrollIntoView({ block: "nearest" });
  });
}

// ---------- what stands behind a line, and what would be without it ----------

const show = (link) => {
  const detail = { keys: link.dataset.show.split(" "), open: true };
  document.dispatchEvent(new CustomEvent("desk:show", { detail }));
};

const suppose = async (link) => {
  const row = link.closest("tr");
  for (const other of all(".sums tr.on")) other.classList.remove("on");
  for (const other of all(".sums tr.if")) other.remove();
  row.classList.add("on");
  const answers = await fetched(link.dataset.if);
  if (!answers || !row.classList.contains("on")) return;
  const below = document.createElement("tr");
  below.className = "if";
  const cell = below.insertCell();
  cell.colSpan = 3;
  cell.append(...answers.childNodes);
  row.after(below);
};

document.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  const link = event.target instanceof Element && event.target.closest("a[data-show]");
  if (!link) return;
  event.preventDefault();
  if (link.dataset.if) suppose(link);
  show(link);
});

keys.on("w", () => {
  const touchpoint = document.activeElement?.closest?.("[id^=tp-]");
  const score = one(".score[open]");
  if (!touchpoint || !score) return false;
  const folded = touchpoint.dataset.keys?.split(" ") ?? [touchpoint.id.slice("tp-".length)];
  const behind = (link) => folded.some((key) => link.dataset.show.split(" ").includes(key));
  const link = all("a[data-if]", score).find(behind);
  if (link) suppose(link);
  else askWithout(score, folded[0]);
});

/** Of a touchpoint that stands behind no line: it would change nothing, and that is said where it is looked for. */
const askWithout = async (score, key) => {
  const told = await fetched(`${from}/scores/${score.dataset.score}/without/${key}`);
  if (!told) return;
  one(".why > .without", score)?.remove();
  const answer = document.createElement("div");
  answer.className = "if without";
  answer.dataset.key = key;
  answer.append(...told.childNodes);
  one(".why", score).append(answer);
};

// ---------- may I contact ----------

const choosePurpose = (purpose) => {
  for (const list of all("[data-purpose]")) list.hidden = list.dataset.purpose !== purpose;
};

document.addEventListener("change", ({ target }) => {
  if (target.id !== "purpose") return;
  choosePurpose(target.value);
  keep("purpose", target.value);
});

// ---------- the note ----------

keys.on("n", () => {
  const note = one("#note");
  note?.focus();
  note?.scrollIntoView({ block: "center" });
});
keys.on("Ctrl+Enter", () => {
  const form = document.activeElement?.closest?.("form.note");
  if (!form) return false;
  form.requestSubmit();
});
// What cannot be sent now waits in its form, and goes as soon as there is a connection: its token makes it count once.
document.addEventListener("htmx:error", ({ detail }) => {
  const form = detail.ctx?.sourceElement?.closest?.("form[data-waits]");
  if (!form || !(detail.error instanceof TypeError)) return;
  form.classList.add("waits");
  const line = one(".waiting", form) ?? document.createElement("p");
  line.className = "waiting";
  line.setAttribute("role", "status");
  line.textContent = form.dataset.waits;
  form.append(line);
});
const sendWaiting = () => {
  for (const form of all("form.waits")) {
    form.classList.remove("waits");
    form.requestSubmit();
  }
};
onOnline(sendWaiting);
addEventListener("online", sendWaiting); // a stream that outlived the gap does not say that it is back
const fit = (note) => {
  note.rows = Math.min(12, Math.max(1, note.value.split("\n").length));
};
document.addEventListener("input", ({ target }) => {
  if (target.id === "note") fit(target);
});
document.addEventListener("click", ({ target }) => {
  // A mood once chosen can be taken back by pressing it again.
  const mood = target instanceof Element && target.closest(".note input[type=radio]");
  if (!mood) return;
  if (mood.dataset.was === "on") mood.checked = false;
  for (const each of all("input[type=radio]", mood.form)) each.dataset.was = each.checked ? "on" : "off";
});

// ---------- the customer's own clock ----------

whileSeen(10_000, () => {
  for (const clock of all("[data-zone]:not(html)")) {
    const format = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: clock.dataset.zone };
    showClock(clock, new Intl.DateTimeFormat(document.documentElement.lang, format).format(now()));
  }
});

// ---------- he changes while he is looked at ----------

/** Puts what came in place of what stands, without taking away what was opened, revealed or chosen. */
const stand = (html) => {
  const came = parsed(html);
  for (const part of ["who", "now", "about"]) {
    const old = one(`#${part}`);
    const fresh = one(`#${part}`, came);
    if (!old || !fresh || old.innerHTML === fresh.innerHTML) continue;
    keeping[part]?.(old, fresh);
    old.replaceWith(document.adoptNode(fresh));
    window.htmx?.process(fresh);
  }
  const scores = one("#scores", came);
  if (scores) standScores(scores);
};

const keeping = {
  now(old, fresh) {
    const chosen = one("#purpose", old)?.value;
    const select = one("#purpose", fresh);
    if (chosen && select) {
      select.value = chosen;
      for (const list of all("[data-purpose]", fresh)) list.hidden = list.dataset.purpose !== chosen;
    }
    if (one("#now-more", old)?.open && one("#now-more", fresh)) one("#now-more", fresh).open = true;
  },
  about(old, fresh) {
    for (const shown of all(".revealed", old)) {
      const place = shown.closest("dd");
      one(`#${place.id}`, fresh)?.replaceChildren(...place.cloneNode(true).childNodes);
    }
  },
};

const standScores = (fresh) => {
  let moved = false;
  for (const score of all(".score", fresh)) {
    const old = one(`#${score.id}`);
    if (!old) continue;
    const bar = one(".gauge .fill", old);
    const width = one(".gauge .fill", score)?.getAttribute("width");
    const before = one("summary", old);
    const after = one("summary", score);
    one(".spark", after).replaceWith(one(".spark", before).cloneNode(true)); // the line follows when it is drawn
    if (before.innerHTML === after.innerHTML) continue;
    moved = true;
    old.className = score.className;
    if (bar && width) {
      for (const part of [".head", ".next"]) one(part, before)?.replaceWith(one(part, after));
      bar.setAttribute("width", width); // moved, not replaced, so that it can be seen moving
    } else {
      before.replaceWith(after);
    }
  }
  const open = one(".score[open]");
  if (open) askWhy(open);
  for (const score of all(".score:not([open])")) one(".sums", score)?.closest(".why").replaceChildren();
  if (moved || open) drawLines();
};

document.addEventListener("desk:standing", ({ detail }) => stand(detail.html));

document.addEventListener("htmx:after:swap", () => {
  const place = one("[data-focus]");
  place?.removeAttribute("data-focus");
  place?.focus();
});

if (page) {
  drawLines();
  const open = one(".score[open]");
  // Once every module listens.
  if (open) document.addEventListener("DOMContentLoaded", () => tellMargin(open));
}
