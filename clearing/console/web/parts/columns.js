// Columns that several pages have: money, times, ids, states; each always looks the same.

import { brief, count, money } from "../lib/format.js";
import { html } from "../lib/html.js";
import { href } from "../lib/route.js";
import { clock, iso } from "../lib/time.js";
import { State } from "./state.js";

/** Money of row[name], every digit. */
export const moneyColumn = (name, label, more = {}) => ({ name, label, num: true, cell: (row) => money(row[name]), by: (row) => row[name], ...more });
export const countColumn = (name, label, more = {}) => ({ name, label, num: true, cell: (row) => count(row[name]), by: (row) => row[name], ...more });
export const textColumn = (name, label, more = {}) => ({ name, label, cell: (row) => row[name] || null, by: (row) => row[name], ...more });
export const timeColumn = (name, label, more = {}) => ({ name, label, cell: (row) => html`<${When} ms=${row[name]} />`, by: (row) => row[name], ...more });
export const stateColumn = (name, label, more = {}) => ({ name, label, cell: (row) => html`<${State} name=${row[name]} />`, by: (row) => row[name], ...more });

/** A time of the log; the whole of it on hover. */
export const When = ({ ms }) => html`<span title=${iso(ms)}>${clock(ms)}</span>`;

/** An id or hash as far as people compare them; all of it on hover. */
export const Id = ({ id, length = 12 }) => html`<code title=${id || undefined}>${brief(id, length)}</code>`;

export const PaymentLink = ({ id }) => html`<a class="row-link mono" href=${href(["payment", id])} title=${id}>${brief(id, 13)}</a>`;

/** Accounts of the scheme itself ($FUNDING) are nobody's page. */
export const ParticipantLink = ({ name }) => (name.startsWith("$") ? name : html`<a href=${href(["participants", name])}>${name}</a>`);

/** The netting set of a row, where more than one is shown. */
export const nettingSetColumn = (query) => (query.netting_set ? [] : [textColumn("netting_set", "Set")]);
