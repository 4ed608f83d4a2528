// Search by any id: what was found, each with the page that shows it.

import { useData, useLooking } from "../lib/data.js";
import { words } from "../lib/format.js";
import { html } from "../lib/html.js";
import { href, useRoute } from "../lib/route.js";
import { Answered, Head, Looking, Panel, Say } from "../parts/say.js";
import { Table } from "../parts/table.js";

/** Address of the page that shows a hit. */
export function pageOf(hit) {
  const set = { netting_set: hit.netting_set };
  const path = String(hit.api ?? "").replace(/^\/?api\//, "").split("?")[0].split("/").map(decodeURIComponent);
  const window = /^(\S+)[ /](\d+)$/.exec(hit.id);
  switch (hit.kind) {
    case "payment": return href(["payment", hit.id], set);
    case "batch": return path[0] === "batches" && path.length === 3 ? href(path, set) : href(["batches"], set);
    case "participant": return href(["participants", hit.id], set);
    case "asset": return href(["positions"], { ...set, asset: hit.id });
    case "window": return href(["windows"], { ...set, asset: window?.[1], window: window?.[2] });
    case "proposal": return href(["actions"], { ...set, proposal: hit.id });
    case "command": return href(["audit"], { ...set, text: hit.id });
    case "rejected": return href(["rejected"], { ...set, text: hit.id });
    case "netting_set": return href(["overview"], { netting_set: hit.netting_set || hit.id });
    default: return null;
  }
}

export function Found() {
  const { query } = useRoute();
  const answer = useData("search", { q: query.q, netting_set: null }, { skip: !query.q });
  const looking = useLooking(answer, query.q);
  return html`
    <${Head} title="Search" sub=${query.q ? `for ${query.q}` : ""} />
    ${!query.q && html`<${Say}>Type any id above: of a payment, a batch, a proposal, a command; a hash, a participant, an asset; “HKD 1412” for a window.<//>`}
    ${query.q && html`<${Answered} answer=${answer}>${(data) => html`<${Looking} looking=${looking} />${(data.hits.length > 0 || !data.looking) && html`<${Panel}>
      <${Table} caption="Found" rows=${data.hits} keyOf=${(hit) => `${hit.kind} ${hit.netting_set} ${hit.id}`} empty=${`Nothing was found. Looked at: ${data.searched}`} columns=${[
        { name: "kind", label: "Kind", cell: (hit) => words(hit.kind) },
        { name: "label", label: "What", wrap: true, cell: (hit) => (pageOf(hit) ? html`<a class="row-link" href=${pageOf(hit)}>${hit.label}</a>` : hit.label) },
        { name: "netting_set", label: "Set", cell: (hit) => hit.netting_set || "–" },
      ]} />
    <//>`}`}<//>`}`;
}
