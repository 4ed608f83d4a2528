// What an action would do, as the server tried it on a copy of the state: nothing of it has happened.

import { count, isNegative, money, plural, words } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Cli } from "./cli.js";
import { ParticipantLink, PaymentLink, When } from "./columns.js";
import { Say } from "./say.js";
import { State } from "./state.js";
import { Table } from "./table.js";

const WHAT = { released: "leaves the queues", ended: "waits, and would end", settled: "goes to settlement", funded: "prefunding" };
const FIGURES = [["prefunded", "Prefunded"], ["net_debit_cap", "Cap"], ["position", "Position"], ["reserved", "Reserved"], ["headroom", "Headroom"], ["queued", "Queued"]];

/** cli: what does the same, where that is not to begin anew what is tried. */
export function Preview({ preview, cli = preview.cli }) {
  const refused = preview.verdict === "REFUSED";
  return html`<div class="preview">
    <div class="verdict-line"><${State} name=${refused ? "bad" : "good"} text=${refused ? `would be refused: ${preview.reason}` : "would be carried out"} /></div>
    <p class="muted">${preview.described} · tried on the state at log offset ${count(preview.read_to)}, <${When} ms=${preview.time_ms} /></p>
    ${preview.breaches.map((breach) => html`<${Say} level="bad" key=${`${breach.participant} ${breach.asset}`}>${breach.sentence}<//>`)}
    ${!refused && html`<${Effects} preview=${preview} />`}
    <div><h3>The same in a terminal</h3><${Cli} text=${cli} /></div>
    <p class="muted mono">content hash ${preview.hash}</p>
  </div>`;
}

function Effects({ preview }) {
  const nothing = !["money", "accounts", "participants", "windows", "released", "ended"].some((name) => preview[name]?.length);
  if (nothing) return html`<p>It moves no money and changes no account.</p>`;
  return html`
    ${preview.participants?.length > 0 && html`<ul>${preview.participants.map((row) => html`<li key=${row.participant}><${ParticipantLink} name=${row.participant} />: <span class="before-after">${words(row.before)} → <b>${words(row.after)}</b></span></li>`)}</ul>`}
    ${preview.money?.length > 0 && html`<${Table} caption="Money affected" rows=${preview.money} keyOf=${(row) => `${row.asset} ${row.what}`} columns=${[
      { name: "what", label: "Money affected", head: true, cell: (row) => WHAT[row.what] ?? words(row.what) },
      { name: "asset", label: "Asset", cell: (row) => row.asset },
      { name: "amount", label: "Amount", num: true, cell: (row) => money(row.amount) },
      { name: "payments", label: "Payments", num: true, cell: (row) => count(row.payments) },
    ]} />`}
    ${preview.windows?.length > 0 && html`<${Table} caption="Windows" rows=${preview.windows} keyOf=${(row) => `${row.asset} ${row.window} ${row.state}`} columns=${[
      { name: "window", label: "Window", head: true, cell: (row) => `${row.asset} ${count(row.window)}` },
      { name: "state", label: "Becomes", cell: (row) => html`<${State} name=${row.state} />` },
      { name: "payments", label: "Payments", num: true, cell: (row) => count(row.payments) },
      { name: "gross", label: "Gross", num: true, cell: (row) => money(row.gross) },
    ]} />`}
    ${preview.accounts?.length > 0 && html`<${Accounts} rows=${preview.accounts} />`}
    ${preview.released?.length > 0 && html`<${Payments} title="Payments that would leave their queues" rows=${preview.released} last=${{ label: "How", cell: (row) => words(row.how) }} />`}
    ${preview.ended?.length > 0 && html`<${Payments} title="Payments that would end" rows=${preview.ended} last=${{ label: "Reason", cell: (row) => row.reason }} />`}
    ${preview.cut && html`<p class="muted">The lists are cut: the first ${plural(200, "line")} of each are shown.</p>`}
  `;
}

/** Accounts that would change: before → after, only where it differs. */
export function Accounts({ rows }) {
  const shown = FIGURES.filter(([name]) => rows.some((row) => row.before?.[name] !== row.after?.[name]) || name === "headroom");
  return html`<${Table} caption="Accounts before and after" rows=${rows} keyOf=${(row) => `${row.participant} ${row.asset}`} columns=${[
    { name: "participant", label: "Account", head: true, cell: (row) => html`<${ParticipantLink} name=${row.participant} /> ${row.asset}` },
    ...shown.map(([name, label]) => ({ name, label, num: true, cell: (row) => html`<${Change} before=${row.before?.[name]} after=${row.after?.[name]} />` })),
  ]} />`;
}

function Change({ before, after }) {
  if (before === after) return html`<span class="muted">${money(after)}</span>`;
  return html`<span class="before-after">${money(before)} → <b class=${isNegative(after ?? "") ? "bad-text" : ""}>${money(after)}</b></span>`;
}

function Payments({ title, rows, last }) {
  return html`<${Table} caption=${title} rows=${rows} keyOf=${(row) => row.payment} columns=${[
    { name: "payment", label: title, cell: (row) => html`<${PaymentLink} id=${row.payment} />` },
    { name: "debtor", label: "From", cell: (row) => row.debtor },
    { name: "creditor", label: "To", cell: (row) => row.creditor },
    { name: "amount", label: "Amount", num: true, cell: (row) => `${row.asset} ${money(row.amount)}` },
    { name: "last", ...last },
  ]} />`;
}
