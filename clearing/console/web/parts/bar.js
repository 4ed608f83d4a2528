// Bars: how much of a room is used, what a participant pays or gets, who is first: the drain or the cut-off.

import { duration, percent } from "../lib/format.js";
import { html } from "../lib/html.js";

export const NEAR = 0.8;

/** Level of a used share: from 80 % on it is near its limit, from 100 % on nothing more may leave. */
export const levelOfUse = (used) => (used === null || used === undefined ? "unknown" : used >= 1 ? "bad" : used >= NEAR ? "warn" : "good");

/** used: 0…1 and above, null: nothing may be used, or not known. The line in it stands at 80 %. */
export function UseBar({ used }) {
  if (used === null || used === undefined) return html`<span class="bar unknown" role="img" aria-label="unknown"></span>`;
  const width = `${Math.min(100, Math.max(0, used * 100))}%`;
  return html`<span class="bar" data-level=${levelOfUse(used)} role="img" aria-label=${`${percent(used)} used`}>
    <i style=${{ width }}></i><b style=${{ left: `${NEAR * 100}%` }}></b>
  </span>`;
}

/** Left of the middle: pays; right of it: gets. share: -1…1 of the largest. */
export function Diverge({ share }) {
  const width = `${Math.min(50, Math.abs(share) * 50)}%`;
  return html`<span class="diverge" aria-hidden="true"><i class=${share < 0 ? "pays" : "gets"} style=${{ width }}></i><b></b></span>`;
}

/** The time the backlog takes to drain, in the time there is: the mark is the cut-off. */
export function Race({ drain_s, cutoff_in_s, level }) {
  if (drain_s === null || cutoff_in_s === null) return html`<span class="bar unknown" role="img" aria-label="unknown"></span>`;
  const whole = Math.max(drain_s, cutoff_in_s, 0.001) * 1.02;
  const label = `drains in ${duration(drain_s)}, cut-off in ${duration(cutoff_in_s)}`;
  return html`<span class="race" data-level=${level} role="img" aria-label=${label} title=${label}>
    <i style=${{ width: `${(100 * drain_s) / whole}%` }}></i>
    <b style=${{ left: `calc(${(100 * Math.max(0, cutoff_in_s)) / whole}% - 2px)` }}></b>
  </span>`;
}
