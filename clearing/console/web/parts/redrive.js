// What reading rejected inputs again would do, one by one, and proposing it. Each at most once: its id names its origin.

import { may, post } from "../lib/api.js";
import { count, money, plural } from "../lib/format.js";
import { html, useRef, useState } from "../lib/html.js";
import { Cli } from "./cli.js";
import { Dialog } from "./dialog.js";
import { Outcome, useSending } from "./outcome.js";
import { Accounts } from "./preview.js";
import { Say } from "./say.js";
import { State } from "./state.js";
import { Table } from "./table.js";

export function Redrive({ netting_set, answer, close }) {
  const open = useRef(new Map()); // offset → proposes that one; those that are sent have left
  const [busy, setBusy] = useState(false);
  async function all() {
    setBusy(true);
    for (const propose of [...open.current.values()]) await propose();
    setBusy(false);
  }
  return html`<${Dialog} title="Read rejected inputs again" close=${close}>
    <p>${plural(answer.readable, "input")} can be read now, ${count(answer.still_unreadable)} still cannot. The same bytes are published again to the bank's topic, marked with where they come from, once somebody else has approved it.</p>
    ${answer.previews.map((one) => html`<${One} key=${one.offset} netting_set=${netting_set} one=${one} open=${open.current} />`)}
    <div class="buttons">${may("act") && answer.previews.length > 1 && html`<button class="primary" disabled=${busy} onClick=${all}>Propose all that can be read</button>`}<button onClick=${close}>Close</button></div>
  <//>`;
}

function One({ netting_set, one, open }) {
  const sending = useSending();
  const propose = () => sending.send(() => post("actions", { netting_set, command: one.command, hash: one.hash }));
  const useful = one.redrivable && one.rows.some((row) => row.readable);
  const pending = may("act") && useful && !sending.busy && sending.result === null;
  if (pending) open.set(one.offset, propose);
  else open.delete(one.offset);
  return html`<section class="panel" aria-label=${`Input ${one.source_offset}`}>
    <header><h2>${one.participant ?? "–"} · offset ${count(one.source_offset)} · ${count(one.bytes)} bytes</h2>
      <div class="aside">${may("act") && html`<button class="primary" disabled=${!pending} onClick=${propose}>Propose it</button>`}</div>
    </header>
    <div class="body preview">
      ${!one.redrivable && html`<${Say} level="warn">${one.why_not}<//>`}
      ${one.breaches?.map((breach) => html`<${Say} level="bad" key=${breach.sentence}>${breach.sentence}<//>`)}
      <${Table} caption="What would become of it" rows=${one.rows ?? []} keyOf=${(row) => row.item} columns=${[
        { name: "outcome", label: "Would be", cell: (row) => (row.readable ? html`<${State} name=${row.status} text=${`${row.status}${row.reason ? ` ${row.reason}` : ""}`} />` : html`<${State} name="warn" text=${`still unreadable ${row.reason}`} />`) },
        { name: "debtor", label: "From", cell: (row) => row.debtor || null },
        { name: "creditor", label: "To", cell: (row) => row.creditor || null },
        { name: "amount", label: "Amount", num: true, cell: (row) => (row.amount ? `${row.asset} ${money(row.amount)}` : null) },
        { name: "id", label: "Payment", cell: (row) => html`<code>${row.id || "–"}</code>` },
      ]} />
      ${one.accounts?.length > 0 && html`<${Accounts} rows=${one.accounts} />`}
      <details><summary>Its bytes, as text</summary><pre class="bytes" tabindex="0">${one.text}</pre></details>
      <${Cli} text=${one.cli} />
      <${Outcome} sending=${sending} />
    </div>
  </section>`;
}
