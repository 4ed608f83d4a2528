// Windows: what closes when, and how far each has come at its ledgers (R4, R23).

import { useData } from "../lib/data.js";
import { count, duration, isUnknown, UNKNOWN, words } from "../lib/format.js";
import { html } from "../lib/html.js";
import { may } from "../lib/api.js";
import { atOf, go, here, href, useRoute } from "../lib/route.js";
import { clock } from "../lib/time.js";
import { countColumn, moneyColumn, nettingSetColumn, stateColumn, timeColumn } from "../parts/columns.js";
import { Choice } from "../parts/choice.js";
import { Answered, Head, Panel } from "../parts/say.js";
import { State } from "../parts/state.js";
import { Table } from "../parts/table.js";
import { Until } from "../parts/ticking.js";

const STATES = ["OPEN", "PROCESSING", "CLOSED", "PENDING_SETTLEMENT", "SETTLED", "FAILED", "ABORTED"];

export function Windows() {
  const { query } = useRoute();
  const answer = useData("windows", { asset: query.asset, state: query.state, limit: 300 }, { topic: "windows" });
  return html`
    <${Head} title="Windows">
      <${Choice} label="Asset" name="asset" all="all assets" values=${assetsOf(answer.data?.windows, query.asset)} />
      <${Choice} label="State" name="state" all="all states" values=${STATES} show=${words} />
      ${query.window && html`<button onClick=${() => go(here({ window: null }))}>Window ${query.window} ×</button>`}
    <//>
    <${Answered} answer=${answer}>${(data) => {
      const rows = query.window ? data.windows.filter((row) => String(row.window) === query.window) : data.windows;
      const open = rows.filter((row) => row.state === "OPEN");
      const rest = rows.filter((row) => row.state !== "OPEN");
      return html`
        ${open.length > 0 && html`<${Panel} title="Open"><${WindowTable} rows=${open} /><//>`}
        <${Panel} title="Closed, newest first"><${WindowTable} rows=${rest} empty="No window has been closed." /><//>`;
    }}<//>`;
}

export const assetsOf = (rows, chosen) => [...new Set([...(rows ?? []).map((row) => row.asset), ...(chosen ? [chosen] : [])])].sort();

export function WindowTable({ rows, empty = "None." }) {
  const { query } = useRoute();
  const past = atOf(query) !== null;
  const some = (name) => rows.some((row) => !isUnknown(row[name]));
  const columns = [
    ...nettingSetColumn(query),
    { name: "window", label: "Window", head: true, cell: (row) => html`<a class="row-link" href=${target(row)}>${row.asset} ${count(row.window)}</a>`, by: (row) => `${row.asset} ${String(row.window).padStart(12, "0")}` },
    stateColumn("state", "State"),
    ...(rows.some((row) => row.state === "OPEN") || !rows.length ? [{ name: "closes", label: "Closes in", num: true, by: (row) => (row.state === "OPEN" ? row.cutoff_ms : null), cell: (row) => (row.state !== "OPEN" ? null : isUnknown(row.cutoff_ms) ? html`<span class="muted">by command</span>` : html`<${Until} ms=${row.cutoff_ms} />`) }] : []),
    timeColumn("opened_at_ms", "Opened"),
    ...(some("closed_at_ms") ? [timeColumn("closed_at_ms", "Closed")] : []),
    ...(some("payments") ? [countColumn("payments", "Payments"), moneyColumn("gross", "Gross")] : []),
    { name: "finality", label: "Finality by ledger", cell: (row) => html`<${Finality} row=${row} />` },
    ...(some("settled_at_ms") ? [{ name: "took", label: "Cut-off to final", num: true, cell: (row) => took(row), by: (row) => row.settled_at_ms && row.settled_at_ms - row.closed_at_ms }] : []),
    ...(rows.some((row) => row.sequence) ? [{ name: "batch", label: "Batch", num: true, cell: (row) => (row.sequence ? html`<a href=${href(["batches", row.netting_set, String(row.sequence)])}>${count(row.sequence)}</a>` : null), by: (row) => row.sequence }] : []),
    ...(rows.some((row) => row.version > 1) ? [countColumn("version", "Version")] : []),
    ...(rows.some((row) => row.reason) ? [{ name: "reason", label: "Reason", wrap: true, cell: (row) => row.reason || null }] : []),
    ...(may("act") && !past && rows.some((row) => row.state === "FAILED" || row.state === "OPEN") ? [{ name: "act", quiet: "What may be done", cell: (row) => html`<${Act} row=${row} />` }] : []),
  ];
  return html`<${Table} caption="Windows" rows=${rows} columns=${columns} keyOf=${(row) => `${row.netting_set} ${row.asset} ${row.window}`} param="sort"
    empty=${empty} level=${(row) => (row.state === "FAILED" ? "bad" : row.state === "ABORTED" ? "warn" : null)} />`;
}

const target = (row) => (row.sequence === null ? href(["windows"], { netting_set: row.netting_set, asset: row.asset, window: row.window }) : href(["batches", row.netting_set, String(row.sequence)]));

function took(row) {
  return isUnknown(row.settled_at_ms) || isUnknown(row.closed_at_ms) ? null : duration((row.settled_at_ms - row.closed_at_ms) / 1000);
}

const FINALITY = { PENDING: "calm", POSTED: "calm", REFUSED: "bad", FINAL: "good" };

function Finality({ row }) {
  const ledgers = Object.entries(row.finality ?? {});
  if (!ledgers.length) return UNKNOWN;
  return ledgers.map(([ledger, it]) => html`<span key=${ledger} class="nowrap">
    <${State} name=${it.state} level=${FINALITY[it.state]} text=${`${ledger} ${words(it.state)}${it.batches > 1 ? ` ${it.posted}/${it.batches}` : ""}`} title=${`${clock(it.at_ms)}${it.reason ? `: ${it.reason}` : ""}`} />
  </span> `);
}

/** What may be done about a window now. */
function Act({ row }) {
  const to = (kind) => href(["actions"], { kind, netting_set: row.netting_set, asset: row.asset, window: kind === "close_window" ? null : row.window });
  if (row.state === "OPEN") return html`<a href=${to("close_window")}>close …</a>`;
  if (row.state === "FAILED") return html`<a href=${to("settle_window")}>settle again …</a> <a href=${to("abort_window")}>abort …</a>`;
  return "";
}
