// The keyboard: one key, or g and then one. Never while somebody types, never with Ctrl, Alt or Meta.

const WITHIN_MS = 1_200;
const TYPED = new Set(["INPUT", "SELECT", "TEXTAREA"]);

/** keys: {"/": fn, "g o": fn, …}. Returns a function that ends it. */
export function listen(keys) {
  let before = null;
  let at = 0;
  function pressed(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const field = event.target;
    const types = TYPED.has(field.tagName) && !["range", "checkbox", "radio"].includes(field.type);
    if (types || document.querySelector("dialog[open]")) return;
    const second = before && event.timeStamp - at < WITHIN_MS ? `${before} ${event.key}` : null;
    before = null;
    const act = (second && keys[second]) || keys[event.key];
    if (act) {
      event.preventDefault();
      act();
    } else if (event.key === "g") {
      [before, at] = ["g", event.timeStamp];
    }
  }
  document.addEventListener("keydown", pressed);
  return () => document.removeEventListener("keydown", pressed);
}

/** Next (1) or previous (-1) row of the page's tables that leads somewhere. */
export function step(direction) {
  const links = [...document.querySelectorAll("main tbody tr a.row-link")];
  if (!links.length) return;
  const now = links.indexOf(document.activeElement);
  const next = now < 0 ? (direction > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, now + direction));
  links[next].focus();
}
