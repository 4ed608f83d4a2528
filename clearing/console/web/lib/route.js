// All state of the page is in the fragment: #/windows?netting_set=hk&asset=HKD&at=1795365000000. Links and the
// browser's back button do the rest.

import { createStore, useStore } from "./store.js";

function parse() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decode);
  return { page: parts[0] ?? "overview", parts: parts.slice(1), query: Object.fromEntries(new URLSearchParams(query)) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a lone % that somebody typed
  }
}

export const route = createStore(parse());
addEventListener("hashchange", () => route.set(parse()));

export const useRoute = () => useStore(route);

// These go along from page to page.
const KEPT = ["netting_set", "at"];

/** Address of a page: its path as a list, its query. What is null or "" is left out; netting_set and at are kept. */
export function href(path, query = {}) {
  const now = route.get().query;
  const kept = Object.fromEntries(KEPT.map((name) => [name, now[name]]));
  const all = Object.entries({ ...kept, ...query }).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const search = new URLSearchParams(all.map(([name, value]) => [name, String(value)])).toString();
  return `#/${path.map((part) => encodeURIComponent(part)).join("/")}${search ? `?${search}` : ""}`;
}

/** This page with another query. */
export function here(changes) {
  const { page, parts, query } = route.get();
  return href([page, ...parts], { ...query, ...changes });
}

/** replace: without a step in the browser's history (a slider that moves, a filter that is typed). */
export function go(address, { replace = false } = {}) {
  if (replace) {
    history.replaceState(null, "", address);
    route.set(parse());
  } else {
    location.hash = address;
  }
}

/** The moment that is shown, or null: live. */
export function atOf(query) {
  const at = Number(query.at);
  return query.at && Number.isFinite(at) ? at : null;
}
