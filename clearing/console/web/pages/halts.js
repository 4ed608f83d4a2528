// What has stopped and waits for a person: why, where, since when, and the next command.

import { plural, words } from "../lib/format.js";
import { html } from "../lib/html.js";
import { When } from "../parts/columns.js";
import { Cli } from "../parts/cli.js";
import { Say } from "../parts/say.js";

export function Halts({ halts }) {
  return html`${(halts ?? []).map((halt) => html`<${Say} level="bad" key=${`${halt.service} ${halt.netting_set} ${halt.kind}`}>
    <p><b>${halt.service} of ${halt.netting_set} ${halt.state === "RETRY" ? "tries again" : "has stopped"}</b> (${words(halt.kind)}): ${halt.reason}</p>
    <p class="muted">Since <${When} ms=${halt.first_at_ms} />, met ${plural(halt.times, "time")}, last <${When} ms=${halt.at_ms} /> by ${halt.owner}${halt.offset >= 0 ? ` · ${halt.topic}-${halt.partition} offset ${halt.offset}` : ""}
      ${halt.retried_by ? ` · retried by ${halt.retried_by}` : ""} · runbook: ${halt.runbook}</p>
    <${Cli} text=${halt.next_command} />
  <//>`)}`;
}
