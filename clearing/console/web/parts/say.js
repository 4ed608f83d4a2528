// What stands beside the data: notes of the server, errors with what to do, that something is on its way.

import { duration } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Shape } from "./state.js";

/** A sentence with a level. */
export function Say({ level = "calm", hint = "", children }) {
  return html`<div class="say" data-level=${level} role=${level === "bad" ? "alert" : undefined}>
    <span class="state" data-level=${level}><${Shape} level=${level} /></span>
    <div>${children}${hint && html`<div class="hint">${hint}</div>`}</div>
  </div>`;
}

export function Failure({ error }) {
  if (!error) return null;
  const passing = error.status === 503 || error.status === 429 || error.status === 0;
  return html`<${Say} level=${passing ? "warn" : "bad"} hint=${error.hint}>
    ${error.message}${passing && html` <span class="muted">Tried again${error.retry_s ? ` in ${duration(error.retry_s)}` : ""}.</span>`}
  <//>`;
}

/** What the server notes beside an answer. */
export function Notes({ envelope }) {
  return html`
    ${envelope?.stale && html`<${Say} level="bad">The topics cannot be read now: this is the last that was known.<//>`}
    ${envelope?.notes?.map((note) => html`<${Say} key=${note}>${note}<//>`)}`;
}

/**
 * Notes and errors of an answer, and its content once there is any. Older content stays, dimmed, meanwhile.
 * notes: false where the content says them itself, below its head, or another answer of the page does.
 */
export function Answered({ answer, notes = true, children }) {
  const { envelope, data, error, waiting } = answer;
  return html`
    <${Failure} error=${error} />
    ${notes && html`<${Notes} envelope=${envelope} />`}
    ${data
      ? html`<div class=${waiting ? "is-old" : ""} aria-busy=${waiting ? "true" : "false"}>${children(data, envelope)}</div>`
      : waiting && !error && html`<p class="empty" role="status">Reading …</p>`}
  `;
}

/** What is looked for in the logs, how far that is, and its end before the end. */
export function Looking({ looking }) {
  const { said, stopped, stop, goOn } = looking;
  if (!said) return null;
  return html`<div class="looking">
    <span role="status">${stopped ? "The search was stopped." : "Looking through the logs …"}</span>
    ${!stopped && html`<span class="muted">${said}</span>`}
    <button onClick=${stopped ? goOn : stop}>${stopped ? "Search again" : "Stop"}</button>
  </div>`;
}

/** Title of a page, a sentence under it, and tools at the right. */
export function Head({ title, sub = null, children }) {
  return html`<div class="page-head">
    <h1>${title}</h1>
    ${sub && html`<span class="sub">${sub}</span>`}
    ${children && html`<div class="tools">${children}</div>`}
  </div>`;
}

export function Panel({ title, aside = null, children, wide = "", body = false, label = undefined }) {
  return html`<section class=${`panel ${wide}`} aria-label=${label ?? (typeof title === "string" ? title : undefined)}>
    ${title && html`<header><h2>${title}</h2>${aside && html`<div class="aside">${aside}</div>`}</header>`}
    ${body ? html`<div class="body">${children}</div>` : children}
  </section>`;
}
