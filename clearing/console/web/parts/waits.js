// The picture of who waits for whom. The table beside it says the same for those who do not see it.

import { money, short } from "../lib/format.js";
import { layout } from "../lib/graph.js";
import { html } from "../lib/html.js";

const [WIDTH, HEIGHT, BOX_W, BOX_H] = [860, 440, 128, 38];
const MANY = 14;

const scale = (node) => ({ ...node, cx: WIDTH / 2 + node.x * (WIDTH / 2 - BOX_W / 2 - 16), cy: HEIGHT / 2 + node.y * (HEIGHT / 2 - BOX_H / 2 - 10) });

/** Point on the edge of a box towards another point. */
function leave(from, to, gap) {
  const [dx, dy] = [to.cx - from.cx, to.cy - from.cy];
  const share = Math.min((BOX_W / 2 + gap) / Math.max(1e-9, Math.abs(dx)), (BOX_H / 2 + gap) / Math.max(1e-9, Math.abs(dy)));
  return { x: from.cx + dx * share, y: from.cy + dy * share };
}

/** A line, bent to its right so that two that wait for each other do not lie on one another. */
function curve(from, to) {
  const [a, b] = [leave(from, to, 1), leave(to, from, 7)];
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const bend = { x: (a.x + b.x) / 2 - dy * 0.12, y: (a.y + b.y) / 2 + dx * 0.12 };
  const label = { x: 0.25 * a.x + 0.5 * bend.x + 0.25 * b.x, y: 0.25 * a.y + 0.5 * bend.y + 0.25 * b.y };
  return { d: `M${a.x} ${a.y}Q${bend.x} ${bend.y} ${b.x} ${b.y}`, label };
}

/** waits: WaitsOn[]. An arrow points to whom one waits for. */
export function Waits({ waits }) {
  const found = layout(waits);
  const nodes = found.nodes.map(scale);
  const at = new Map(nodes.map((node) => [node.key, node]));
  const label = `Who waits for whom: ${waits.slice(0, 12).map((wait) => `${wait.participant} waits for ${wait.waits_for}`).join(", ")}`;
  return html`<svg class="graph" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${label}>
    <defs>
      <${Arrow} id="arrow" /><${Arrow} id="arrow-circle" circle=${true} />
    </defs>
    ${found.edges.map((edge) => html`<${Edge} key=${`${edge.from} ${edge.to} ${edge.why}`} edge=${edge} from=${at.get(edge.from)} to=${at.get(edge.to)} labelled=${found.edges.length <= MANY} />`)}
    ${nodes.map((node) => html`<g class="node" key=${node.key} data-circle=${String(node.in_circle)} transform=${`translate(${node.cx} ${node.cy})`}>
      <rect x=${-BOX_W / 2} y=${-BOX_H / 2} width=${BOX_W} height=${BOX_H} rx="4" />
      <text y="-2">${node.participant}</text><text class="sub" y="13">${node.asset}</text>
    </g>`)}
  </svg>
  ${found.left_out > 0 && html`<p class="more muted">${found.left_out} more accounts are in the table only.</p>`}`;
}

function Arrow({ id, circle = false }) {
  return html`<marker id=${id} class=${circle ? "circle" : ""} viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0 8 4 0 8Z" /></marker>`;
}

function Edge({ edge, from, to, labelled }) {
  const { d, label } = curve(from, to);
  const text = short(edge.amount);
  return html`<g class="edge" data-circle=${String(edge.in_circle)} data-why=${edge.why}>
    <path d=${d} marker-end=${`url(#${edge.in_circle ? "arrow-circle" : "arrow"})`}><title>${`${from.participant} waits for ${to.participant}: ${money(edge.amount)} ${to.asset}`}</title></path>
    ${labelled && html`<rect x=${label.x - text.length * 3.4} y=${label.y - 8} width=${text.length * 6.8} height="16" /><text x=${label.x} y=${label.y + 4}>${text}</text>`}
  </g>`;
}
