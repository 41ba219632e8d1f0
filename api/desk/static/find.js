// The search box: arrows choose among what is found, Enter opens it, Escape leaves.

const box = document.querySelector("#find");
const found = document.querySelector("#found");
const text = () => box.value.trim();
const options = () => [...found.querySelectorAll("[role=option]")];

let asked = null; // what the answer under way is about
let answered = null; // what the answer shown is about
let eager = false; // Enter was pressed before the answer came
let chosen = null;

const choose = (one) => {
  chosen?.setAttribute("aria-selected", "false");
  chosen = one ?? null;
  chosen?.setAttribute("aria-selected", "true");
  chosen?.scrollIntoView({ block: "nearest" });
  if (chosen) box.setAttribute("aria-activedescendant", chosen.id);
  else box.removeAttribute("aria-activedescendant");
};

const move = (by) => {
  const all = options();
  if (!all.length) return;
  const at = all.indexOf(chosen);
  choose(all[at < 0 ? (by > 0 ? 0 : all.length - 1) : (at + by + all.length) % all.length]);
};

const open = (one) => location.assign(one.href);

const pressed = {
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  Enter: () => {
    if (chosen && answered === text()) open(chosen);
    else if (!text()) return true; // there is nothing to look for
    else eager = true; // the form is sent, and who is surely meant is opened when the answer comes
    return Boolean(chosen && answered === text());
  },
};

if (box) {
  for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-haspopup", "listbox"], ["aria-expanded", "false"]])
    box.setAttribute(name, value);
  box.addEventListener("keydown", (event) => {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = pressed[event.key];
    if (act && act() !== false) event.preventDefault();
  });
  box.addEventListener("input", () => {
    eager = false;
    choose(null);
  });
  box.addEventListener("focus", () => box.setAttribute("aria-expanded", "true"));
  box.addEventListener("blur", () => {
    box.setAttribute("aria-expanded", "false");
    choose(null);
  });
  box.form.addEventListener("htmx:before:request", () => {
    asked = text();
  });
  document.addEventListener("htmx:after:swap", ({ detail }) => {
    if (detail.ctx?.target !== found) return;
    answered = asked;
    chosen = null;
    const all = options();
    if (answered && all.length) choose(all[0]);
    if (eager && answered === text() && chosen && (all.length === 1 || chosen.hasAttribute("data-surely"))) open(chosen);
    eager = false;
  });
}
