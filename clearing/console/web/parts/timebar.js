// The as-of slider: the whole console as it was at any moment of the log. At its right end it is live.

import { useData } from "../lib/data.js";
import { duration, UNKNOWN } from "../lib/format.js";
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { atOf, go, here, useRoute } from "../lib/route.js";
import { clock, iso, parseTime, stamp, useNow } from "../lib/time.js";

const SPANS = [["15 min", 900], ["1 h", 3_600], ["8 h", 28_800], ["1 d", 86_400], ["all", null]];
const STEPS = 1_000;
const SETTLE_MS = 350;

/** The ends of the log over the netting sets that are shown. */
function useEnds() {
  const { data } = useData("asof", { at: null });
  const all = Object.values(data ?? {}).filter((each) => each.first_ms !== null);
  return all.length ? { first: Math.min(...all.map((each) => each.first_ms)), last: Math.max(...all.map((each) => each.last_ms)) } : null;
}

export function TimeBar() {
  const { query } = useRoute();
  const now = useNow();
  const ends = useEnds();
  const at = atOf(query);
  const [moving, setMoving] = useState(null);
  const timer = useRef(null);
  useEffect(() => () => clearTimeout(timer.current), []);

  const end = now ?? ends?.last ?? null;
  const span = SPANS.find(([name]) => name === query.span) ?? SPANS[1];
  const [first, last] = range(ends?.first, end, at, span[1]);
  const shown = moving ?? at;

  const show = (ms, replace = false) => go(here({ at: end !== null && ms >= end - 250 ? null : Math.round(ms) }), { replace });
  function slide(event) {
    const share = Number(event.target.value) / STEPS;
    const ms = share >= 1 ? end : first + share * (last - first);
    setMoving(ms);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      setMoving(null);
      show(ms, at !== null);
    }, SETTLE_MS);
  }
  const step = (by_s) => () => show(Math.max(first, (at ?? end) + by_s * 1000), at !== null);
  const value = shown === null || first === null ? STEPS : Math.round((STEPS * (shown - first)) / Math.max(1, last - first));

  return html`<div class="timebar" role="region" aria-label="Moment that is shown">
    <button onClick=${step(-60)} disabled=${first === null} title="One minute back">−1 min</button>
    <button onClick=${step(-1)} disabled=${first === null} title="One second back">−1 s</button>
    <button onClick=${step(1)} disabled=${at === null} title="One second on">+1 s</button>
    <button onClick=${step(60)} disabled=${at === null} title="One minute on">+1 min</button>
    <span class="edge" title=${iso(first)}>${clock(first)}</span>
    <input type="range" min="0" max=${STEPS} value=${value} disabled=${first === null} onInput=${slide}
      aria-label="As of" aria-valuetext=${shown === null ? "now, live" : stamp(shown)} />
    <span class="edge" title=${iso(last)}>${at === null || last === end ? "now" : clock(last)}</span>
    <select aria-label="Span of the slider" value=${span[0]} onChange=${(event) => go(here({ span: event.target.value }), { replace: true })}>
      ${SPANS.map(([name]) => html`<option key=${name} value=${name}>${name}</option>`)}
    </select>
    <${Moment} shown=${shown} end=${end} show=${show} />
    ${at !== null && html`<span class="edge strong">${duration((end - at) / 1000)} ago</span>`}
    <button class=${at === null ? "" : "primary"} disabled=${at === null} onClick=${() => go(here({ at: null }))}>Live</button>
  </div>`;
}

/** Ends of the slider: the span around what is shown, within the log. */
function range(first, end, at, span_s) {
  if (first === undefined || end === null) return [null, null];
  if (span_s === null) return [first, end];
  const last = at !== null && at < end - span_s * 1000 ? Math.min(end, at + span_s * 500) : end;
  return [Math.max(first, last - span_s * 1000), last];
}

function Moment({ shown, end, show }) {
  const [typed, setTyped] = useState(null);
  const text = typed ?? (shown === null ? "" : stamp(shown));
  const wrong = typed !== null && typed !== "" && parseTime(typed, end) === null;
  function done(event) {
    event.preventDefault();
    const ms = typed && parseTime(typed, shown ?? end);
    if (ms) show(ms);
    if (!wrong) setTyped(null);
  }
  return html`<form onSubmit=${done}>
    <input type="text" value=${text} placeholder=${shown === null ? "hh:mm:ss" : UNKNOWN} aria-label="Moment, as hh:mm:ss or yyyy-mm-dd hh:mm:ss"
      aria-invalid=${wrong ? "true" : "false"} autocomplete="off" id="moment"
      onInput=${(event) => setTyped(event.target.value)} onBlur=${() => setTyped(null)} />
  </form>`;
}
