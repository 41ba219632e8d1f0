// The overview looks again every few seconds, but not while nobody sees it.
import { onOnline } from "./desk.js";

const EVERY = 3000;
const main = () => document.querySelector("#main");
const look = () => {
  if (!document.hidden) window.htmx?.trigger(main(), "look");
};

setInterval(look, EVERY);
document.addEventListener("visibilitychange", look);
onOnline(look);

// What is shown already need not be sent again.
document.addEventListener("htmx:config:request", ({ detail }) => {
  if (detail.ctx?.sourceElement === main()) detail.ctx.request.headers["X-Seen"] = main().dataset.shown;
});
