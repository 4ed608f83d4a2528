// Services: who is alive, who owns what by which epoch, whose transactions hold up whom.

import { useData } from "../lib/data.js";
import { count, duration, plural } from "../lib/format.js";
import { html } from "../lib/html.js";
import { atOf, here, useRoute } from "../lib/route.js";
import { useNow } from "../lib/time.js";
import { countColumn, textColumn, timeColumn, When } from "../parts/columns.js";
import { Answered, Head, Panel, Say } from "../parts/say.js";
import { State } from "../parts/state.js";
import { Table } from "../parts/table.js";
import { Halts } from "./halts.js";

export function Services() {
  const { query } = useRoute();
  const past = atOf(query) !== null;
  const answer = useData("services", {}, { topic: "services", skip: past });
  if (past) return html`<${Head} title="Services" /><${NotOfThen} />`;
  return html`
    <${Head} title="Services" sub="as they say it themselves, every two seconds" />
    <${Answered} answer=${answer}>${(data, envelope) => html`
      <${Halts} halts=${data.halts} />
      ${(data.unreadable ?? []).map((text) => html`<${Say} level="warn" key=${text}>${text}<//>`)}
      <${Panel} title="Processes"><${Processes} rows=${data.services ?? []} now_ms=${envelope.now_ms} /><//>
      <${Panel} title="Ownership and fencing"><${Ownership} rows=${data.services ?? []} sets=${Object.keys(envelope.read_to).sort()} /><//>
      <div class="grid">
        <${Panel} wide="w6" title="Consumer groups"><${Groups} rows=${data.groups} /><//>
        <${Panel} wide="w6" title="Transactions open for too long"><${Transactions} rows=${data.transactions} /><//>
      </div>
    `}<//>`;
}

/** Who ran then is written down nowhere: that is said, and what runs now is not shown in its place. */
function NotOfThen() {
  return html`<${Say} level="unknown" hint="Take-overs and halts of then stand in the logs of the services, and in Prometheus.">
    Not known of the past: heartbeats, owners, groups, transactions and halts are told of now alone. <a href=${here({ at: null })}>Show them now</a>
  <//>`;
}

const nameOf = (row) => row.instance || `${row.host}-${row.pid}`;
const keyOf = (row) => `${row.service} ${nameOf(row)}`;

const NEW_MS = 60_000; // what has just begun is said to have: it may have been killed before

function Processes({ rows }) {
  const now = useNow();
  const isNew = (row) => now !== null && now - row.started_at_ms < NEW_MS;
  const age = (row) => (now === null ? row.age_ms : Math.max(0, now - row.at_ms));
  return html`<${Table} caption="Processes" rows=${rows} param="sort" keyOf=${keyOf} empty="Nobody has ever said anything." level=${(row) => (row.late || row.state === "halted" ? "bad" : null)} columns=${[
    { name: "service", label: "Service", head: true, cell: (row) => row.service, by: (row) => row.service },
    { name: "instance", label: "Instance", cell: (row) => nameOf(row), by: nameOf },
    { name: "state", label: "State", cell: (row) => (row.late ? html`<${State} name="bad" text="no heartbeat" />` : row.ended ? html`<${State} name="calm" text="ended" />` : html`<${State} name=${row.state} />`), by: (row) => row.state },
    { name: "age", label: "Heartbeat", num: true, cell: (row) => html`<span class=${row.late ? "bad-text strong" : ""}>${row.age_ms === null ? "–" : `${duration(age(row) / 1000)} ago`}</span>`, by: (row) => row.age_ms },
    { name: "sets", label: "Serves", cell: (row) => Object.keys(row.netting_sets ?? {}).sort().join(", ") || "–" },
    textColumn("host", "Host"),
    { name: "pid", label: "Process", num: true, cell: (row) => String(row.pid) },
    textColumn("version", "Version"),
    { name: "started_at_ms", label: "Started", cell: (row) => html`<${When} ms=${row.started_at_ms} />${isNew(row) && html` <span class="warn-text strong">${duration((now - row.started_at_ms) / 1000)} ago</span>`}`, by: (row) => row.started_at_ms },
    { name: "details", label: "Says", wrap: true, cell: (row) => Object.entries(row.details ?? {}).map(([name, value]) => `${name} ${value}`).join(" · ") || "–" },
  ]} />`;
}

const OWNERS = ["intake", "engine", "dispatch", "sink", "views"];

/** Netting sets that no living process of a service says it has: while one is killed, and while another recovers. */
function unowned(rows, sets) {
  const services = OWNERS.filter((service) => rows.some((row) => row.service === service));
  const alive = rows.filter((row) => !row.late && !row.ended);
  return services.flatMap((service) => sets
    .filter((name) => !alive.some((row) => row.service === service && name in (row.netting_sets ?? {})))
    .map((netting_set) => ({ netting_set, service, instance: "–", epoch: null, owned_since_ms: null, next_offset: null, nobody: true })));
}

/** One line for each netting set of each process: the highest epoch owns it, a lower one is fenced out. */
function Ownership({ rows, sets }) {
  const said = rows.flatMap((row) => Object.entries(row.netting_sets ?? {}).map(([netting_set, served]) => ({ ...served, netting_set, service: row.service, instance: nameOf(row), late: row.late, ended: row.ended })));
  const all = [...unowned(rows, sets), ...said];
  const highest = new Map();
  for (const row of said.filter((each) => each.epoch !== null && each.epoch !== undefined)) {
    const key = `${row.service} ${row.netting_set}`;
    highest.set(key, Math.max(highest.get(key) ?? -1, row.epoch));
  }
  const fenced = (row) => row.epoch !== null && row.epoch !== undefined && row.epoch < highest.get(`${row.service} ${row.netting_set}`);
  return html`<${Table} caption="Who owns which netting set" rows=${all} param="own" keyOf=${(row) => `${row.service} ${row.instance} ${row.netting_set}`} empty="Nobody says what it owns."
    level=${(row) => (row.nobody ? "bad" : fenced(row) ? "warn" : null)} columns=${[
      { name: "netting_set", label: "Netting set", head: true, cell: (row) => row.netting_set, by: (row) => row.netting_set },
      textColumn("service", "Service"),
      textColumn("instance", "Instance"),
      { name: "epoch", label: "Epoch", num: true, cell: (row) => (row.nobody ? "–" : row.epoch === null || row.epoch === undefined ? html`<span class="muted">not fenced</span>` : count(row.epoch)), by: (row) => row.epoch },
      { name: "holds", label: "Holds it", cell: (row) => (row.nobody ? html`<${State} name="bad" text="nobody" />` : fenced(row) ? html`<${State} name="warn" text="fenced out" />` : row.ended ? html`<${State} name="calm" text="no more" />` : row.late ? html`<${State} name="unknown" text="not known" />` : html`<${State} name="good" text="yes" />`) },
      { name: "since", label: "Since", cell: (row) => html`<${When} ms=${row.owned_since_ms} />`, by: (row) => row.owned_since_ms },
      countColumn("next_offset", "Next offset"),
    ]} />`;
}

function Groups({ rows }) {
  if (rows === null) return html`<p class="empty">– the broker could not be asked.</p>`;
  return html`<${Table} caption="Consumer groups" rows=${rows} keyOf=${(row) => row.group} columns=${[
    { name: "name", label: "Service", head: true, cell: (row) => row.name },
    textColumn("group", "Group"),
    { name: "state", label: "State", cell: (row) => html`<${State} name=${row.state} level=${row.state === "Stable" ? "good" : undefined} />` },
    { name: "members", label: "Members", wrap: true, cell: (row) => row.members.map((member) => `${member.client} (${member.assigned})`).join(", ") || "none" },
  ]} />`;
}

function Transactions({ rows }) {
  if (rows === null) return html`<p class="empty">– the broker could not be asked.</p>`;
  if (!rows.length) return html`<p class="empty">None: nobody's readers are held up.</p>`;
  return html`<p class="empty">${plural(rows.length, "transaction")} open: nobody reads past where it began.</p>
  <${Table} caption="Open transactions" rows=${rows} keyOf=${(row) => `${row.topic} ${row.partition} ${row.producer_id}`} level=${() => "bad"} columns=${[
    { name: "topic", label: "Topic", head: true, cell: (row) => `${row.topic}-${row.partition} @ ${count(row.offset)}` },
    timeColumn("since_ms", "Since"),
    { name: "id", label: "Transactional id", cell: (row) => row.transactional_id || "none: hanging" },
    { name: "producer", label: "Producer, epoch", cell: (row) => `${row.producer_id}, ${row.producer_epoch}` },
    textColumn("state", "State"),
  ]} />`;
}
