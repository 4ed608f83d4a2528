// The stream: what the overview says now, and which pages have changed. Silence is shown as what it is: stale.

import { get, loadSession, session, address } from "./api.js";
import { createStore } from "./store.js";
import { heard } from "./time.js";

const SILENCE_MS = 12_000;
const RETRY_MS = 3_000;

/** state: connecting, live or stale. overview: the last envelope. versions: page → number that changes with it. */
export const live = createStore({ state: "connecting", overview: null, versions: {}, heard_at: null });

const change = (changes) => live.set({ ...live.get(), ...changes });

let source = null;
let silence = null;
let retry = null;
let followed = null;

function alive(changes) {
  clearTimeout(silence);
  silence = setTimeout(lost, SILENCE_MS);
  change({ state: "live", heard_at: Date.now(), ...changes });
}

function lost() {
  change({ state: "stale" });
}

function on(name, react) {
  source.addEventListener(name, (event) => react(JSON.parse(event.data)));
}

function open() {
  source = new EventSource(address("stream", { netting_set: followed }));
  on("hello", (said) => {
    heard(said.now_ms);
    alive({});
  });
  on("overview", (envelope) => {
    heard(envelope.now_ms);
    alive({ overview: envelope });
  });
  on("changed", (said) => alive({ versions: said.versions }));
  on("bye", () => {
    close();
    loadSession().catch(lost);
  });
  source.onerror = () => {
    if (source?.readyState !== EventSource.CLOSED) return; // it tries again by itself
    close();
    change({ state: "stale" });
    retry = setTimeout(again, RETRY_MS);
  };
}

// A stream that was refused does not come back by itself: perhaps the session is over, perhaps the server is.
async function again() {
  try {
    await loadSession();
  } catch {
    retry = setTimeout(again, RETRY_MS);
    return;
  }
  if (session.get().user) open();
}

function close() {
  clearTimeout(retry);
  clearTimeout(silence);
  source?.close();
  source = null;
}

/** Follow one netting set, or all (""); null: nobody is logged in. */
export function follow(netting_set) {
  if (followed === netting_set && (source || netting_set === null)) return;
  const before = followed;
  followed = netting_set;
  close();
  if (netting_set === null) {
    live.set({ state: "connecting", overview: null, versions: {}, heard_at: null });
    return;
  }
  if (before !== null && before !== netting_set) change({ overview: null });
  open();
}

/** The overview as the stream would tell it, of another moment. */
export const overviewAt = (netting_set, at, signal) => get("overview", { netting_set, at }, signal);
