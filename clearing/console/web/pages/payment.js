// The whole life of a payment: entered, waited, irrevocable, final; each with its place in the log (R23).

import { useData, useLooking } from "../lib/data.js";
import { count, duration, money, plural, words } from "../lib/format.js";
import { html, useState } from "../lib/html.js";
import { atOf, href, useRoute } from "../lib/route.js";
import { iso, stamp } from "../lib/time.js";
import { ParticipantLink, PaymentLink, When } from "../parts/columns.js";
import { Answered, Head, Looking, Notes, Panel, Say } from "../parts/say.js";
import { Shape, State } from "../parts/state.js";
import { Table } from "../parts/table.js";
import { Waits } from "../parts/waits.js";
import { bindingText } from "./queues.js";

const STATUSES = { RCVD: "received, not come to yet", PDNG: "waits", ACSP: "accepted: irrevocable", ACSC: "final", RJCT: "refused", CANC: "cancelled", CNCL: "carried out", PDCR: "the creditor is asked" };

export function Payment({ parts }) {
  const id = parts[0] ?? "";
  const [again, setAgain] = useState(null);
  const answer = useData(`payments/${encodeURIComponent(id)}`, { again });
  const looking = useLooking(answer, `${id} ${again}`);
  return html`<${Answered} answer=${answer} notes=${false}>${({ story }, envelope) => (story
    ? html`<${Life} story=${story} envelope=${envelope} reload=${() => setAgain((again ?? 0) + 1)} />`
    : html`<${Head} title=${`Payment ${id}`} /><${Looking} looking=${looking} />`)}<//>`;
}

function Life({ story, envelope, reload }) {
  const past = atOf(useRoute().query) !== null;
  return html`
    <${Head} title=${`Payment ${story.id}`} sub=${html`<${State} name=${story.status} text=${`${story.status}: ${STATUSES[story.status] ?? ""}`} />`}><button onClick=${reload}>Read again</button><//>
    <${Notes} envelope=${envelope} />
    ${past && html`<${Say}>Its whole life is told, up to now: what it was then is what stands before that time.<//>`}
    <${Panel} title="What it says" aside=${`netting set ${story.netting_set} · read to log offset ${count(story.read_to)}`} body><${Said} row=${story.row} /><//>
    <div class="grid">
      <${Panel} wide="w8" title="Its life" body><ol class="life">${events(story).map((event, n) => html`<${Event} key=${n} event=${event} />`)}</ol><//>
      <${Panel} wide="w4" title="Finality" body><${Finality} finality=${story.finality} /><//>
    </div>
    ${story.waiting && html`<${Waiting} waiting=${story.waiting} />`}
    ${story.legs?.length > 0 && html`<${Legs} legs=${story.legs} />`}
    ${story.about?.length > 0 && html`<${Panel} title="About it: returns, cancellations, answers"><${Rows} rows=${story.about} /><//>`}
    ${story.again?.length > 0 && html`<${Panel} title="The same id again, of no effect"><${Rows} rows=${story.again} /><//>`}
    ${story.original && html`<${Panel} title="What it is about"><${Rows} rows=${[story.original]} /><//>`}
  `;
}

function Said({ row }) {
  const fact = (name, value, size = "") => (value ? html`<div key=${name} class=${size}><dt>${name}</dt><dd>${value}</dd></div>` : null);
  return html`<dl class="facts">
    ${fact("Amount", html`<b>${row.asset} ${money(row.amount)}</b>`)}
    ${fact("From", row.debtor && html`<${ParticipantLink} name=${row.debtor} />`)}
    ${fact("To", row.creditor && html`<${ParticipantLink} name=${row.creditor} />`)}
    ${fact("Kind", words(row.kind))}
    ${fact("Value date", row.value_date)}
    ${fact("Priority", row.priority)}
    ${fact("End-to-end id", row.end_to_end_id)}
    ${fact("Chain reference", row.chain_reference, "wide")}
    ${fact("Expires", row.expires_at_ms ? html`<${When} ms=${row.expires_at_ms} />` : "")}
    ${fact("About payment", row.reference && html`<${PaymentLink} id=${row.reference} />`)}
    ${fact("Decision", words(row.decision || null) === "–" ? "" : words(row.decision))}
    ${fact("Leg", row.link && `${row.link.leg + 1} of ${row.link.legs} of link ${row.link.id}`)}
    ${fact("Stands in", html`<code>${row.source[0]}-${row.source[1]} @ ${count(row.source[2])}${row.source[3] >= 0 ? ` item ${row.source[3]}` : ""}</code>`, "half")}
  </dl>`;
}

/** Everything that happened, in the order in which it did. */
function events(story) {
  const { row } = story;
  const list = [{ place: { log_offset: row.log_offset, time_ms: row.time_ms }, level: "calm", title: "Entered the log", detail: outcomeText(row.outcome) }];
  for (const each of story.deadlocks ?? []) {
    list.push({ place: each.at, level: "warn", title: "Nothing could leave at this cut-off", detail: `${words(each.limit)}, lacked ${money(each.lacks)}; waited for ${each.waits_for.join(", ")}` });
  }
  for (const release of story.releases ?? []) list.push(...released(release, story));
  if (story.ended) list.push({ place: story.ended.at, level: "warn", title: `Ended: ${words(story.ended.outcome.code)}`, detail: outcomeText(story.ended.outcome) });
  return list.sort((a, b) => a.place.log_offset - b.place.log_offset);
}

function outcomeText(outcome) {
  if (!outcome) return "the engine has not come to it";
  return [`${outcome.status}${outcome.reason ? ` ${outcome.reason}` : ""}`, outcome.text, outcome.detail, outcome.window ? `window ${count(outcome.window)}` : ""].filter(Boolean).join(" · ");
}

function released(release, story) {
  const together = release.together_with?.length ? ` with ${plural(release.together_with.length, "other payment")} as one` : "";
  const by = release.by ? ` by ${release.by}` : "";
  const rest = release.remaining ? `, ${money(release.remaining)} still wait` : "";
  const list = [{ place: release.at, level: "good", title: "Irrevocable", detail: `${release.how === "AT_ONCE" ? "accepted at once" : `released (${words(release.how)})${together}${by}`}: ${money(release.amount)} in window ${count(release.window)}${rest}` }];
  for (const batch of release.batches ?? []) {
    const link = html`<a href=${href(["batches", story.netting_set, String(batch.sequence)])}>batch ${count(batch.sequence)}</a>`;
    list.push({ place: batch.sent, level: "calm", title: html`In ${link}`, detail: `to ${batch.ledger}, ${plural(batch.payments, "payment")}${batch.version > 1 ? `, version ${batch.version}` : ""}` });
    if (batch.answered) list.push({ place: batch.answered, level: batch.state === "FAILED" ? "bad" : "calm", title: html`${batch.ledger} answered: ${words(batch.state)}`, detail: batch.reason ?? "" });
  }
  if (release.final) list.push({ place: release.final, level: "good", title: "Final", detail: "the ledgers have confirmed its window" });
  if (release.taken_out) list.push({ place: release.taken_out, level: "warn", title: "Taken out", detail: "the window was netted anew without it (R25)" });
  return list;
}

function Event({ event }) {
  return html`<li data-level=${event.level}>
    <time datetime=${iso(event.place.time_ms)} title=${iso(event.place.time_ms)}>${stamp(event.place.time_ms)}</time>
    <span class="dot"><${Shape} level=${event.level} /></span>
    <div><h3>${event.title} <span class="muted">@ ${count(event.place.log_offset)}</span></h3><p class="detail">${event.detail}</p></div>
  </li>`;
}

function Finality({ finality }) {
  const { entered, irrevocable, final } = finality;
  const line = (name, place, since) => html`<div><dt>${name}</dt><dd>${place ? html`<${When} ms=${place.time_ms} />` : "–"}
    ${place && since ? html` <small class="muted">+${duration((place.time_ms - since.time_ms) / 1000)}</small>` : ""}</dd></div>`;
  return html`<dl class="facts">${line("Entered", entered, null)}${line("Irrevocable", irrevocable, entered)}${line("Final", final, irrevocable)}</dl>`;
}

function Waiting({ waiting }) {
  return html`<${Panel} title="Why it waits now" aside=${waiting.position ? `number ${waiting.position} of ${waiting.queued} in its queue (${words(waiting.policy)})` : "in no queue: legs are missing"}>
    <div class="body"><dl class="facts">
      <div><dt>Still waits</dt><dd>${money(waiting.remaining)}</dd></div>
      <div><dt>Headroom of its account</dt><dd>${money(waiting.headroom)}</dd></div>
      <div><dt>Leaves at once with</dt><dd>${waiting.frees ? `${money(waiting.frees)} more` : "–"}</dd></div>
      <div class="wide"><dt>What keeps it</dt><dd>${(waiting.binds ?? []).map((bound) => bindingText(bound)).join("; ") || "–"}</dd></div>
      ${waiting.circle?.length > 0 && html`<div class="wide"><dt>Wait for one another</dt><dd>${waiting.circle.join(" → ")}</dd></div>`}
    </dl></div>
    ${waiting.waits_for?.length > 0 && html`<${Waits} waits=${waiting.waits_for} />`}
  <//>`;
}

function Legs({ legs }) {
  const of = (leg, name) => leg.row?.[name] ?? leg.declared?.[name] ?? null;
  return html`<${Panel} title="Legs of its link: all or none"><${Table} caption="Legs" rows=${legs} keyOf=${(leg) => leg.leg} columns=${[
    { name: "leg", label: "Leg", num: true, cell: (leg) => count(leg.leg + 1) },
    { name: "status", label: "Status", cell: (leg) => (leg.status ? html`<${State} name=${leg.status} text=${leg.status} />` : html`<${State} name="warn" text="has not arrived" />`) },
    { name: "payment", label: "Payment", cell: (leg) => (leg.row ? html`<${PaymentLink} id=${leg.row.id} />` : null) },
    { name: "debtor", label: "From", cell: (leg) => of(leg, "debtor") },
    { name: "creditor", label: "To", cell: (leg) => of(leg, "creditor") },
    { name: "amount", label: "Amount", num: true, cell: (leg) => (of(leg, "asset") ? `${of(leg, "asset")} ${money(of(leg, "amount"))}` : null) },
  ]} /><//>`;
}

function Rows({ rows }) {
  return html`<${Table} caption="Rows of the log" rows=${rows} keyOf=${(row) => `${row.log_offset} ${row.row}`} columns=${[
    { name: "time", label: "Time", cell: (row) => html`<${When} ms=${row.time_ms} />` },
    { name: "kind", label: "Kind", cell: (row) => words(row.kind) },
    { name: "id", label: "Id", cell: (row) => html`<${PaymentLink} id=${row.id} />` },
    { name: "amount", label: "Amount", num: true, cell: (row) => (row.amount ? `${row.asset} ${money(row.amount)}` : null) },
    { name: "outcome", label: "Became", wrap: true, cell: (row) => outcomeText(row.outcome) },
  ]} />`;
}
