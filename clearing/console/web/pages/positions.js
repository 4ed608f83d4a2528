// Positions against caps: every account as a bar that fills with what it has used (R8, R9).

import { useData } from "../lib/data.js";
import { money, percent, plural, short } from "../lib/format.js";
import { html } from "../lib/html.js";
import { href, useRoute } from "../lib/route.js";
import { levelOfUse, NEAR, UseBar } from "../parts/bar.js";
import { Choice, Segmented } from "../parts/choice.js";
import { countColumn, moneyColumn, nettingSetColumn, ParticipantLink, timeColumn } from "../parts/columns.js";
import { Answered, Head, Panel } from "../parts/say.js";
import { levelOf, State } from "../parts/state.js";
import { Table } from "../parts/table.js";
import { assetsOf } from "./windows.js";

export function Positions() {
  const { query } = useRoute();
  const answer = useData("positions", { participant: query.participant }, { topic: "positions" });
  const all = answer.data?.positions ?? [];
  const near = all.filter((row) => row.used !== null && row.used >= NEAR).length;
  return html`
    <${Head} title="Positions" sub=${answer.data && (near ? `${plural(near, "account")} of ${all.length} use 80 % or more of what they may` : `${plural(all.length, "account")}, none near its limit`)}>
      <${Choice} label="Asset" name="asset" all="all assets" values=${assetsOf(all, query.asset)} />
      ${query.participant && html`<a class="button" href=${href(["positions"], { view: query.view, asset: query.asset })}>${query.participant} ×</a>`}
      <${Segmented} label="View" name="view" options=${[["heat", "Heat bars"], ["list", "Figures"]]} />
    <//>
    <${Answered} answer=${answer}>${(data) => {
      const rows = query.asset ? data.positions.filter((row) => row.asset === query.asset) : data.positions;
      return query.view === "list" ? html`<${Panel}><${PositionTable} rows=${rows} /><//>` : html`<${Heat} rows=${rows} />`;
    }}<//>`;
}

export function PositionTable({ rows, named = true }) {
  const { query } = useRoute();
  return html`<${Table} caption="Positions" rows=${rows} param="sort" initial="-used" keyOf=${(row) => `${row.netting_set} ${row.participant} ${row.asset}`}
    level=${(row) => ({ warn: "warn", bad: "bad" })[levelOfUse(row.used)] ?? null} empty="No account."
    columns=${[
      ...(named ? [...nettingSetColumn(query), { name: "participant", label: "Participant", head: true, cell: (row) => html`<${ParticipantLink} name=${row.participant} />`, by: (row) => row.participant }] : []),
      { name: "asset", label: "Asset", cell: (row) => row.asset, by: (row) => row.asset },
      { name: "bar", quiet: "Bar of what is used", cell: (row) => html`<${UseBar} used=${row.used} />` },
      { name: "used", label: "Used", num: true, title: "Share of prefunded + cap − reserved that the position has used", cell: (row) => percent(row.used), by: (row) => row.used },
      moneyColumn("position", "Position", { title: "Credits − debits; negative: owes" }),
      moneyColumn("headroom", "Headroom", { title: "Prefunded + cap + position − reserved: what it may still pay" }),
      moneyColumn("prefunded", "Prefunded"),
      moneyColumn("net_debit_cap", "Net debit cap"),
      moneyColumn("reserved", "Reserved"),
      moneyColumn("queued", "Queued"),
      countColumn("queued_payments", "Payments"),
      timeColumn("time_ms", "Changed"),
    ]} />`;
}

/** One table a netting set: participants down, assets across; the tightest participants first. */
function Heat({ rows }) {
  const sets = [...new Set(rows.map((row) => row.netting_set))];
  return html`
    ${sets.map((name) => html`<${Panel} key=${name} title=${`Netting set ${name}`} aside=${html`<${Key} />`}><${HeatTable} name=${name} rows=${rows.filter((row) => row.netting_set === name)} /><//>`)}
    ${!rows.length && html`<${Panel}><p class="empty">No account.</p><//>`}`;
}

const Key = () => html`<span class="key">
  <span><span class="bar"><i style=${{ width: "50%" }}></i></span> used of prefunded + cap − reserved</span>
  <span><span class="bar" data-level="warn"><i style=${{ width: "90%" }}></i></span> from 80 %</span>
  <span><span class="bar" data-level="bad"><i style=${{ width: "100%" }}></i></span> nothing left</span>
</span>`;

function HeatTable({ name, rows }) {
  const assets = [...new Set(rows.map((row) => row.asset))];
  const at = new Map(rows.map((row) => [`${row.participant} ${row.asset}`, row]));
  const tightest = new Map();
  for (const row of rows) tightest.set(row.participant, Math.max(tightest.get(row.participant) ?? -1, row.used ?? -1));
  const participants = [...tightest.keys()].sort((a, b) => tightest.get(b) - tightest.get(a) || (a < b ? -1 : 1));
  return html`<div class="scroll"><table class="heat">
    <caption class="hidden">Positions of netting set ${name}: participants down, assets across</caption>
    <thead><tr><th scope="col">Participant</th>${assets.map((asset) => html`<th scope="col" key=${asset}>${asset}</th>`)}</tr></thead>
    <tbody>${participants.map((participant) => html`<tr key=${participant}>
      <th scope="row"><${ParticipantLink} name=${participant} /><${Standing} status=${rows.find((row) => row.participant === participant).status} /></th>
      ${assets.map((asset) => html`<${HeatCell} key=${asset} row=${at.get(`${participant} ${asset}`)} />`)}
    </tr>`)}</tbody>
  </table></div>`;
}

/** Said only where it is not the usual one. */
const Standing = ({ status }) => (status && status !== "ACTIVE" ? html` <${State} name=${status} level=${levelOf(status)} />` : null);

function HeatCell({ row }) {
  if (!row) return html`<td class="none">no account</td>`;
  const waits = row.queued_payments ? ` · ${plural(row.queued_payments, "payment")} of ${money(row.queued)} wait` : "";
  const title = `position ${money(row.position)} · headroom ${money(row.headroom)} · prefunded ${money(row.prefunded)} · cap ${money(row.net_debit_cap)} · reserved ${money(row.reserved)}${waits}`;
  return html`<td class="cell"><a class="row-link" href=${href(["positions"], { view: "list", participant: row.participant, asset: row.asset })} title=${title}>
    <span class="line"><span>${short(row.position)}</span><span class="muted">${row.queued_payments ? html`<span class="warn-text">${row.queued_payments} wait</span> ` : ""}${percent(row.used)}</span></span>
    <${UseBar} used=${row.used} />
  </a></td>`;
}
