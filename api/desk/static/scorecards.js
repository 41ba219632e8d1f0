// Trying a scorecard: numbered lines, Ctrl+Enter, and the line that is wrong marked where it stands.
import { keys } from "./desk.js";

const form = document.querySelector("#try");
const text = document.querySelector("#text");
const numbers = document.querySelector(".numbers");
const outcome = document.querySelector("#outcome");
let wrong = 0;

const number = () => {
  const lines = text.value ? text.value.split("\n").length : 0;
  numbers.replaceChildren(
    ...Array.from({ length: lines }, (_, at) => {
      const line = document.createElement(at + 1 === wrong ? "b" : "span");
      line.textContent = `${at + 1}\n`;
      return line;
    }),
  );
  numbers.scrollTop = text.scrollTop;
};

const mark = () => {
  const problem = outcome.querySelector("[data-line]");
  wrong = Number(problem?.dataset.line ?? 0);
  if (problem) text.setAttribute("aria-invalid", "true");
  else text.removeAttribute("aria-invalid");
  number();
  if (!wrong) return;
  const before = text.value.split("\n").slice(0, wrong - 1).join("\n").length + (wrong > 1 ? 1 : 0);
  const at = Math.min(before + Number(problem.dataset.column) - 1, text.value.length);
  text.focus({ preventScroll: true });
  text.setSelectionRange(at, at);
  text.scrollTop = Math.max(0, (wrong - 6) * parseFloat(getComputedStyle(text).lineHeight));
};

text.addEventListener("input", number);
text.addEventListener("scroll", () => {
  numbers.scrollTop = text.scrollTop;
});
keys.on("Ctrl+Enter", () => {
  if (document.activeElement !== text) return false;
  form.requestSubmit();
});
document.addEventListener("htmx:after:swap", ({ detail }) => {
  if (detail.ctx?.target !== outcome) return;
  mark();
  const below = outcome.getBoundingClientRect().top > innerHeight * 0.6;
  if (below || wrong) outcome.scrollIntoView({ block: wrong ? "nearest" : "start" });
});
mark();
