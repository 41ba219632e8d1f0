// What every page of the desk does: single keys, running clocks, whether it is live, language and theme.

const root = document.documentElement;
const { body } = document;
const ahead = Date.now() - Number(root.dataset.now);

/** The server's time in milliseconds UTC: its clock when the page came, going on since. */
export const now = () => Date.now() - ahead;

// ---------- keys ----------

const bound = new Map();
const singles = () => body.dataset.keys === "on";
const writes = (target) =>
  target instanceof Element &&
  (target.isContentEditable || target.closest("textarea, select, input:not([type=checkbox], [type=radio], [type=button])"));
const PAUSE = 1000; // within which the second key of "g o" has to come
let begun = "";
let begunAt = 0;

export const keys = {
  /**
   * Calls `act(event)` on a key ("j", "?", "Escape"), on one after another ("g o"), or with Ctrl ("Ctrl+Enter", which
   * also works while writing). A later call for the same key comes first; an act that answers false leaves the key to
   * who was there before.
   */
  on(key, act) {
    bound.set(key, [act, ...(bound.get(key) ?? [])]);
  },
};

const pressed = (key, event) => {
  for (const act of bound.get(key) ?? []) {
    if (act(event) !== false) {
      event.preventDefault();
      return true;
    }
  }
  return false;
};

/** On a keyboard of another script the key at the place of the Latin letter. */
const keyOf = ({ key, code, shiftKey }) => {
  if (!/^[^\x00-\x7f]$/.test(key) || !code.startsWith("Key")) return key;
  return shiftKey ? code.at(-1) : code.at(-1).toLowerCase();
};

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.defaultPrevented) return;
  if ((event.ctrlKey || event.metaKey) && !event.altKey) {
    pressed(`Ctrl+${event.key}`, event);
    return;
  }
  if (event.altKey) return;
  const key = keyOf(event);
  if (event.key === "Escape") {
    if (writes(event.target)) event.target.blur();
    pressed("Escape", event);
    return;
  }
  if (writes(event.target) || (key.length === 1 && !singles())) return;
  if (key !== "?" && document.querySelector(":popover-open")) return;
  const both = `${begun} ${key}`;
  const soon = event.timeStamp - begunAt < PAUSE;
  begun = "";
  if (soon && pressed(both, event)) return;
  if ([...bound.keys()].some((one) => one.startsWith(`${key} `))) {
    begun = key;
    begunAt = event.timeStamp;
    return;
  }
  pressed(key, event);
});

keys.on("/", () => document.querySelector("#find")?.focus());
keys.on("?", () => {
  const help = document.querySelector("#keys");
  if (!help) return false;
  if (help.togglePopover()) help.focus();
});
keys.on("g o", () => location.assign("/desk/overview"));
keys.on("g c", () => {
  const last = sessionStorage.getItem("customer");
  if (!last) return false;
  location.assign(last);
});
if (/^\/desk\/customers\/[0-9a-f]+$/.test(location.pathname)) sessionStorage.setItem("customer", location.pathname);

// ---------- clocks ----------

const HOUR = 3_600_000;
const DAYS = 3; // from so many on, a clock says days alone
const two = (n) => String(n).padStart(2, "0");
const inDays = new Intl.NumberFormat(root.lang, { style: "unit", unit: "day", unitDisplay: "long" });

/** How long, as the server words it: 12:48 within the hour, 26 h 10 min, 20 days. */
export const lasting = (ms) => {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (ms < HOUR) return `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`;
  const hours = Math.floor(seconds / 3600);
  if (hours >= 24 * DAYS) return inDays.format(Math.floor(hours / 24)).replaceAll("\u00a0", "\u202f");
  return (root.dataset.clock ?? "{hours} h {minutes} min")
    .replace("{hours}", hours)
    .replace("{minutes}", Math.floor(seconds / 60) % 60);
};

/** Calls `act()` every so many milliseconds while the page is seen, and at once when it is seen again. */
export const whileSeen = (every, act) => {
  const look = () => document.hidden || act();
  setInterval(look, every);
  document.addEventListener("visibilitychange", look);
};

/** Writes a clock anew where it shows something else: its letters alone change, no element comes or goes. */
export const showClock = (clock, text) => {
  const letters = clock.firstChild;
  if (clock.childNodes.length !== 1 || letters.nodeType !== Node.TEXT_NODE) clock.textContent = text;
  else if (letters.data !== text) letters.data = text;
};

whileSeen(1000, () => {
  for (const clock of document.querySelectorAll("[data-since]")) {
    showClock(clock, lasting(now() - Number(clock.dataset.since)));
    const target = Number(clock.dataset.target);
    if (target && now() > target && !clock.classList.contains("over")) {
      clock.classList.add("over");
      clock.dispatchEvent(new CustomEvent("over", { bubbles: true }));
    }
  }
});

// ---------- live or offline ----------

const waiting = { offline: [], online: [] };
/** Calls `act(since)` when the connection is lost, with when that was (ms). */
export const onOffline = (act) => waiting.offline.push(act);
/** Calls `act()` when it is back. */
export const onOnline = (act) => waiting.online.push(act);
let since = null;

export const offline = () => {
  if (since !== null) return;
  since = now();
  const line = document.querySelector(".offline");
  if (line) {
    const time = new Intl.DateTimeFormat(root.lang, { hour: "2-digit", minute: "2-digit", hour12: false, timeZone: root.dataset.zone });
    line.querySelector("span").textContent = line.dataset.says.replace("{time}", time.format(since));
  }
  body.classList.add("is-offline");
  for (const act of waiting.offline) act(since);
};

export const online = () => {
  if (since === null) return;
  since = null;
  body.classList.remove("is-offline");
  for (const act of waiting.online) act();
};

const PROBE = 5000;
setInterval(() => {
  if (since === null || document.querySelector("[hx-sse\\:connect]")) return; // a stream comes back by itself
  fetch("/desk/static/mark.svg", { method: "HEAD", cache: "no-store" }).then(online, () => {});
}, PROBE);

const signIn = () => location.assign(`/desk/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
addEventListener("offline", offline);
addEventListener("online", () => {
  if (!document.querySelector("[hx-sse\\:connect]")) online();
});
document.addEventListener("htmx:error", ({ detail }) => {
  if (detail.error instanceof TypeError || detail.ctx?.request?.signal?.reason === "timeout") offline();
});
document.addEventListener("htmx:before:response", (event) => {
  const { status, headers } = event.detail.ctx.response;
  if (status < 400 || !headers.get("Content-Type")?.includes("json")) return;
  event.preventDefault(); // not one of our pages: the server turned it away before it came to one
  if (status >= 500) tell(body.dataset.busy);
});
document.addEventListener("htmx:after:request", ({ detail }) => {
  if (!document.querySelector("[hx-sse\\:connect]")) online();
  if (detail.ctx.response.status < 400) document.querySelector("#told > [data-passing]")?.remove();
});
document.addEventListener("htmx:sse:error", ({ detail }) => (detail.status === 401 ? signIn() : offline()));
document.addEventListener("htmx:sse:before:connection", ({ detail }) => {
  if (detail.connection.attempt > 0) offline();
});
document.addEventListener("htmx:sse:after:connection", online);

// ---------- what stands at the top ----------

/** A line above the page, read out at once; gone as soon as something works again. */
export const tell = (text) => {
  const told = document.querySelector("#told");
  if (!told || told.textContent.trim() === text) return;
  const line = document.createElement("p");
  line.className = "told";
  line.dataset.passing = "";
  line.textContent = text;
  told.replaceChildren(line);
};

const prefer = (form, fields) => {
  const chosen = new URLSearchParams(new FormData(form));
  for (const [name, value] of Object.entries(fields)) chosen.set(name, value);
  return fetch("/desk/preferences", { method: "POST", body: chosen, headers: { "HX-Request": "true" } }).catch(offline);
};

const acts = {
  theme(button, event) {
    event.preventDefault();
    const { theme } = root.dataset;
    const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    prefer(button.form, { theme: root.dataset.theme });
  },
  keys(box) {
    body.dataset.keys = box.checked ? "on" : "off";
    prefer(box.form, { keys: body.dataset.keys });
  },
  dismiss(button) {
    button.closest(".told").remove();
  },
};
document.addEventListener("click", (event) => {
  const one = event.target instanceof Element && event.target.closest("[data-do]");
  if (one) acts[one.dataset.do]?.(one, event);
});
document.addEventListener("submit", ({ target }) => {
  if (target.action.endsWith("/desk/preferences") && target.elements.next && location.pathname !== "/desk/sign-in")
    target.elements.next.value = location.pathname + location.search;
});
