// Time as the server tells it: no clock of this computer decides what is shown, only how long ago the server spoke.

import { UNKNOWN, isUnknown } from "./format.js";
import { createStore, useStore } from "./store.js";

const KEY = "clearing.zone";
const read = (key) => {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage is forbidden here: the default holds
  }
};

/** "local" or "UTC". */
export const zone = createStore(read(KEY) === "UTC" ? "UTC" : "local");
zone.subscribe((name) => {
  try {
    localStorage.setItem(KEY, name);
  } catch {
    return; // it holds until the page is left
  }
});

let offset = 0;
let known = false;

/** The server has just said that it is `now_ms`. */
export function heard(now_ms) {
  offset = now_ms - Date.now();
  known = true;
}

export const serverNow = () => (known ? Date.now() + offset : null);

const ticks = createStore(0);
setInterval(() => ticks.set(ticks.get() + 1), 500);

/** The server's clock now; the component is drawn again twice a second. */
export function useNow() {
  useStore(ticks);
  return serverNow();
}

const formats = new Map();
function format(kind, options) {
  const name = zone.get();
  const key = `${name} ${kind}`;
  if (!formats.has(key)) {
    const timeZone = name === "UTC" ? "UTC" : undefined;
    formats.set(key, new Intl.DateTimeFormat("en-CA", { ...options, timeZone, hourCycle: "h23" }));
  }
  return formats.get(key);
}

const HMS = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const HM = { hour: "2-digit", minute: "2-digit" };
const DAY = { year: "numeric", month: "2-digit", day: "2-digit" };

const day = (ms) => format("day", DAY).format(ms);

/** "14:03:22", with the day before it where that is not today's. */
export function clock(ms) {
  if (isUnknown(ms)) return UNKNOWN;
  const time = format("time", HMS).format(ms);
  const today = day(serverNow() ?? Date.now());
  return day(ms) === today ? time : `${day(ms)} ${time}`;
}

/** "14:03", or with seconds where the ticks of an axis are that close. */
export const tick = (ms, seconds) => (seconds ? format("time", HMS) : format("minutes", HM)).format(ms);

/** Day and time, for inputs and for exports: "2026-11-22 14:03:22". */
export const stamp = (ms) => (isUnknown(ms) ? UNKNOWN : `${day(ms)} ${format("time", HMS).format(ms)}`);

/** Full precision, UTC: what stands in the logs. */
export const iso = (ms) => (isUnknown(ms) ? "" : new Date(ms).toISOString());

export const zoneName = () => (zone.get() === "UTC" ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone);

/** "14:03", "14:03:22" or "2026-11-22 14:03:22" in the zone shown → epoch ms, or null. `near_ms`: gives the day. */
export function parseTime(text, near_ms) {
  const found = /^\s*(?:(\d{4}-\d{2}-\d{2})[ T])?(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d{1,3})?))?\s*$/.exec(text);
  if (!found) return null;
  const [, date = day(near_ms), hour, minute, second = "0"] = found;
  const suffix = zone.get() === "UTC" ? "Z" : "";
  const ms = Date.parse(`${date}T${hour.padStart(2, "0")}:${minute}:${second.padStart(2, "0")}${suffix}`);
  return Number.isNaN(ms) ? null : ms;
}
