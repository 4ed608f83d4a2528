// Tables: one definition of columns, sorting by a click on the head (kept in the address), bounded in length.

import { approx, plural, UNKNOWN } from "../lib/format.js";
import { classes, html, useState } from "../lib/html.js";
import { here, useRoute } from "../lib/route.js";

const ROWS = 300;

function compare(a, b) {
  const [none_a, none_b] = [a === null || a === undefined || a === "", b === null || b === undefined || b === ""];
  if (none_a || none_b) return none_a - none_b; // unknown is last, whichever way
  const [x, y] = [approx(a), approx(b)];
  if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  return String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
}

/** Rows by the column that `sort` names ("-used": the greatest first); as they are without one. */
export function sorted(rows, columns, sort) {
  const down = sort?.startsWith("-");
  const column = columns.find((each) => each.name === (down ? sort.slice(1) : sort));
  if (!column?.by) return rows;
  const keyed = rows.map((row) => [column.by(row), row]);
  const unknown = (value) => value === null || value === undefined || value === "";
  keyed.sort(([a], [b]) => (down && !unknown(a) && !unknown(b) ? compare(b, a) : compare(a, b)));
  return keyed.map(([, row]) => row);
}

function HeadCell({ column, sort, param }) {
  const side = column.num ? "num" : "";
  const title = column.title ?? undefined;
  if (column.quiet) return html`<th scope="col" class=${side}><span class="hidden">${column.quiet}</span></th>`;
  if (!column.by || !param) return html`<th scope="col" class=${side} title=${title}>${column.label}</th>`;
  const down = sort === `-${column.name}`;
  const up = sort === column.name;
  const first = column.num ? `-${column.name}` : column.name;
  const next = down ? column.name : up ? `-${column.name}` : first;
  return html`<th scope="col" class=${side} title=${title} aria-sort=${up ? "ascending" : down ? "descending" : undefined}>
    <a href=${here({ [param]: next })}>${column.label}${up ? " ↑" : down ? " ↓" : ""}</a>
  </th>`;
}

/**
 * columns: [{name, label, cell: row → content, by: row → what it is sorted by, num, wrap, head, title, quiet}].
 * quiet: a label that is heard, not seen.
 * param: name of the sort order in the address, null: not sortable. level: row → "warn", "bad" or null.
 * group: row → heading of the rows that follow it, for rows that come grouped.
 */
export function Table({ caption, columns, rows, keyOf, param = null, initial = "", level = null, group = null, empty = "Nothing.", chosen = null }) {
  const { query } = useRoute();
  const [limit, setLimit] = useState(ROWS);
  const sort = param ? query[param] ?? initial : "";
  const ordered = sorted(rows, columns, sort);
  const grouped = group && !sort;
  let heading = null;
  return html`
    <div class="scroll">
      <table>
        <caption class="hidden">${caption}</caption>
        <thead><tr>${columns.map((each) => html`<${HeadCell} key=${each.name} column=${each} sort=${sort} param=${param} />`)}</tr></thead>
        <tbody>
          ${ordered.slice(0, limit).flatMap((row) => {
            const lines = [];
            if (grouped && group(row) !== heading) {
              heading = group(row);
              lines.push(html`<tr class="group" key=${`group ${heading}`}><th scope="rowgroup" colspan=${columns.length}>${heading}</th></tr>`);
            }
            lines.push(html`<tr key=${keyOf(row)} data-level=${level?.(row) ?? undefined} class=${chosen?.(row) ? "chosen" : undefined}>
              ${columns.map((each) => html`<${Cell} key=${each.name} column=${each} row=${row} />`)}
            </tr>`);
            return lines;
          })}
        </tbody>
      </table>
    </div>
    ${!rows.length && html`<p class="empty">${empty}</p>`}
    ${rows.length > limit && html`<p class="more">${plural(rows.length - limit, "row")} more. <button class="plain" onClick=${() => setLimit(limit + ROWS)}>Show ${ROWS} more</button></p>`}
  `;
}

function Cell({ column, row }) {
  const name = classes(column.num && "num", column.wrap && "wrap", column.mono && "mono") || undefined;
  const content = column.cell(row) ?? UNKNOWN;
  return column.head ? html`<th scope="row" class=${name}>${content}</th>` : html`<td class=${name}>${content}</td>`;
}
