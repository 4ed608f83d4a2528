// The overview. Its first line answers the first question: will we make the cut-off?

import { useData } from "../lib/data.js";
import { amounts, count, countdown, duration, milliseconds, percent, plural, UNKNOWN } from "../lib/format.js";
import { html } from "../lib/html.js";
import { live } from "../lib/live.js";
import { atOf, href, useRoute } from "../lib/route.js";
import { useStore } from "../lib/store.js";
import { clock } from "../lib/time.js";
import { Chart } from "../parts/chart.js";
import { Race } from "../parts/bar.js";
import { countColumn, textColumn } from "../parts/columns.js";
import { Answered, Notes, Panel } from "../parts/say.js";
import { levelOf, Shape, State } from "../parts/state.js";
import { Table } from "../parts/table.js";
import { useMoment } from "../parts/ticking.js";
import { Halts } from "./halts.js";
import { WindowTable } from "./windows.js";

/** The overview of the stream, or of the moment that is asked for. */
export function useOverview() {
  const { query } = useRoute();
  const past = atOf(query) !== null;
  const asked = useData("overview", {}, { skip: !past });
  const envelope = useStore(live, (now) => now.overview);
  return past ? asked : { envelope, data: envelope?.data ?? null, error: null, waiting: !envelope };
}

export function Overview() {
  const answer = useOverview();
  return html`<${Answered} answer=${answer} notes=${false}>${(data, envelope) => html`
    <${Answer} data=${data} />
    <${Notes} envelope=${envelope} />
    <${Halts} halts=${data.halts} />
    <${Pipeline} stages=${data.stages} />
    <${Panel} title="Backlog against cut-off"><${Outlooks} outlooks=${data.outlooks} /><//>
    <${Panel} title="Netting sets"><${Sets} rows=${data.netting_sets} /><//>
    <div class="grid">
      <${Panel} title="Payments a minute" wide="w8" body><${Activity} /><//>
      <${Panel} title="Round trip and services" wide="w4" body><${Around} data=${data} /><//>
    </div>
    <${Panel} title="Windows open or not final" aside=${html`<a href=${href(["windows"])}>all windows</a>`}>
      <${WindowTable} rows=${data.windows} empty="None." />
    <//>
  `}<//>`;
}

const VERDICTS = { ON_TIME: "On time", AT_RISK: "At risk", WILL_MISS: "Will miss", NO_CUTOFF: "No cut-off", HALTED: "Halted", UNKNOWN: "Unknown" };

/** A number and its unit stay on one line. */
const kept = (sentence) => sentence.replace(/(\d) (s|min|h|d|m|bn|tn|%)(?![a-z])/g, "$1\u00a0$2");

function Answer({ data }) {
  const level = levelOf(data.verdict);
  return html`<div class="answer" data-level=${level}>
    <${Shape} level=${level} />
    <h1>${kept(data.sentence) || "Nothing is known yet."}</h1>
    <span class="verdict" role="status">${VERDICTS[data.verdict] ?? UNKNOWN}</span>
  </div>`;
}

const ORDER = ["intake", "engine", "queue", "dispatch"];
const WORST = ["OK", "SLOW", "STALLED", "REWOUND", "STOPPED", "HUNG_TXN"];
const place = (stage) => (ORDER.indexOf(stage) + 1 || ORDER.length + 1) + (stage.startsWith("sink") ? 0.5 : 0);

const most = (values) => (values.some((each) => each !== null) ? Math.max(...values.filter((each) => each !== null)) : null);
const total = (values) => (values.length && values.every((each) => each !== null) ? values.reduce((a, b) => a + b, 0) : null);

/** Readers of one stage together: all records, the oldest of them, the worst status. Money is of the one with most. */
function together(stages) {
  const by = new Map();
  for (const each of stages) by.set(each.stage, [...(by.get(each.stage) ?? []), each]);
  return [...by].sort(([a], [b]) => place(a) - place(b) || (a < b ? -1 : 1)).map(([stage, rows]) => ({
    stage,
    readers: rows.length,
    records: total(rows.map((row) => row.records)),
    seconds: most(rows.map((row) => row.seconds)),
    drain_s: most(rows.map((row) => row.drain_s)),
    velocity: total(rows.map((row) => row.velocity_per_s)),
    status: rows.map((row) => row.status).sort((a, b) => WORST.indexOf(b) - WORST.indexOf(a))[0],
    worst: [...rows].sort((a, b) => (b.records ?? -1) - (a.records ?? -1))[0],
  }));
}

function Pipeline({ stages }) {
  if (!stages?.length) return html`<${Panel} title="Stages" body><span class="muted">${UNKNOWN} no sample of the lag is there.</span><//>`;
  return html`<${Panel} label="Stages"><ol class="pipeline">
    ${together(stages).map((each) => html`<li key=${each.stage}>
      <h2><a href=${href(["lag"], { stage: each.stage })}>${each.stage}</a><${State} name=${each.status} text=${each.status.replace("_", " ")} /></h2>
      <div class="big">${each.stage === "queue" ? amounts(each.worst.money) : duration(each.seconds)} <small>${each.stage === "queue" ? "waiting" : "behind"}</small></div>
      <p>${plural(each.records, each.stage === "queue" ? "payment" : "record")}${each.stage !== "queue" && Object.keys(each.worst.money).length ? html` · ${each.worst.money_is_estimate ? "≈ " : ""}${amounts(each.worst.money)}` : ""}</p>
      ${each.stage !== "queue" && html`<p>${each.velocity === null ? UNKNOWN : count(each.velocity)}/s${each.records && (each.status === "OK" || each.status === "SLOW") ? ` · drains in ${duration(each.drain_s)}` : ""}</p>`}
    </li>`)}
  </ol><//>`;
}

function Outlooks({ outlooks }) {
  const { query } = useRoute();
  const moment = useMoment();
  const left = (row) => (row.cutoff_ms === null || moment === null ? null : (row.cutoff_ms - moment) / 1000);
  return html`<${Table} caption="What waits for each open window, and whether it gets in" rows=${outlooks ?? []} keyOf=${(row) => `${row.netting_set} ${row.asset}`}
    empty="Not known for this moment." level=${(row) => ({ warn: "warn", bad: "bad" })[levelOf(row.verdict)] ?? null}
    columns=${[
      { name: "asset", label: "Asset", head: true, cell: (row) => html`<a href=${href(["windows"], { asset: row.asset })}>${row.asset}</a>${query.netting_set ? "" : html` <span class="muted">${row.netting_set}</span>`}` },
      { name: "window", label: "Window", num: true, cell: (row) => count(row.window) },
      { name: "closes", label: "Closes in", num: true, cell: (row) => (row.cutoff_ms === null ? html`<span class="muted">by command</span>` : countdown(left(row))) },
      { name: "backlog", label: "Backlog", num: true, cell: (row) => (row.backlog_records === null ? null : row.backlog_records === 0 ? "none" : Object.keys(row.backlog).length ? amounts(row.backlog) : plural(row.backlog_records, "record")), title: "Value that waits to be processed" },
      { name: "banks", label: "Largest banks", cell: (row) => row.top_banks.slice(0, 2).map((bank) => `${bank.bank} ${percent(bank.share)}`).join(", ") || null },
      { name: "drain", label: "Drains in", num: true, cell: (row) => duration(row.drain_s) },
      { name: "race", label: "Drain against cut-off", cell: (row) => html`<${Race} drain_s=${row.drain_s} cutoff_in_s=${left(row)} level=${levelOf(row.verdict)} />` },
      { name: "verdict", label: "Verdict", cell: (row) => html`<${State} name=${row.verdict} text=${VERDICTS[row.verdict]} title=${row.sentence} />` },
    ]} />`;
}

function Around({ data }) {
  const { probe, services } = data;
  return html`<dl class="facts">
    <div><dt title="A payment of no value, from a bank's topic to its status and back">Probe, whole way round</dt><dd>${milliseconds(probe?.round_trip_ms)}</dd></div>
    <div><dt>Probes lost</dt><dd>${probe ? html`<span class=${probe.lost ? "bad-text strong" : ""}>${count(probe.lost)}</span>` : UNKNOWN}</dd></div>
    <div><dt>Last probe sent</dt><dd>${clock(probe?.sent_at_ms)}</dd></div>
    <div><dt>Clock skew to broker</dt><dd>${data.clock_skew_ms === null ? UNKNOWN : `${data.clock_skew_ms.toFixed(1).replace("-", "−")} ms`}</dd></div>
    <div><dt><a href=${href(["services"])}>Services ready</a></dt><dd>${count(services?.ready)}</dd></div>
    <div><dt>Late, halted, stopping</dt><dd class=${services && services.late + services.halted ? "bad-text strong" : ""}>${services ? `${services.late}, ${services.halted}, ${services.stopping}` : UNKNOWN}</dd></div>
  </dl>`;
}

function Sets({ rows }) {
  const link = (page, content, row) => html`<a href=${href([page], { netting_set: row.netting_set })}>${content}</a>`;
  return html`<${Table} caption="Netting sets" rows=${rows} keyOf=${(row) => row.netting_set} columns=${[
    { name: "netting_set", label: "Set", head: true, cell: (row) => link("overview", row.netting_set, row) },
    countColumn("accepted_last_minute", "Accepted/min"),
    countColumn("queued_last_minute", "Queued/min"),
    countColumn("refused_last_minute", "Refused/min"),
    { name: "queued", label: "Waits in queues", num: true, cell: (row) => (row.queued_payments === null ? null : link("queues", row.queued_payments ? `${count(row.queued_payments)}: ${amounts(row.queued)}` : "none", row)) },
    { name: "near", label: "Near cap", num: true, cell: (row) => (row.near_cap === null ? null : html`<span class=${row.near_cap ? "warn-text strong" : ""}>${link("positions", count(row.near_cap), row)}</span>`) },
    { name: "proposals", label: "Proposals", num: true, cell: (row) => (row.proposals === null ? null : link("actions", count(row.proposals), row)) },
    { name: "rejected", label: "Unreadable/h", num: true, cell: (row) => (row.rejected_last_hour === null ? null : link("rejected", `${row.rejected_cut ? "≥ " : ""}${count(row.rejected_last_hour)}`, row)) },
    textColumn("time_ms", "Log time", { cell: (row) => clock(row.time_ms) }),
  ]} />`;
}

function Activity() {
  const answer = useData("activity", { minutes: 60 }, { topic: "activity" });
  return html`<${Answered} answer=${answer} notes=${false}>${(data) => {
    const minutes = new Map();
    for (const row of data.activity) {
      const sum = minutes.get(row.minute_ms) ?? { accepted: 0, queued: 0, refused: 0 };
      for (const name of Object.keys(sum)) sum[name] += row[name];
      minutes.set(row.minute_ms, sum);
    }
    const times = [...minutes.keys()].sort((a, b) => a - b);
    if (!times.length) return html`<p class="muted">Nothing in the last hour.</p>`;
    const line = (name, label, colour) => ({ label, colour, values: times.map((ms) => minutes.get(ms)[name]) });
    return html`<${Chart} label="Payments accepted, queued and refused in each minute of the last hour" times_ms=${times} height=${150}
      lines=${[line("accepted", "accepted", "good"), line("queued", "queued", "warn-fill"), line("refused", "refused", "bad-fill")]} />`;
  }}<//>`;
}
