// Inputs that could not be read: why, whose, and reading them again under four eyes.

import { may, post } from "../lib/api.js";
import { useData } from "../lib/data.js";
import { count, plural, words } from "../lib/format.js";
import { html, useState } from "../lib/html.js";
import { atOf, go, here, useRoute } from "../lib/route.js";
import { Filter } from "../parts/choice.js";
import { Id, nettingSetColumn, ParticipantLink, When } from "../parts/columns.js";
import { Redrive } from "../parts/redrive.js";
import { Answered, Head, Panel, Say } from "../parts/say.js";
import { useSending } from "../parts/outcome.js";
import { State } from "../parts/state.js";
import { Table } from "../parts/table.js";

const MOST = 50; // in one redrive

export function Rejected() {
  const { query } = useRoute();
  const params = { reason: query.reason, participant: query.participant, text: query.text, before: query.netting_set ? query.before : null, limit: 200 };
  const answer = useData("rejected", params, { topic: params.before ? null : "rejected" });
  return html`
    <${Head} title="Rejected" sub="inputs that could not be read; the last 1,000 of each netting set">
      <${Filter} label="Participant" name="participant" /><${Filter} label="Text in it" name="text" />
      ${query.reason && html`<button onClick=${() => go(here({ reason: null, before: null }))}>${query.reason} ×</button>`}
    <//>
    <${Answered} answer=${answer}>${(data) => html`
      <${Panel} title="By reason" aside=${plural(data.groups.reduce((sum, group) => sum + group.count, 0), "input")} body><${Histogram} groups=${data.groups} chosen=${query.reason} /><//>
      <${List} data=${data} before=${params.before} />
    `}<//>`;
}

function Histogram({ groups, chosen }) {
  if (!groups.length) return html`<p class="muted">Nothing was rejected.</p>`;
  const most = Math.max(...groups.map((group) => group.count));
  return html`<div class="histogram">${[...groups].sort((a, b) => b.count - a.count || (a.reason < b.reason ? -1 : 1)).map((group) => html`
    <a key=${group.reason} href=${here({ reason: chosen === group.reason ? null : group.reason, before: null })} aria-current=${chosen === group.reason ? "true" : undefined}>
      <span class="name">${group.reason}</span>
      <span class="track"><i style=${{ width: `${(60 * group.count) / most}%` }}></i><span>${group.text} · ${Object.entries(group.participants).sort((a, b) => b[1] - a[1]).slice(0, 3).map(([name, number]) => `${name} ${count(number)}`).join(", ")}</span></span>
      <span class="n">${count(group.count)}</span>
    </a>`)}</div>`;
}

const keyOf = (row) => `${row.netting_set} ${row.offset}`;

function List({ data, before }) {
  const { query } = useRoute();
  const [chosen, setChosen] = useState(new Set());
  const preview = useSending();
  const acts = may("preview") && atOf(query) === null;
  const picked = data.rejected.filter((row) => chosen.has(keyOf(row)));
  const sets = new Set(picked.map((row) => row.netting_set));
  const toggle = (row) => {
    const next = new Set(chosen);
    if (!next.delete(keyOf(row))) next.add(keyOf(row));
    setChosen(next);
  };
  const look = () => preview.send(() => post("rejected/preview", { netting_set: picked[0].netting_set, offsets: picked.map((row) => row.offset) }));
  const usable = picked.length > 0 && picked.length <= MOST && sets.size === 1;
  const aside = acts && html`
    ${picked.length > 0 && html`<span>${plural(picked.length, "input")} chosen${sets.size > 1 ? ": of one netting set at a time" : picked.length > MOST ? `: at most ${MOST} at a time` : ""} </span>`}
    <button disabled=${!usable || preview.busy} onClick=${look}>${preview.busy ? "Trying it on a copy …" : "Redrive …"}</button>`;
  return html`<${Panel} title="Newest first" aside=${aside}>
    ${preview.error && html`<${Say} level="bad" hint=${preview.error.hint}>${preview.error.message}<//>`}
    <${Table} caption="Rejected inputs" rows=${data.rejected} param="sort" keyOf=${keyOf} chosen=${(row) => chosen.has(keyOf(row))} empty="None." columns=${[
      ...(acts ? [{ name: "choose", quiet: "Choose", cell: (row) => html`<input type="checkbox" aria-label=${`Choose input ${row.topic} ${row.source_offset}`} checked=${chosen.has(keyOf(row))} disabled=${!row.redrivable} title=${row.why_not || undefined} onChange=${() => toggle(row)} />` }] : []),
      ...nettingSetColumn(query),
      { name: "time", label: "Time", cell: (row) => html`<${When} ms=${row.time_ms} />`, by: (row) => row.time_ms },
      { name: "participant", label: "Participant", cell: (row) => (row.participant ? html`<${ParticipantLink} name=${row.participant} />` : null), by: (row) => row.participant },
      { name: "reason", label: "Reason", cell: (row) => html`<span title=${row.text}>${row.reason}</span>`, by: (row) => row.reason },
      { name: "detail", label: "What is wrong", wrap: true, cell: (row) => row.detail || row.text },
      { name: "source", label: "Stands in", cell: (row) => html`<code>${row.topic}-${row.partition} @ ${count(row.source_offset)}${row.item >= 0 ? ` item ${row.item}` : ""}</code>`, by: (row) => row.source_offset },
      { name: "id", label: "Payment", cell: (row) => (row.id ? html`<${Id} id=${row.id} length=${13} />` : null) },
      { name: "hash", label: "Hash", cell: (row) => html`<${Id} id=${row.hash} length=${8} />` },
      { name: "redrive", label: "Redrive", cell: (row) => (row.redrive ? html`<${State} name=${row.redrive.state} text=${`${words(row.redrive.state)} by ${row.redrive.by}`} />` : row.redrivable ? "" : html`<span class="muted">${row.why_not}</span>`) },
    ]} />
    ${data.more && html`<p class="more">${query.netting_set ? html`<button onClick=${() => go(here({ before: data.rejected.at(-1).offset }))}>Older</button>` : "Choose a netting set to page on."} ${before && html`<button onClick=${() => go(here({ before: null }))}>Newest</button>`}</p>`}
    ${preview.result && html`<${Redrive} netting_set=${picked[0]?.netting_set} answer=${preview.result} close=${preview.clear} />`}
  <//>`;
}
