// The overview looks again every few seconds, but not while nobody sees it.
import { onOnline, whileSeen } from "./desk.js";

const EVERY = 3000;
const main = () => document.querySelector("#main");
const look = () => window.htmx?.trigger(main(), "look");

whileSeen(EVERY, look);
onOnline(() => document.hidden || look());

// What is shown already need not be sent again.
document.addEventListener("htmx:config:request", ({ detail }) => {
  if (detail.ctx?.sourceElement === main()) detail.ctx.request.headers["X-Seen"] = main().dataset.shown;
});
