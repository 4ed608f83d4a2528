// Queues: what waits, in which order, what keeps it; and who waits for whom where nothing can leave (R12–R16).

import { may } from "../lib/api.js";
import { useData } from "../lib/data.js";
import { amounts, count, money, plural, words } from "../lib/format.js";
import { html } from "../lib/html.js";
import { atOf, href, useRoute } from "../lib/route.js";
import { Choice } from "../parts/choice.js";
import { ParticipantLink, PaymentLink, When } from "../parts/columns.js";
import { Answered, Head, Panel, Say } from "../parts/say.js";
import { Table } from "../parts/table.js";
import { Since } from "../parts/ticking.js";
import { Waits } from "../parts/waits.js";
import { assetsOf } from "./windows.js";

export function Queues() {
  const { query } = useRoute();
  const answer = useData("queues", { asset: query.asset }, { topic: "queues" });
  const accounts = (answer.data?.queues ?? []).flatMap((report) => [...report.queues, ...report.incomplete]);
  return html`
    <${Head} title="Queues"><${Choice} label="Asset" name="asset" all="all assets" values=${assetsOf(accounts, query.asset)} /><//>
    <${Answered} answer=${answer}>${(data) => data.queues.map((report) => html`<${Report} key=${report.netting_set} report=${report} />`)}<//>`;
}

function Report({ report }) {
  const nothing = !report.payments;
  return html`
    <${Panel} title=${`Netting set ${report.netting_set}`} aside=${html`as of log offset ${count(report.read_to)}, <${When} ms=${report.time_ms} />`} body>
      <dl class="figures">
        <div><dt>Payments wait</dt><dd>${count(report.payments)}</dd></div>
        <div><dt>Value</dt><dd>${nothing ? "none" : amounts(report.value)}</dd></div>
        <div><dt>Can something leave?</dt><dd>${nothing ? "nothing waits" : report.can_leave ? "yes, with the next search" : "no"}</dd></div>
      </dl>
    <//>
    ${report.deadlock && html`<${Deadlock} deadlock=${report.deadlock} netting_set=${report.netting_set} />`}
    ${[...report.queues.map((queue) => [queue, false]), ...report.incomplete.map((queue) => [queue, true])].map(([queue, incomplete]) => html`
      <${Queue} key=${`${queue.participant} ${queue.asset} ${incomplete}`} queue=${queue} incomplete=${incomplete} netting_set=${report.netting_set} />`)}
  `;
}

/** Nothing can leave: who waits for whom, and the least that would free something. */
function Deadlock({ deadlock, netting_set }) {
  const waits = deadlock.waits_for;
  const any = deadlock.free_any;
  const fund = (extra) => (may("act") ? html` <a href=${href(["actions"], { kind: "fund", netting_set, participant: extra.participant, asset: extra.asset, amount: extra.amount })}>fund …</a>` : "");
  return html`<${Panel} title=${deadlock.circles.length ? "Deadlock: nothing can leave" : "Nothing can leave"} aside=${plural(deadlock.circles.length, "circle")}>
    <div class="body">
      <${Say} level="bad">${any
        ? html`${deadlock.is_least ? "The least" : "Found in time: the least"} that frees something: <b>${any.asset} ${money(any.amount)}</b> for <b>${any.participant}</b>.${fund(any)}`
        : "No liquidity of one account frees anything."}<//>
      ${deadlock.circles.map((circle) => html`<p key=${circle.join()}>${[...circle, circle[0]].join(" → ")}</p>`)}
    </div>
    <div class="grid">
      <div class="w8">${waits.length ? html`<${Waits} waits=${waits} />` : html`<p class="empty">Nobody waits for anybody else: what waits elsewhere would not bring it.</p>`}</div>
      <div class="w4">
        <${Table} caption="For everything to leave at once, each would need" rows=${deadlock.free_all} keyOf=${(row) => `${row.participant} ${row.asset}`} empty="Liquidity alone does not free everything."
          columns=${[
            { name: "participant", label: "To free everything", head: true, cell: (row) => html`<${ParticipantLink} name=${row.participant} />` },
            { name: "asset", label: "Asset", cell: (row) => row.asset },
            { name: "amount", label: "Needs", num: true, cell: (row) => money(row.amount) },
          ]} />
      </div>
    </div>
    ${waits.length > 0 && html`<${Table} caption="Who waits for whom" rows=${waits} keyOf=${(row) => `${row.participant} ${row.asset} ${row.waits_for} ${row.in_asset} ${row.why}`} param="waits"
      columns=${[
        { name: "participant", label: "Waits", head: true, cell: (row) => html`<${ParticipantLink} name=${row.participant} />`, by: (row) => row.participant },
        { name: "asset", label: "In", cell: (row) => row.asset },
        { name: "waits_for", label: "For", cell: (row) => html`<${ParticipantLink} name=${row.waits_for} />`, by: (row) => row.waits_for },
        { name: "in_asset", label: "In", cell: (row) => row.in_asset },
        { name: "amount", label: "Which would bring", num: true, cell: (row) => money(row.amount), by: (row) => row.amount },
        { name: "why", label: "Because", cell: (row) => WHY[row.why] ?? row.why },
      ]} />`}
  <//>`;
}

const WHY = { money: "its payments bring the money", limit: "its payments give the limit back", group: "legs of the same link wait there" };

function Queue({ queue, incomplete, netting_set }) {
  const past = atOf(useRoute().query) !== null;
  const title = html`${queue.participant} · ${queue.asset}`;
  const aside = incomplete
    ? html`legs of their links are missing · <b>${money(queue.value)}</b>`
    : html`${queue.policy === "BYPASS_FIFO" && may("preview") && !past ? html`<a class="button" href=${href(["optimise"], { netting_set, asset: queue.asset })}>best release …</a> ` : ""}${words(queue.policy)} · headroom <b>${money(queue.headroom)}</b> · waits <b>${money(queue.value)}</b>`;
  return html`<${Panel} title=${title} aside=${aside} label=${`Queue of ${queue.participant} in ${queue.asset}`}>
    <${Table} caption=${`Queue of ${queue.participant} in ${queue.asset}`} rows=${queue.payments.map((row, n) => ({ ...row, place: n + 1 }))} keyOf=${(row) => row.payment} columns=${[
      { name: "place", label: "#", num: true, cell: (row) => count(row.place) },
      { name: "payment", label: "Payment", cell: (row) => html`<${PaymentLink} id=${row.payment} />` },
      { name: "creditor", label: "To", cell: (row) => html`<${ParticipantLink} name=${row.creditor} />` },
      { name: "amount", label: "Amount", num: true, cell: (row) => money(row.amount) },
      { name: "priority", label: "Priority", cell: (row) => row.priority },
      { name: "since", label: "Waits for", num: true, cell: (row) => html`<${Since} ms=${row.since_ms} />` },
      { name: "expires", label: "Expires", cell: (row) => (row.expires_at_ms ? html`<${When} ms=${row.expires_at_ms} />` : "never") },
      { name: "bound", label: "What keeps it", wrap: true, cell: (row) => html`<${Bound} row=${row} asset=${queue.asset} />` },
    ]} />
    ${queue.cut && html`<p class="more muted">Only the first ${count(queue.payments.length)} are shown.</p>`}
  <//>`;
}

const LIMITS = {
  LIQUIDITY: "liquidity", NET_DEBIT_CAP: "net debit cap", BILATERAL_LIMIT: "bilateral limit", VALUE_CHECK: "value check", SUSPENDED: "suspended", FIFO: "those before it", LINK: "legs are missing",
};

export function bindingText(bound, asset = "") {
  const lacks = bound.lacks ? `: lacks ${bound.asset || asset} ${money(bound.lacks)}` : "";
  const whose = bound.participant ? ` of ${bound.participant}${bound.counterparty ? ` to ${bound.counterparty}` : ""}` : "";
  return `${LIMITS[bound.limit] ?? words(bound.limit)}${bound.limit === "FIFO" ? "" : whose}${lacks}`;
}

function Bound({ row, asset }) {
  const parts = [];
  if (row.missing_legs?.length) parts.push(`legs ${row.missing_legs.map((leg) => leg + 1).join(", ")} of its link have not arrived`);
  else if (row.bound) parts.push(bindingText(row.bound, asset));
  if (row.is_fail) parts.push("rest of a partial delivery");
  return parts.join("; ") || "–";
}
