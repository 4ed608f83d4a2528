// The frame: who is here, which netting set, how old the data is, where one can go.

import { logIn, logOut, session } from "../lib/api.js";
import { count, duration, UNKNOWN } from "../lib/format.js";
import { html, useState } from "../lib/html.js";
import { live } from "../lib/live.js";
import { atOf, go, here, href, useRoute } from "../lib/route.js";
import { useStore } from "../lib/store.js";
import { nextTheme, theme } from "../lib/theme.js";
import { clock, useNow, zone, zoneName } from "../lib/time.js";
import { Shape } from "./state.js";
import { TimeBar } from "./timebar.js";

/** [page, title, key after g, begins a group]. */
export const PAGES = [
  ["overview", "Overview", "o"],
  ["lag", "Lag", "l"],
  ["windows", "Windows", "w", true],
  ["positions", "Positions", "p"],
  ["queues", "Queues", "q"],
  ["batches", "Batches", "b"],
  ["rejected", "Rejected", "r"],
  ["participants", "Participants", "t", true],
  ["drill", "Default drill", "d"],
  ["services", "Services", "s"],
  ["actions", "Actions", "a", true],
  ["audit", "Audit", "u"],
];

/** live, stale, connecting or past. */
export function useMode() {
  const { query } = useRoute();
  const state = useStore(live, (now) => now.state);
  return atOf(query) !== null ? "past" : state;
}

export function Frame({ children, help }) {
  const mode = useMode();
  const focusMain = (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  };
  return html`<div class="frame" data-mode=${mode}>
    <a class="button skip" href="#main" onClick=${focusMain}>To the content</a>
    <${Top} mode=${mode} help=${help} />
    <${TimeBar} />
    <${Nav} />
    <main id="main" tabindex="-1">${children}</main>
  </div>`;
}

function Top({ mode, help }) {
  const who = useStore(session);
  return html`<header class="top">
    <a class="brand" href=${href(["overview"])}>Clearing</a>
    <${NettingSets} names=${who.netting_sets} />
    <span class="where" title="Installation">${who.installation}</span>
    <${Search} />
    <div class="rest">
      <${Age} mode=${mode} />
      <${Preferences} help=${help} />
      <div class="who">${who.user}<small>${who.roles.join(", ")}</small></div>
      ${who.login === "password" && html`<button class="plain" onClick=${logOut}>Log out</button>`}
    </div>
  </header>`;
}

function NettingSets({ names }) {
  const { query } = useRoute();
  return html`<select aria-label="Netting set" value=${query.netting_set ?? ""} onChange=${(event) => go(here({ netting_set: event.target.value }))}>
    <option value="">all netting sets</option>
    ${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
  </select>`;
}

function Search() {
  const { page, query } = useRoute();
  function search(event) {
    event.preventDefault();
    const text = event.target.elements.q.value.trim();
    if (text) go(href(["search"], { q: text }));
  }
  return html`<form class="search" role="search" onSubmit=${search}>
    <input type="search" id="search" name="q" autocomplete="off" spellcheck=${false} aria-label="Search by any id"
      placeholder="Payment, batch, hash, participant, HKD 1412 …" defaultValue=${page === "search" ? query.q : ""} maxlength="200" />
    <kbd aria-hidden="true">/</kbd>
  </form>`;
}

const SAID = { live: "Live", stale: "Stale", connecting: "Connecting", past: "As of" };
const LEVEL = { live: "good", stale: "bad", connecting: "unknown", past: "calm" };

/** How old what is shown is: by the newest thing that went in, on the server's clock. */
function Age({ mode }) {
  const { query } = useRoute();
  const now = useNow();
  const envelope = useStore(live, (it) => it.overview);
  const stale = mode === "live" && envelope?.stale ? "stale" : mode;
  const data_ms = envelope?.data_ms ?? null;
  const age = stale === "past" ? clock(atOf(query)) : data_ms === null || now === null ? UNKNOWN : duration(Math.max(0, (now - data_ms) / 1000));
  const title = stale === "past" ? "The state of that moment, from the log" : "Age of the newest data";
  return html`<div class="age" data-mode=${stale} title=${title}>
    <span class="state" data-level=${LEVEL[stale]}><${Shape} level=${LEVEL[stale]} /></span>
    <span role="status">${SAID[stale]}</span>
    <span class="figure">${stale === "past" ? "" : "data "}${age}</span>
  </div>`;
}

function Preferences({ help }) {
  const colours = useStore(theme);
  const zones = useStore(zone);
  return html`
    <button class="plain" title=${`Times in ${zoneName()}. Click: ${zones === "UTC" ? "local" : "UTC"}`} onClick=${() => zone.set(zones === "UTC" ? "local" : "UTC")}>
      ${zones === "UTC" ? "UTC" : "Local time"}
    </button>
    <button class="plain" title="Colours: system, light, dark" onClick=${nextTheme} aria-label=${`Colours: ${colours}`}>${colours === "system" ? "Auto" : colours === "dark" ? "Dark" : "Light"}</button>
    <button class="plain" onClick=${help} aria-label="Keyboard and help" title="Keyboard and help">?</button>
  `;
}

/** What waits for somebody, page by page. */
function notesOf(data) {
  if (!data) return {};
  const total = (name) => {
    const known = data.netting_sets.map((each) => each[name]).filter((each) => each !== null && each !== undefined);
    return known.length ? known.reduce((a, b) => a + b, 0) : 0;
  };
  const halted = data.halts.length;
  const services = data.services ?? {};
  const notes = {
    actions: [total("proposals"), "warn"],
    rejected: [total("rejected_last_hour"), ""],
    queues: [total("queued_payments"), ""],
    positions: [total("near_cap"), "warn"],
    services: [halted + (services.late ?? 0), "bad"],
    lag: [data.stages?.filter((each) => each.status !== "OK").length ?? 0, "warn"],
    windows: [data.windows.filter((each) => each.state === "FAILED").length, "bad"],
  };
  return Object.fromEntries(Object.entries(notes).filter(([, [number]]) => number > 0));
}

const NOTE_WORDS = {
  actions: "open proposals", rejected: "in the last hour", queues: "payments wait", positions: "accounts near their cap",
  services: "halted or late", lag: "readers behind", windows: "failed",
};

function Nav() {
  const { page } = useRoute();
  const data = useStore(live, (it) => it.overview)?.data;
  const mode = useMode();
  const notes = mode === "past" ? {} : notesOf(data);
  return html`<nav class="nav" aria-label="Pages"><ul>
    ${PAGES.map(([name, title, key, gap]) => {
      const note = notes[name];
      return html`<li key=${name} class=${gap ? "gap" : ""}>
        <a href=${href([name])} aria-current=${page === name ? "page" : undefined} title=${`g ${key}`}>
          ${title}
          ${note && html`<span class="note" data-level=${note[1]} title=${NOTE_WORDS[name]}>${count(note[0])}<span class="hidden"> ${NOTE_WORDS[name]}</span></span>`}
        </a>
      </li>`;
    })}
  </ul></nav>`;
}

export function Login() {
  const who = useStore(session);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  async function enter(event) {
    event.preventDefault();
    const form = event.target.elements;
    setBusy(true);
    try {
      await logIn(form.user.value, form.password.value);
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  }
  if (who.login === "proxy") {
    return html`<main class="login">${who.named
      ? html`<p><b>${who.named}</b> is logged in at the proxy, but may do nothing here: no role was given. Whoever runs the console gives one.</p>
        <p class="muted"><code>clearing console user add … --role viewer --no-password</code>, or a group with <code>--group-role</code>.</p>`
      : html`<p>The proxy in front of this console has not said who you are. Log in there.</p>`}</main>`;
  }
  return html`<main class="login"><form onSubmit=${enter}>
    <h1>Clearing console</h1>
    <p class="muted">${who.installation}</p>
    <div class="field"><label for="user">Name</label><input id="user" name="user" type="text" autocomplete="username" required maxlength="64" /></div>
    <div class="field"><label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required maxlength="256" /></div>
    ${error && html`<p class="bad-text" role="alert">${error.message}${error.retry_s ? ` Again in ${duration(error.retry_s)}.` : ""}</p>`}
    <button class="primary" disabled=${busy}>${busy ? "…" : "Log in"}</button>
    <p class="muted">Accounts are made with <code>clearing console user add</code>.</p>
  </form></main>`;
}
