// A state as shape, word and level. Levels: good, calm (nothing to do), warn, bad, unknown.

import { UNKNOWN, words } from "../lib/format.js";
import { html } from "../lib/html.js";

const LEVELS = {
  good: ["ON_TIME", "OK", "ready", "SETTLED", "FINAL", "ACSC", "DONE", "APPROVED", "ACTIVE", "good"],
  calm: [
    "OPEN", "PROCESSING", "CLOSED", "PENDING_SETTLEMENT", "PENDING", "POSTED", "starting", "NO_CUTOFF", "PROPOSED", "ACSP",
    "RCVD", "REPEATED", "WITHDRAWN", "Stable", "ABORTED", "CANC", "ACCEPTED", "PUBLISHED", "CNCL", "PDCR", "calm",
  ],
  warn: ["AT_RISK", "SLOW", "PDNG", "QUEUED", "SUSPENDED", "stopping", "late", "UNANSWERED", "REFUSED", "RJCT", "PreparingRebalance", "CompletingRebalance", "Empty", "warn"],
  bad: ["WILL_MISS", "HALTED", "halted", "STALLED", "STOPPED", "REWOUND", "HUNG_TXN", "FAILED", "DEFAULTED", "Dead", "bad"],
};

const LEVEL_OF = new Map(Object.entries(LEVELS).flatMap(([level, names]) => names.map((name) => [name, level])));

export const levelOf = (name) => LEVEL_OF.get(name) ?? "unknown";

const SHAPES = {
  good: () => html`<circle cx="5" cy="5" r="4" fill="currentColor" />`,
  calm: () => html`<circle cx="5" cy="5" r="3.4" fill="none" stroke="currentColor" stroke-width="1.6" />`,
  warn: () => html`<path d="M5 0.6 9.8 9.4H0.2Z" fill="currentColor" />`,
  bad: () => html`<path d="M0.8 0.8h8.4v8.4H0.8Z" fill="currentColor" />`,
  unknown: () => html`<path d="M1 5h8" stroke="currentColor" stroke-width="1.6" />`,
};

/** The shape of a level: a full circle, a ring, a triangle, a square, a dash. */
export function Shape({ level }) {
  return html`<svg viewBox="0 0 10 10" aria-hidden="true">${(SHAPES[level] ?? SHAPES.unknown)()}</svg>`;
}

/** name: of a state as the engine says it; text: other words for it. */
export function State({ name, text = null, level = null, title = undefined }) {
  if (name === null || name === undefined) return UNKNOWN;
  const shown = level ?? levelOf(name);
  return html`<span class="state" data-level=${shown} title=${title}><${Shape} level=${shown} />${text ?? words(name)}</span>`;
}
