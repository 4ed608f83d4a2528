// If somebody failed now: who would pay what. On a copy of the state, it changes nothing (R25, R26).

import { useData } from "../lib/data.js";
import { amounts, isZero, money, words } from "../lib/format.js";
import { html } from "../lib/html.js";
import { here, useRoute } from "../lib/route.js";
import { Filter } from "../parts/choice.js";
import { When } from "../parts/columns.js";
import { Answered, Head, Panel } from "../parts/say.js";
import { State } from "../parts/state.js";
import { Table } from "../parts/table.js";

export function Drill() {
  const { query } = useRoute();
  const answer = useData("drill", { participant: query.participant, asset: query.asset });
  return html`
    <${Head} title="Default drill" sub=${query.participant ? `if ${query.participant} could not pay any more` : "if in each asset the largest net debtor could not pay any more"}>
      <${Filter} label="Participant" name="participant" />
      ${query.participant && html`<a class="button" href=${here({ participant: null })}>largest debtors</a>`}
      <button onClick=${answer.reload}>Run again</button>
    <//>
    <${Answered} answer=${answer}>${(data) => data.drills.map((drill) => html`<${Report} key=${drill.netting_set} drill=${drill} />`)}<//>`;
}

function Report({ drill }) {
  const covered = html`<${State} name=${drill.covered ? "good" : "bad"} text=${drill.covered ? "the rules cover everything" : "something stays uncovered"} />`;
  return html`<${Panel} title=${`Netting set ${drill.netting_set}`} aside=${html`<${When} ms=${drill.time_ms} /> · ${covered}`}>
    <${Table} caption=${`Drill of ${drill.netting_set}`} rows=${drill.failures} keyOf=${(row) => `${row.asset} ${row.participant}`} empty="Nobody owes anything."
      level=${(row) => (isZero(row.uncovered) ? null : "bad")} columns=${[
        { name: "asset", label: "Asset", head: true, cell: (row) => row.asset },
        { name: "participant", label: "Fails", cell: (row) => row.participant },
        { name: "owed", label: "Owes", num: true, cell: (row) => money(row.owed) },
        { name: "prefunded", label: "Its prefunding pays", num: true, cell: (row) => money(row.prefunded) },
        { name: "lacking", label: "Lacks", num: true, cell: (row) => money(row.lacking) },
        { name: "rule", label: "Rule", cell: (row) => words(row.rule) },
        { name: "who", label: "Who pays", wrap: true, cell: (row) => html`<${WhoPays} row=${row} />` },
        { name: "uncovered", label: "Uncovered", num: true, cell: (row) => (isZero(row.uncovered) ? "nothing" : html`<b class="bad-text">${money(row.uncovered)}</b>`) },
      ]} />
    ${drill.quiet.length > 0 && html`<p class="more muted">Nobody owes in ${drill.quiet.join(", ")}.</p>`}
  <//>`;
}

function WhoPays({ row }) {
  if (isZero(row.lacking)) return "nobody needs to";
  if (row.recast) {
    const short = Object.keys(row.recast.short).length ? ` Short then: ${amounts(row.recast.short, money)}.` : "";
    return `${row.recast.payments} payments of ${money(row.recast.gross)} are taken out, the rest is netted anew.${short}`;
  }
  const payers = row.pays ?? row.could_pay;
  if (!payers) return "–";
  const parts = [["collateral", payers.collateral], ["pool", payers.pool], ...Object.entries(payers.survivors)].filter(([, amount]) => !isZero(amount));
  return `${row.pays ? "" : "could: "}${parts.map(([who, amount]) => `${who} ${money(amount)}`).join(", ") || "nobody"}`;
}
