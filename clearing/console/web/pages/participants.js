// Participants: how each stands, what it may, and what can be done about it (R32).

import { may } from "../lib/api.js";
import { useData } from "../lib/data.js";
import { amounts, count, money, percent, plural } from "../lib/format.js";
import { html } from "../lib/html.js";
import { atOf, href, useRoute } from "../lib/route.js";
import { levelOfUse, UseBar } from "../parts/bar.js";
import { countColumn, nettingSetColumn, ParticipantLink, stateColumn } from "../parts/columns.js";
import { Answered, Head, Panel, Say } from "../parts/say.js";
import { State } from "../parts/state.js";
import { Table } from "../parts/table.js";
import { PositionTable } from "./positions.js";

export function Participants({ parts }) {
  return parts.length ? html`<${One} name=${parts[0]} />` : html`<${All} />`;
}

const tightest = (row) => row.accounts.reduce((most, each) => ((each.used ?? -1) > (most?.used ?? -1) ? each : most), null);

function All() {
  const { query } = useRoute();
  const answer = useData("participants", {}, { topic: "positions" });
  return html`
    <${Head} title="Participants" sub=${answer.data && plural(answer.data.participants.length, "participant")} />
    <${Answered} answer=${answer}>${(data) => html`<${Panel}>
      <${Table} caption="Participants" rows=${data.participants} param="sort" keyOf=${(row) => `${row.netting_set} ${row.participant}`}
        level=${(row) => ({ SUSPENDED: "warn", DEFAULTED: "bad" })[row.status] ?? ({ warn: "warn", bad: "bad" })[levelOfUse(tightest(row)?.used)] ?? null} columns=${[
          ...nettingSetColumn(query),
          { name: "participant", label: "Participant", head: true, cell: (row) => html`<a class="row-link" href=${href(["participants", row.participant], { netting_set: row.netting_set })}>${row.participant}</a>`, by: (row) => row.participant },
          { name: "name", label: "Name", cell: (row) => row.name || null, by: (row) => row.name },
          stateColumn("status", "Status"),
          { name: "accounts", label: "Accounts", num: true, cell: (row) => count(row.accounts.length), by: (row) => row.accounts.length },
          { name: "bar", quiet: "Bar of what is used", cell: (row) => html`<${UseBar} used=${tightest(row)?.used} />` },
          { name: "tightest", label: "Tightest account", num: true, cell: (row) => (tightest(row) ? `${tightest(row).asset} ${percent(tightest(row).used)}` : null), by: (row) => tightest(row)?.used },
          countColumn("queued_payments", "Payments wait"),
          { name: "collateral", label: "Collateral", num: true, cell: (row) => (Object.keys(row.collateral).length ? amounts(row.collateral) : "none") },
        ]} />
    <//>`}<//>`;
}

function One({ name }) {
  const answer = useData(`participants/${encodeURIComponent(name)}`, {}, { topic: "positions" });
  return html`<${Answered} answer=${answer}>${(data) => html`
    ${data.participants.map((row) => html`<${Standing} key=${row.netting_set} row=${row} />`)}
    ${!data.participants.length && html`<${Head} title=${name} /><${Say}>Not a participant at this moment.<//>`}
  `}<//>`;
}

function Standing({ row }) {
  const link = (page, more = {}) => href([page], { netting_set: row.netting_set, ...more });
  return html`
    <${Head} title=${row.participant} sub=${html`${row.name} · netting set ${row.netting_set} · <${State} name=${row.status} />`}><${Actions} row=${row} /><//>
    <${Panel} title="Accounts" aside=${html`<a href=${link("queues")}>${plural(row.queued_payments, "payment")} wait</a>`}><${PositionTable} rows=${row.accounts} named=${false} /><//>
    <div class="grid">
      <${Panel} wide="w7" title="Bilateral limits"><${Table} caption="Bilateral limits" rows=${row.limits} keyOf=${(each) => `${each.counterparty} ${each.asset}`} empty="None." columns=${[
        { name: "counterparty", label: "To", head: true, cell: (each) => html`<${ParticipantLink} name=${each.counterparty} />` },
        { name: "asset", label: "Asset", cell: (each) => each.asset },
        { name: "limit", label: "Limit", num: true, cell: (each) => money(each.limit) },
        { name: "left", label: "Left today", num: true, cell: (each) => money(each.left) },
      ]} /><//>
      <${Panel} wide="w5" title="Behind it" body><dl class="facts">
        <div><dt>Collateral</dt><dd>${Object.keys(row.collateral).length ? amounts(row.collateral, money) : "none"}</dd></div>
        <div><dt>Value check, short limit</dt><dd>${row.short_limit === null ? "not under it" : money(row.short_limit)}</dd></div>
        <div><dt>If it failed now</dt><dd><a href=${link("drill", { participant: row.participant })}>who would pay what</a></dd></div>
        <div><dt>Unreadable input</dt><dd><a href=${link("rejected", { participant: row.participant })}>of it</a></dd></div>
      </dl><//>
    </div>`;
}

const CAN = { ACTIVE: ["suspend", "default"], SUSPENDED: ["resume", "default", "close"], DEFAULTED: ["close"], CLOSED: [] };

function Actions({ row }) {
  const { query } = useRoute();
  if (!may("act") || atOf(query) !== null) return null;
  const kinds = [...(CAN[row.status] ?? []), "set_cap", "fund"];
  return kinds.map((kind) => html`<a class="button" key=${kind} href=${href(["actions"], { kind, netting_set: row.netting_set, participant: row.participant })}>${kind.replaceAll("_", " ")} …</a>`);
}
