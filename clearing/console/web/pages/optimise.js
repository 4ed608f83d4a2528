// The best release of a queue without FIFO, by the exact solver; and its release, under four eyes (R15).

import { may, post } from "../lib/api.js";
import { useData } from "../lib/data.js";
import { count, isZero, money, plural, rate } from "../lib/format.js";
import { html } from "../lib/html.js";
import { atOf, href, useRoute } from "../lib/route.js";
import { ParticipantLink, PaymentLink } from "../parts/columns.js";
import { Outcome, useSending } from "../parts/outcome.js";
import { Preview } from "../parts/preview.js";
import { Answered, Failure, Head, Panel, Say } from "../parts/say.js";
import { State } from "../parts/state.js";
import { Table } from "../parts/table.js";

const SHOWN = 500; // payments

export function Optimise() {
  const { query } = useRoute();
  const { netting_set, asset } = query;
  const past = atOf(query) !== null;
  const answer = useData("optimise", { asset }, { skip: !netting_set || !asset || past });
  const head = html`<${Head} title="Best release" sub=${asset ? `of the queue of ${asset} in ${netting_set ?? "–"}` : ""}>
    <a class="button" href=${href(["queues"], { netting_set, asset })}>Queues</a>${answer.data && html`<button onClick=${answer.reload}>Search again</button>`}
  <//>`;
  if (past) return html`${head}<${Say}>The past is shown: what could be released now is searched live. <a href=${href(["optimise"], { netting_set, asset, at: null })}>Go back to live</a><//>`;
  if (!netting_set || !asset) return html`${head}<${Say}>Choose a queue without FIFO on the page of queues: only there is a choice.<//>`;
  return html`${head}<${Answered} answer=${answer}>${(report) => html`<${Report} key=${`${report.read_to} ${report.value}`} report=${report} />`}<//>`;
}

function Report({ report }) {
  const better = !isZero(report.better_by);
  const shown = report.payments.slice(0, SHOWN);
  const figure = (name, payments, value) => html`<div><dt>${name}</dt><dd>${money(value)}</dd><dd class="muted">${plural(payments, "payment")}</dd></div>`;
  return html`
    <${Panel} title=${`Netting set ${report.netting_set}, ${report.asset}`} body aside=${html`as of log offset ${count(report.read_to)} ·
      <${State} name=${report.proven_optimal ? "good" : "unknown"} text=${report.proven_optimal ? "proven to be the best" : "the best that was found in time"} /> · ${rate(report.seconds)} s`}>
      <dl class="figures">
        ${figure("Waits", report.waiting, report.waiting_value)}
        ${figure("Leaves in the order of the queue", report.baseline_payments, report.baseline_value)}
        ${figure("Could leave together", report.payments.length, report.value)}
        <div><dt>More by</dt><dd class="strong">${better ? money(report.better_by) : "nothing"}</dd></div>
      </dl>
      ${report.left_out > 0 && html`<p class="muted">${plural(report.left_out, "payment")} linked with legs in other assets ${report.left_out === 1 ? "was" : "were"} left out.</p>`}
    <//>
    ${report.payments.length > 0 && html`
      ${may("act") && html`<${Release} report=${report} />`}
      <${Panel} title="What would leave" aside=${shown.length < report.payments.length ? `the first ${count(shown.length)} of ${count(report.payments.length)}` : plural(shown.length, "payment")}>
        <${Table} caption="What would leave" rows=${shown} keyOf=${(row) => row.payment} param="sort" columns=${[
          { name: "payment", label: "Payment", head: true, cell: (row) => html`<${PaymentLink} id=${row.payment} />` },
          { name: "debtor", label: "From", cell: (row) => html`<${ParticipantLink} name=${row.debtor} />`, by: (row) => row.debtor },
          { name: "creditor", label: "To", cell: (row) => html`<${ParticipantLink} name=${row.creditor} />`, by: (row) => row.creditor },
          { name: "amount", label: "Amount", num: true, cell: (row) => money(row.amount), by: (row) => row.amount },
          { name: "link", label: "Link", cell: (row) => (row.link ? "linked" : null) },
        ]} /><//>`}
  `;
}

/** Like every action: what it would do first, then proposed; the engine checks it once more when it is approved. */
function Release({ report }) {
  const preview = useSending();
  const sending = useSending();
  const fields = { payments: report.payments.map((each) => each.payment) };
  const look = () => preview.send(() => post("actions/preview", { netting_set: report.netting_set, kind: "release_queued", fields }));
  const shown = preview.result;
  const send = () => sending.send(() => post("actions", { netting_set: shown.netting_set, command: shown.command, hash: shown.hash }));
  return html`<${Panel} title="Release them" body>
    <div class="act">
      <div class="row"><button disabled=${preview.busy} onClick=${look}>${preview.busy ? "Trying it …" : "What would it do?"}</button></div>
      <${Failure} error=${preview.error} />
      ${shown && html`<${Preview} preview=${shown} />
        <div class="row">
          <button class="primary" disabled=${sending.busy || sending.result !== null || shown.verdict === "REFUSED"} onClick=${send}>${shown.needs_approval ? "Propose it" : "Do it now"}</button>
          <span class="muted">${shown.needs_approval ? "It takes effect when somebody else approves it." : "It takes effect at once."}</span>
        </div>`}
      <${Outcome} sending=${sending} />
    </div>
  <//>`;
}
