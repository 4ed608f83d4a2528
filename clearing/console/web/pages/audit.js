// Who did what: a chain of hashes that anybody can recompute from the journal alone.

import { address, may } from "../lib/api.js";
import { useData } from "../lib/data.js";
import { count, plural, words } from "../lib/format.js";
import { html, useEffect, useState } from "../lib/html.js";
import { proveAudit } from "../lib/proof.js";
import { go, here, useRoute } from "../lib/route.js";
import { Filter } from "../parts/choice.js";
import { countColumn, Id, nettingSetColumn, stateColumn, textColumn, timeColumn } from "../parts/columns.js";
import { Answered, Head, Panel, Say } from "../parts/say.js";
import { State } from "../parts/state.js";
import { Table } from "../parts/table.js";

export function Audit() {
  const { query } = useRoute();
  const before = query.netting_set ? query.before : null;
  const answer = useData("audit", { by: query.by, text: query.text, before, limit: 200 }, { topic: before ? null : "audit" });
  return html`
    <${Head} title="Audit log"><${Filter} label="By whom" name="by" /><${Filter} label="Text in it" name="text" /><//>
    <${Answered} answer=${answer}>${(data) => html`
      <${Panel} title="Chain">${Object.entries(data.chain).map(([name, chain]) => html`<${Chain} key=${name} name=${name} chain=${chain} rows=${data.audit.filter((row) => row.netting_set === name)} />`)}
        ${!Object.keys(data.chain).length && html`<p class="empty">Nothing was done by anybody yet.</p>`}<//>
      <${Panel} title="Newest first"><${Entries} rows=${data.audit} />
        ${(data.more || before) && html`<p class="more">${query.netting_set
          ? html`${before && html`<button onClick=${() => go(here({ before: null }))}>Newest</button> `}${data.more && html`<button onClick=${() => go(here({ before: data.audit.at(-1).number }))}>Older</button>`}`
          : "Choose a netting set to page on."}</p>`}<//>
    `}<//>`;
}

function Chain({ name, chain, rows }) {
  const state = chain.ok === null ? "unknown" : chain.ok ? "good" : "bad";
  return html`<div class="body chain">
    <b>${name}</b><${State} name=${state} text=${chain.ok === null ? "not checked" : chain.ok ? "every entry follows from the one before" : "the chain is broken"} />
    <${VerifiedHere} rows=${rows} />
    <span class="muted">${plural(chain.entries, "entry", "entries")}, last <${Id} id=${chain.last} /></span>
    ${may("export") && html`<a class="button" href=${address("audit/export", { netting_set: name })} download>Export (JSON lines)</a>`}
    ${chain.detail && html`<${Say} level=${chain.ok ? "calm" : "bad"}>${chain.detail}<//>`}
  </div>`;
}

/** The entries that are shown, hashed again by this browser. */
function VerifiedHere({ rows }) {
  const [found, setFound] = useState(null);
  const shown = JSON.stringify(rows);
  useEffect(() => {
    let gone = false;
    proveAudit(rows).then((proof) => gone || setFound(proof));
    return () => {
      gone = true;
    };
  }, [shown]);
  if (!found || !rows.length) return null;
  const text = found.ok === null ? "not verified here" : found.ok ? `${plural(found.entries, "entry", "entries")} verified here` : found.detail;
  return html`<${State} name=${found.ok === null ? "unknown" : found.ok ? "good" : "bad"} text=${text} title=${found.detail || undefined} />`;
}

function Entries({ rows }) {
  const { query } = useRoute();
  return html`<${Table} caption="Audit log" rows=${rows} keyOf=${(row) => `${row.netting_set} ${row.number}`} empty="None." level=${(row) => (row.status === "REFUSED" ? "warn" : null)} columns=${[
    ...nettingSetColumn(query),
    countColumn("number", "#", { by: undefined }),
    timeColumn("time_ms", "Time", { by: undefined }),
    { name: "by", label: "By", head: true, cell: (row) => html`<a href=${here({ by: row.by })}>${row.by}</a>` },
    { name: "kind", label: "What", cell: (row) => (row.kind === "proposal" ? "proposal" : words(row.command)) },
    stateColumn("status", "Became"),
    { name: "content", label: "Content", wrap: true, cell: (row) => html`${row.kind === "proposal" ? html`<code>${contentOf(row.command)}</code>` : ""}${row.reason ? html`<span> ${row.reason}</span>` : ""}` },
    textColumn("id", "Id", { by: undefined, cell: (row) => html`<${Id} id=${row.id} length=${18} />` }),
    { name: "offset", label: "Log offset", num: true, cell: (row) => count(row.log_offset) },
    { name: "hash", label: "Hash", cell: (row) => html`<${Id} id=${row.hash} length=${10} />` },
  ]} />`;
}

/** JSON of a proposed command → "set_cap BAMBHKHH HKD 5000000.00"; what is not JSON stays as it is. */
function contentOf(text) {
  let command;
  try {
    command = JSON.parse(text);
  } catch {
    return text;
  }
  const { type, id, by, ...rest } = command;
  return [type, ...Object.values(rest).filter((value) => value !== null).map((value) => (typeof value === "object" ? JSON.stringify(value) : String(value)))].join(" ");
}
