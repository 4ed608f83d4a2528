// Settlement batches, and one of them down to its entries and its proof (R1, R2, R7).

import { get } from "../lib/api.js";
import { useData } from "../lib/data.js";
import { approx, count, money, plural } from "../lib/format.js";
import { html, useEffect, useState } from "../lib/html.js";
import { PAGE, proveBatch } from "../lib/proof.js";
import { atOf, go, here, href, useRoute } from "../lib/route.js";
import { Diverge } from "../parts/bar.js";
import { Choice } from "../parts/choice.js";
import { countColumn, Id, moneyColumn, nettingSetColumn, ParticipantLink, PaymentLink, stateColumn, textColumn, timeColumn, When } from "../parts/columns.js";
import { Answered, Head, Notes, Panel, Say } from "../parts/say.js";
import { State } from "../parts/state.js";
import { Table } from "../parts/table.js";
import { assetsOf } from "./windows.js";

export function Batches() {
  const { query } = useRoute();
  const before = query.netting_set ? query.before : null;
  const answer = useData("batches", { asset: query.asset, before, limit: 200 }, { topic: before ? null : "batches" });
  return html`
    <${Head} title="Settlement batches"><${Choice} label="Asset" name="asset" all="all assets" values=${assetsOf(answer.data?.batches, query.asset)} /><//>
    <${Answered} answer=${answer}>${(data) => html`<${Panel}>
      <${Table} caption="Settlement batches, newest first" rows=${data.batches} keyOf=${(row) => `${row.netting_set} ${row.sequence}`} param="sort" empty="No batch."
        level=${(row) => ({ REFUSED: "bad", ABORTED: "warn" })[row.state] ?? null} columns=${columns(query, data.batches)} />
      ${(data.more || before) && html`<p class="more"><${Pager} data=${data} query=${query} before=${before} /></p>`}
    <//>`}<//>`;
}

function Pager({ data, query, before }) {
  if (!query.netting_set) return html`<span class="muted">Choose a netting set to page on to older ones.</span>`;
  const oldest = data.batches.at(-1)?.sequence;
  return html`${before && html`<button onClick=${() => go(here({ before: null }))}>Newest</button> `}
    ${data.more && html`<button onClick=${() => go(here({ before: oldest }))}>Older than ${count(oldest)}</button>`}`;
}

const columns = (query, rows) => [
  ...nettingSetColumn(query),
  { name: "sequence", label: "Batch", head: true, cell: (row) => html`<a class="row-link" href=${href(["batches", row.netting_set, String(row.sequence)])}>${count(row.sequence)}</a>`, by: (row) => row.sequence },
  textColumn("asset", "Asset"),
  { name: "window", label: "Window", num: true, cell: (row) => (row.window ? count(row.window) : null), by: (row) => row.window },
  ...(rows.some((row) => row.version > 1) ? [countColumn("version", "Version")] : []),
  ...(rows.some((row) => row.parts > 1) ? [{ name: "part", label: "Part", num: true, cell: (row) => `${row.part}/${row.parts}` }] : []),
  textColumn("kind", "Kind"),
  textColumn("ledger", "Ledger"),
  stateColumn("state", "State"),
  countColumn("payments", "Payments"),
  moneyColumn("gross", "Gross"),
  countColumn("entries", "Entries"),
  timeColumn("closed_at_ms", "Closed"),
  timeColumn("answered_ms", "Confirmed"),
  { name: "hash", label: "Hash", cell: (row) => html`<${Id} id=${row.hash} />` },
];

export function Batch({ netting_set, sequence }) {
  const { query } = useRoute();
  const from = Number(query.entry ?? 0);
  const answer = useData(`batches/${encodeURIComponent(netting_set)}/${encodeURIComponent(sequence)}`, { entry: from || null, netting_set: null }, { topic: "batches" });
  return html`<${Answered} answer=${answer} notes=${false}>${({ batch, view, entries_total, proof }, envelope) => html`
    <${Head} title=${`Batch ${count(batch.sequence)} of ${batch.netting_set}`} sub=${html`${batch.asset}${batch.window ? ` window ${count(batch.window)}` : ""} · ${batch.kind} · ${batch.ledger}`}>
      <${Neighbours} netting_set=${netting_set} sequence=${batch.sequence} />
    <//>
    <${Notes} envelope=${envelope} />
    ${atOf(query) !== null && html`<${Say}>A batch never changes; its state and when it was confirmed are told as of now.<//>`}
    <${Panel} title="What it settles" aside=${view && html`<${State} name=${view.state} />`} body><${Facts} batch=${batch} view=${view} /><//>
    <${Proof} netting_set=${netting_set} batch=${batch} total=${entries_total} proof=${proof} />
    <${Panel} title="Entries" aside=${entries_total > batch.entries.length ? `${count(from + 1)}–${count(from + batch.entries.length)} of ${count(entries_total)}` : plural(entries_total, "entry", "entries")}>
      <${Entries} batch=${batch} />
      ${entries_total > PAGE && html`<p class="more">
        <button disabled=${from === 0} onClick=${() => go(here({ entry: Math.max(0, from - PAGE) || null }))}>Earlier</button>
        <button disabled=${from + batch.entries.length >= entries_total} onClick=${() => go(here({ entry: from + PAGE }))}>Further</button></p>`}
    <//>
  `}<//>`;
}

/** What the server says of it, and beside it what this browser finds when it hashes and adds up by itself. */
function Proof({ netting_set, batch, total, proof }) {
  const here = useOwnProof(netting_set, batch, total);
  const holds = proof.ok && !here?.some((check) => check.ok === false);
  const verified = here?.every((check) => check.ok === true);
  const said = !holds ? "a claim does not hold" : verified ? "verified here" : here ? "all claims hold" : "being verified here";
  return html`<${Panel} title="Proof" aside=${html`<${State} name=${holds ? (here ? "good" : "calm") : "bad"} text=${said} />`} body>
    <h3>Verified here, by this browser</h3>
    ${here ? html`<${Checks} checks=${here} />` : html`<p class="muted" role="status">Hashing …</p>`}
    <h3>As the console's server says</h3>
    <${Checks} checks=${proof.checks} />
  <//>`;
}

const Checks = ({ checks }) => html`<ul class="checks">${checks.map((check) => html`<li key=${check.claim}>
  <${State} name=${check.ok === null ? "unknown" : check.ok ? "good" : "bad"} text=${check.claim} /><span class="detail mono">${check.detail}</span>
</li>`)}</ul>`;

/** Claims proved here; null while it is at work. Only another batch is proved again. */
function useOwnProof(netting_set, batch, total) {
  const [found, setFound] = useState(null);
  const shown = JSON.stringify(batch);
  useEffect(() => {
    const stop = new AbortController();
    const fetched = async (sequence, entry) =>
      (await get(`batches/${encodeURIComponent(netting_set)}/${sequence}`, { entry: entry || null }, stop.signal)).data;
    setFound(null);
    proveBatch(batch, total, fetched).then(
      (claims) => stop.signal.aborted || setFound(claims),
      (error) => stop.signal.aborted || setFound([{ claim: "not proved here", ok: null, detail: error.message }]),
    );
    return () => stop.abort();
  }, [netting_set, shown, total]);
  return found;
}

function Neighbours({ netting_set, sequence }) {
  const to = (number) => href(["batches", netting_set, String(number)]);
  return html`${sequence > 1 && html`<a class="button" href=${to(sequence - 1)}>← ${count(sequence - 1)}</a>`}<a class="button" href=${to(sequence + 1)}>${count(sequence + 1)} →</a>`;
}

function Facts({ batch, view }) {
  const fact = (name, value, wide = false) => html`<div class=${wide ? "wide" : ""}><dt>${name}</dt><dd>${value}</dd></div>`;
  return html`<dl class="facts">
    ${fact("Gross", `${batch.asset} ${money(batch.gross)}`)}
    ${fact("Payments", count(batch.payments))}
    ${fact("Version", count(batch.version))}
    ${batch.parts > 1 && fact("Part", `${batch.part} of ${batch.parts}`)}
    ${fact("Opened", html`<${When} ms=${batch.opened_at_ms} />`)}
    ${fact("Closed", html`<${When} ms=${batch.closed_at_ms} />`)}
    ${fact("Confirmed", html`<${When} ms=${view?.answered_ms} />`)}
    ${fact("Log offsets", `${count(batch.log_first)} – ${count(batch.log_last)}`)}
    ${view && fact("Stands in", html`<code>${view.topic}-${view.partition} @ ${count(view.offset)}</code>`)}
    ${view?.reason && fact("Reason", view.reason, true)}
    ${fact("Id", html`<code>${batch.id}</code>`, true)}
    ${fact("Hash", html`<code>${batch.hash}</code>`, true)}
    ${fact("Hash of the batch before", html`<code>${batch.previous}</code>`, true)}
    ${fact("Root over its members", html`<code>${batch.members_root}</code>`, true)}
    ${batch.linked?.length > 0 && fact("Final together with", batch.linked.map((id) => html`<code key=${id}>${id}</code> `), true)}
  </dl>`;
}

function Entries({ batch }) {
  const rows = batch.entries;
  const largest = Math.max(...rows.map((row) => Math.abs(approx(row.net))), 1e-9);
  const some = (name) => rows.some((row) => row[name]);
  return html`<${Table} caption="Entries of the batch" rows=${rows.map((row, n) => ({ ...row, place: n }))} keyOf=${(row) => row.place} param="sort" columns=${[
    { name: "participant", label: "Participant", head: true, cell: (row) => html`<${ParticipantLink} name=${row.participant} />`, by: (row) => row.participant },
    ...(some("counterparty") ? [{ name: "counterparty", label: "Against", cell: (row) => row.counterparty || null, by: (row) => row.counterparty }] : []),
    ...(some("payment") ? [{ name: "payment", label: "Payment", cell: (row) => (row.payment ? html`<${PaymentLink} id=${row.payment} />` : null) }] : []),
    moneyColumn("net", "Net", { title: "Negative: pays" }),
    { name: "bar", label: "pays ◂ ▸ gets", cell: (row) => html`<${Diverge} share=${approx(row.net) / largest} />` },
    moneyColumn("debits", "Debits"),
    moneyColumn("credits", "Credits"),
    ...(some("set_off") ? [moneyColumn("set_off", "Set off")] : []),
    countColumn("sent", "Sent"),
    countColumn("received", "Received"),
  ]} />`;
}
