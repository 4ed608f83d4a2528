// Lag as operators need it: records, seconds, money, and time to drain, of every reader of every partition.

import { useData } from "../lib/data.js";
import { amounts, count, duration, percent, rate, UNKNOWN } from "../lib/format.js";
import { html } from "../lib/html.js";
import { href, useRoute } from "../lib/route.js";
import { Chart } from "../parts/chart.js";
import { Choice, Segmented } from "../parts/choice.js";
import { countColumn, nettingSetColumn, textColumn } from "../parts/columns.js";
import { Answered, Head, Panel } from "../parts/say.js";
import { State } from "../parts/state.js";
import { Table } from "../parts/table.js";
import { useOverview } from "./overview.js";

const COLOURS = ["good", "warn-fill", "bad-fill", "past", "ink-3"];

export function Lag() {
  const { query } = useRoute();
  const overview = useOverview();
  const history = useData("lag", { minutes: query.minutes ?? 15 }, { topic: "lag" });
  // The overview joins the readers of a stage; the last sample has each of them.
  const stages = history.data?.last?.stages ?? overview.data?.stages ?? [];
  return html`
    <${Head} title="Lag" sub="how far each reader is behind">
      <${Choice} label="Stage" name="stage" all="all stages" values=${[...new Set(stages.map((row) => row.stage))]} />
      <${Segmented} label="Span" name="minutes" options=${[["15", "15 min"], ["60", "1 h"], ["240", "4 h"]]} />
    <//>
    <${Answered} answer=${history}>${(data) => html`<div class="grid">
      <${Panel} wide="w6" title="Seconds behind, the oldest unread record" body><${History} data=${data} field="seconds" label="Seconds behind by stage" show=${duration} /><//>
      <${Panel} wide="w6" title="Records unread" body><${History} data=${data} field="records" label="Unread records by stage" show=${count} /><//>
    </div>`}<//>
    <${Answered} answer=${overview} notes=${false}>${(data) => html`<${Panel} title="Readers" aside=${html`probe: ${data.probe?.round_trip_ms === null || !data.probe ? UNKNOWN : `${rate(data.probe.round_trip_ms)} ms`}`}>
      <${Readers} rows=${stages.filter((row) => !query.stage || row.stage === query.stage)} />
    <//>`}<//>`;
}

function History({ data, field, label, show }) {
  const { query } = useRoute();
  const samples = data.samples;
  const names = [...new Set(samples.flatMap((sample) => Object.keys(sample.stages)))].filter((name) => !query.stage || name === query.stage);
  const drawn = names.filter((name) => samples.some((sample) => (sample.stages[name]?.[field] ?? null) !== null));
  if (!drawn.length) return html`<p class="muted">${UNKNOWN} no samples.</p>`;
  return html`<${Chart} label=${label} times_ms=${samples.map((sample) => sample.at_ms)} show=${show}
    lines=${drawn.map((name, n) => ({ label: name, colour: COLOURS[n % COLOURS.length], values: samples.map((sample) => sample.stages[name]?.[field] ?? null) }))} />`;
}

const BAD = new Set(["STALLED", "STOPPED", "REWOUND", "HUNG_TXN"]);

const urgency = (row) => (BAD.has(row.status) ? 2 : row.status === "OK" ? 0 : 1);

/** Those that are in trouble first, then those with most to read. */
function Readers({ rows: given }) {
  const { query } = useRoute();
  const rows = [...given].sort((a, b) => urgency(b) - urgency(a) || (b.records ?? -1) - (a.records ?? -1));
  return html`<${Table} caption="Readers and how far they are behind" rows=${rows} param="sort" keyOf=${(row) => `${row.stage} ${row.group} ${row.topic} ${row.partition} ${row.bank} ${row.netting_set}`}
    empty="No sample of the lag is there." level=${(row) => (BAD.has(row.status) ? "bad" : row.status === "SLOW" ? "warn" : null)} columns=${[
      { name: "stage", label: "Stage", head: true, cell: (row) => row.stage, by: (row) => row.stage },
      ...nettingSetColumn(query),
      { name: "topic", label: "Topic, partition", cell: (row) => html`<span title=${row.group}>${row.topic}${row.partition >= 0 ? `-${row.partition}` : ""}</span>`, by: (row) => row.topic },
      { name: "bank", label: "Bank", cell: (row) => (row.bank ? html`<a href=${href(["participants", row.bank])}>${row.bank}</a>` : ""), by: (row) => row.bank },
      { name: "status", label: "Status", cell: (row) => html`<${State} name=${row.status} text=${row.status.replace("_", " ")} />`, by: (row) => row.status },
      countColumn("records", "Records"),
      { name: "seconds", label: "Oldest", num: true, cell: (row) => duration(row.seconds), by: (row) => row.seconds },
      { name: "money", label: "Money waiting", num: true, wrap: true, cell: (row) => (row.records === null ? null : `${row.money_is_estimate && Object.keys(row.money).length ? "≈ " : ""}${amounts(row.money)}`) },
      { name: "velocity", label: "Reads/s", num: true, cell: (row) => rate(row.velocity_per_s), by: (row) => row.velocity_per_s },
      { name: "drain", label: "Drains in", num: true, cell: (row) => duration(row.drain_s), by: (row) => row.drain_s },
      { name: "retention", label: "Retention", num: true, cell: (row) => percent(row.retention_used), by: (row) => row.retention_used, title: "Share of the retention time that the oldest unread record has used up" },
      textColumn("culprit", "Held back by", { wrap: true }),
    ]} />`;
}
