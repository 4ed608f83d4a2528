// What the keys do, and what the shapes and colours say.

import { html } from "../lib/html.js";
import { Dialog } from "./dialog.js";
import { PAGES } from "./frame.js";
import { State } from "./state.js";

const KEYS = [
  ["/", "search by any id"],
  ["t", "type a moment: the whole console as of then"],
  ["n", "now: back to live"],
  ["j k", "next, previous row; Enter opens it"],
  ["Esc", "close a dialog"],
  ["?", "this"],
];

export function Help({ close }) {
  return html`<${Dialog} title="Keyboard and signs" close=${close}>
    <div class="help columns">
      <dl>${KEYS.map(([key, what]) => html`<dt key=${key}><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl>
      <dl>${PAGES.map(([name, title, key]) => html`<dt key=${name}><kbd>g</kbd> <kbd>${key}</kbd></dt><dd>${title}</dd>`)}</dl>
    </div>
    <div class="help"><dl>
      <dt><${State} name="good" text="full circle" /></dt><dd>as it should be, or final</dd>
      <dt><${State} name="calm" text="ring" /></dt><dd>on its way, nothing to do</dd>
      <dt><${State} name="warn" text="triangle" /></dt><dd>somebody should look</dd>
      <dt><${State} name="bad" text="square" /></dt><dd>somebody must act</dd>
      <dt><${State} name="none" text="dash" /></dt><dd>not known. An unknown figure is “–”, never 0</dd>
    </dl></div>
    <p class="muted">The address holds all that is shown: send it to a colleague, who sees the same. Each figure is of the engine's own time, that of the log.</p>
    <div class="buttons"><button autofocus onClick=${close}>Close</button></div>
  <//>`;
}
