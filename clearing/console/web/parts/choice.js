// A filter that stands in the address.

import { html } from "../lib/html.js";
import { go, here, useRoute } from "../lib/route.js";

export function Choice({ label, name, all, values, show = (value) => value }) {
  const { query } = useRoute();
  return html`<select aria-label=${label} value=${query[name] ?? ""} onChange=${(event) => go(here({ [name]: event.target.value }))}>
    <option value="">${all}</option>
    ${values.map((value) => html`<option key=${value} value=${value}>${show(value)}</option>`)}
  </select>`;
}

/** Text to filter by, taken when Enter is pressed or the field is left. */
export function Filter({ label, name }) {
  const { query } = useRoute();
  const take = (event) => {
    if (event.target.value.trim() !== (query[name] ?? "")) go(here({ [name]: event.target.value.trim() }), { replace: true });
  };
  return html`<input type="search" placeholder=${label} aria-label=${label} key=${query[name] ?? ""} defaultValue=${query[name] ?? ""} onChange=${take} maxlength="200" />`;
}

/** Which of several views is shown: the first where the address names none. */
export function Segmented({ label, name, options }) {
  const { query } = useRoute();
  const now = query[name] ?? options[0][0];
  return html`<div class="segmented" role="group" aria-label=${label}>
    ${options.map(([value, text]) => html`<a key=${value} href=${here({ [name]: value === options[0][0] ? null : value })} aria-current=${now === value ? "true" : undefined}>${text}</a>`)}
  </div>`;
}
