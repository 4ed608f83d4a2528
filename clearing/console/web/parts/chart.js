// Lines over time, by uPlot. Colours come from css/tokens.css; lines differ in their dashes too.

import uPlot from "../vendor/uplot.js";
import { count, UNKNOWN } from "../lib/format.js";
import { html, useLayoutEffect, useRef } from "../lib/html.js";
import { useStore } from "../lib/store.js";
import { colour, scheme } from "../lib/theme.js";
import { stamp, tick, zone } from "../lib/time.js";

const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]];

function axis(extra) {
  return {
    stroke: colour("ink-3"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: colour("line"), width: 1 },
    ticks: { stroke: colour("line"), width: 1, size: 4 },
    ...extra,
  };
}

function options(lines, width, height, show, few) {
  return {
    width,
    height,
    cursor: { y: false, drag: { x: false, y: false } },
    legend: { live: true },
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high ?? 0, 1) * 1.08] } },
    tzDate: zone.get() === "UTC" ? (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC") : undefined,
    axes: [axis({ size: 28, space: 70, values: (_, ticks, __, ___, step) => ticks.map((s) => tick(s * 1000, step < 60)) }), axis({ size: 76, values: (_, ticks) => ticks.map(show) })],
    series: [
      { label: "at", value: (_, seconds) => (seconds === null ? UNKNOWN : stamp(seconds * 1000)) },
      ...lines.map((line, n) => ({
        label: line.label,
        stroke: colour(line.colour),
        width: 1.6,
        dash: DASHES[line.dash ?? n % DASHES.length],
        points: { show: few, size: 5 },
        spanGaps: false,
        value: (_, value) => (value === null || value === undefined ? UNKNOWN : show(value)),
      })),
    ],
  };
}

/** times_ms, and lines [{label, colour: name of a token, values}] of the same length; null in values: a gap. */
export function Chart({ label, times_ms, lines, height = 170, show = count }) {
  const box = useRef(null);
  const chart = useRef(null);
  const colours = useStore(scheme);
  const zoneName = useStore(zone);
  const shape = lines.map((line) => line.label).join("|");
  const data = [times_ms.map((ms) => ms / 1000), ...lines.map((line) => line.values)];

  useLayoutEffect(() => {
    const element = box.current;
    const width = () => Math.max(200, element.clientWidth);
    const drawn = new uPlot(options(lines, width(), height, show, times_ms.length < 3), data, element);
    const watch = new ResizeObserver(() => drawn.setSize({ width: width(), height }));
    watch.observe(element);
    chart.current = drawn;
    return () => {
      watch.disconnect();
      drawn.destroy();
    };
  }, [colours, zoneName, shape, height, times_ms.length < 3]);

  useLayoutEffect(() => chart.current.setData(data));

  return html`<div class="chart" role="img" aria-label=${label} ref=${box}></div>`;
}
