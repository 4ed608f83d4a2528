// The equivalent command of the terminal, to be copied.

import { html, useState } from "../lib/html.js";

export function Cli({ text }) {
  const [said, setSaid] = useState("");
  if (!text) return null;
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("Copied");
    } catch {
      setSaid("Not allowed here"); // no secure context: it can still be marked and copied by hand
    }
    setTimeout(() => setSaid(""), 2000);
  }
  return html`<div class="cli"><code>${text}</code><button type="button" class="plain" onClick=${copy}>${said || "Copy"}</button></div>`;
}
