// Times that pass while one looks: drawn anew twice a second by themselves, so that nothing around them is.

import { countdown, duration, isUnknown, UNKNOWN } from "../lib/format.js";
import { html } from "../lib/html.js";
import { atOf, useRoute } from "../lib/route.js";
import { clock, iso, useNow } from "../lib/time.js";

/** The moment that is shown: of the address, or the server's clock now. */
export function useMoment() {
  const { query } = useRoute();
  const now = useNow();
  return atOf(query) ?? now;
}

/** Countdown to a time. */
export function Until({ ms }) {
  const moment = useMoment();
  if (isUnknown(ms) || moment === null) return UNKNOWN;
  return html`<span title=${`${clock(ms)} ${iso(ms)}`}>${countdown((ms - moment) / 1000)}</span>`;
}

/** How long ago a time was; 0: not known. */
export function Since({ ms }) {
  const moment = useMoment();
  if (!ms || moment === null) return UNKNOWN;
  return html`<span title=${`${clock(ms)} ${iso(ms)}`}>${duration(Math.max(0, (moment - ms) / 1000))}</span>`;
}
