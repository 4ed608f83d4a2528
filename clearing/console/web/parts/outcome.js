// What became of an action that was sent, and sending one: one place, so that every action says it alike.

import { count, words } from "../lib/format.js";
import { html, useState } from "../lib/html.js";
import { href } from "../lib/route.js";
import { Cli } from "./cli.js";
import { Failure, Say } from "./say.js";

const LEVEL = { DONE: "good", REPEATED: "calm", PROPOSED: "calm", UNANSWERED: "warn", REFUSED: "bad" };
const SAID = {
  DONE: "Done",
  REPEATED: "It had been done before: nothing has changed",
  PROPOSED: "Proposed: somebody else has to approve it now",
  UNANSWERED: "Sent, and not answered yet: it may still take effect. Look at the audit log",
  REFUSED: "Refused",
};

/** {busy, result, error, send, clear}: `send(call)` keeps what the call answers, or its error. */
export function useSending() {
  const [state, setState] = useState({ busy: false, result: null, error: null });
  async function send(call) {
    setState({ busy: true, result: null, error: null });
    try {
      setState({ busy: false, result: await call(), error: null });
    } catch (error) {
      setState({ busy: false, result: null, error });
    }
  }
  return { ...state, send, clear: () => setState({ busy: false, result: null, error: null }) };
}

export function Outcome({ sending }) {
  const { result, error } = sending;
  if (error) return html`<${Failure} error=${error} />`;
  if (!result) return null;
  const effect = result.effect;
  return html`<${Say} level=${LEVEL[effect?.status ?? result.status] ?? "calm"}>
    <p role="status">${SAID[result.status] ?? words(result.status)}${result.reason ? `: ${result.reason}` : ""}${result.log_offset === null ? "" : ` (log offset ${count(result.log_offset)})`}.
      ${effect ? ` What was approved: ${words(effect.status)}${effect.reason ? `, ${effect.reason}` : ""}.` : ""}
      ${result.proposal ? html` <a href=${href(["actions"], { proposal: result.proposal })}>${result.proposal}</a>` : ""}</p>
    ${result.cli && html`<${Cli} text=${result.cli} />`}
  <//>`;
}
