// Light, dark or as the system has it; remembered in this browser.

import { createStore } from "./store.js";

const KEY = "clearing.theme";
const ALL = ["system", "light", "dark"];

const stored = () => {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage is forbidden here
  }
};

export const theme = createStore(ALL.includes(stored()) ? stored() : "system");

function apply(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}

apply(theme.get());
theme.subscribe((name) => {
  apply(name);
  try {
    localStorage.setItem(KEY, name);
  } catch {
    return; // it holds until the page is left
  }
});

export const nextTheme = () => theme.set(ALL[(ALL.indexOf(theme.get()) + 1) % ALL.length]);

/** Changes whenever colours may have: charts are drawn anew then. */
export const scheme = createStore(0);
theme.subscribe(() => scheme.set(scheme.get() + 1));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => scheme.set(scheme.get() + 1));

/** A colour of css/tokens.css as it is now. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
