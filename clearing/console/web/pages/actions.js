// Actions under four eyes (R33): choose, see what it would do, propose; somebody else approves what is bound to its hash.

import { may, post } from "../lib/api.js";
import { useData } from "../lib/data.js";
import { plural } from "../lib/format.js";
import { html, useEffect, useState } from "../lib/html.js";
import { atOf, href, useRoute } from "../lib/route.js";
import { Cli } from "../parts/cli.js";
import { When } from "../parts/columns.js";
import { Form } from "../parts/form.js";
import { Outcome, useSending } from "../parts/outcome.js";
import { Preview } from "../parts/preview.js";
import { Answered, Failure, Head, Panel, Say } from "../parts/say.js";

export function Actions() {
  const { query } = useRoute();
  const past = atOf(query) !== null;
  return html`
    <${Head} title="Actions" sub="what changes limits, money or standing is proposed by one and approved by another" />
    <${Proposals} past=${past} />
    ${past ? html`<${Say}>The past is shown: nothing can be done in it. Go back to live to act.<//>` : may("act") ? html`<${NewAction} />` : html`<${Say}>Your role may look at actions, but not take any.<//>`}
  `;
}

function Proposals({ past }) {
  const answer = useData("proposals", {}, { topic: "proposals" });
  return html`<${Answered} answer=${answer}>${(data) => html`<${Panel} title="Waiting for another pair of eyes" aside=${plural(data.proposals.length, "proposal")}>
    ${data.proposals.map((row) => html`<${Proposal} key=${row.proposal} row=${row} past=${past} reload=${answer.reload} />`)}
    ${!data.proposals.length && html`<p class="empty">No proposal is open.</p>`}
  <//>`}<//>`;
}

function Proposal({ row, past, reload }) {
  const { query } = useRoute();
  const preview = useSending();
  const sending = useSending();
  const at = `proposals/${encodeURIComponent(row.netting_set)}/${encodeURIComponent(row.proposal)}`;
  const decide = (what, body) => sending.send(async () => {
    const result = await post(`${at}/${what}`, body);
    reload();
    return result;
  });
  const approves = may("approve") && !row.mine && !past;
  const withdraws = !past && (row.mine ? may("act") : may("approve"));
  return html`<article class="proposal" id=${`proposal-${row.proposal}`} aria-label=${`Proposal ${row.proposal}`} aria-current=${query.proposal === row.proposal ? "true" : undefined}>
    <div class="row"><b>${row.described}</b></div>
    <div class="row muted"><span>netting set ${row.netting_set}</span><span>by ${row.by}${row.mine ? " (you)" : ""}</span><span><${When} ms=${row.time_ms} /></span><code>${row.proposal}</code></div>
    <div class="row">
      ${may("preview") && !past && html`<button disabled=${preview.busy} onClick=${() => preview.send(() => post(`${at}/preview`))}>What would it do?</button>`}
      ${approves && html`<button class="primary" disabled=${!preview.result || sending.busy} title=${preview.result ? `content hash ${row.hash}` : "First look at what it would do"} onClick=${() => decide("approve", { hash: row.hash })}>Approve</button>`}
      ${withdraws && html`<button disabled=${sending.busy} onClick=${() => decide("withdraw", {})}>${row.mine ? "Withdraw" : "Turn down"}</button>`}
      ${row.mine && html`<span class="muted">Nobody approves their own.</span>`}
      ${approves && !preview.result && html`<span class="muted">Look at what it would do, then approve.</span>`}
    </div>
    <${Failure} error=${preview.error} />
    ${preview.result && html`<${Preview} preview=${preview.result} cli=${row.cli} />`}
    ${!preview.result && html`<${Cli} text=${row.cli} />`}
    <${Outcome} sending=${sending} />
  </article>`;
}

function NewAction() {
  const { query } = useRoute();
  const catalogue = useData("actions", {});
  const asset = useData("positions", {}, { topic: null });
  return html`<${Answered} answer=${catalogue} notes=${false}>${(data) => {
    const action = data.actions.find((each) => each.kind === query.kind) ?? null;
    return html`<div class="grid">
      <${Panel} wide="w4" title="New action" label="Kinds of action"><${Kinds} actions=${data.actions} chosen=${action} /><//>
      <${Panel} wide="w8" title=${action ? action.label : "Choose an action"}>
        ${action ? html`<${Act} key=${action.kind} action=${action} accounts=${asset.data?.positions ?? []} />` : html`<p class="empty">Each shows first what it would do: the money it moves, the accounts it changes, who would be beyond a limit.</p>`}
      <//>
    </div>`;
  }}<//>`;
}

function Kinds({ actions, chosen }) {
  const groups = [...new Set(actions.map((each) => each.group))];
  return html`<div class="kinds">${groups.map((group) => html`<section key=${group}>
    <h3>${group}</h3>
    <ul>${actions.filter((each) => each.group === group).map((each) => html`<li key=${each.kind}>
      <a href=${href(["actions"], { kind: each.kind })} aria-current=${chosen?.kind === each.kind ? "true" : undefined}>${each.label}</a>
      <span class="muted">${each.single_handed ? "at once" : "four eyes"}</span>
    </li>`)}</ul>
  </section>`)}</div>`;
}

/** Fill in, look, send. What is sent is what was looked at: any change asks for a new look. */
function Act({ action, accounts }) {
  const preview = useSending();
  const sending = useSending();
  const [asked, setAsked] = useState(null);
  useEffect(() => sending.clear(), [asked]);
  const look = (netting_set, fields) => {
    setAsked({ netting_set, fields });
    preview.send(() => post("actions/preview", { netting_set, kind: action.kind, fields }));
  };
  const shown = preview.result;
  const send = () => sending.send(() => post("actions", { netting_set: shown.netting_set, command: shown.command, hash: shown.hash }));
  const done = sending.result !== null;
  return html`<div class="body act">
    <p>${action.text}</p>
    <${Form} action=${action} accounts=${accounts} busy=${preview.busy} look=${look} changed=${preview.clear} />
    <${Failure} error=${preview.error} />
    ${shown && html`<${Preview} preview=${shown} />
      <div class="row">
        <button class=${action.danger ? "danger" : "primary"} disabled=${sending.busy || done || shown.verdict === "REFUSED"} onClick=${send}>
          ${sending.busy ? "Sending …" : shown.needs_approval ? "Propose it" : "Do it now"}
        </button>
        <span class="muted">${shown.needs_approval ? "It takes effect when somebody else approves it." : "It takes effect at once."}</span>
      </div>`}
    <${Outcome} sending=${sending} />
  </div>`;
}
