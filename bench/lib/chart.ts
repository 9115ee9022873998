/** A bar chart of the macro results: each broker in each scenario, on a logarithmic scale. */
import type { MacroRow } from "./results.ts";

/** The scenarios with a rate, as SVG; empty if there are none. */
export function chart(
  rows: readonly MacroRow[],
  titles: Readonly<Record<string, { readonly title: string }>>,
): string {
  const rated = rows.filter((row) => row.msgsPerSec > 0 && row.p99Micros === null);
  if (rated.length === 0) return "";
  const names = [...new Set(rated.map((row) => row.scenario))];
  const logs = rated.map((row) => Math.log10(row.msgsPerSec));
  const low = Math.floor(Math.min(...logs) - 0.2);
  const high = Math.ceil(Math.max(...logs));
  const x = (value: number): number =>
    LEFT + ((Math.log10(value) - low) / (high - low)) * (WIDTH - LEFT - RIGHT);
  const body: string[] = [];
  let y = TOP;
  for (const name of names) {
    const group = rated.filter((row) => row.scenario === name);
    const middle = y + (group.length * BAR) / 2 + 4;
    body.push(text(LEFT - 8, middle, titles[name]?.title ?? name, "end", "name"));
    for (const row of group) {
      const width = Math.max(1, x(row.msgsPerSec) - LEFT);
      const colour = colourOf(row.broker);
      body.push(
        `<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 3}" fill="${colour}"/>`,
        text(LEFT + width + 5, y + BAR - 6, shown(row.msgsPerSec), "start", "value"),
      );
      y += BAR;
    }
    y += GAP;
  }
  const grid: string[] = [];
  for (let power = low; power <= high; power++) {
    const at = x(10 ** power).toFixed(1);
    grid.push(
      `<line x1="${at}" x2="${at}" y1="${TOP - 6}" y2="${y - GAP + 4}" stroke="#ddd"/>`,
      text(Number(at), TOP - 12, shown(10 ** power), "middle", "value"),
    );
  }
  const brokers = [...new Set(rated.map((row) => row.broker))];
  const step = Math.min(110, (WIDTH - LEFT - RIGHT - 170) / brokers.length);
  const legend = brokers.map((broker, n) => {
    const at = LEFT + n * step;
    return `<rect x="${at}" y="14" width="12" height="12" fill="${colourOf(broker)}"/>${text(at + 17, 24, broker, "start", "name")}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 8}" width="${WIDTH}" height="${y + 8}">
<style>text { font-family: system-ui, sans-serif; fill: #222 } .name { font-size: 13px } .value { font-size: 11px; fill: #555 }</style>
<rect width="100%" height="100%" fill="#fff"/>
${[...legend, ...grid, ...body].join("\n")}
${text(LEFT - 8, 24, "per second, logarithmic", "end", "value")}
</svg>
`;
}

/** For `sansmq on bun`: the colour of sansmq, lighter than on Node. */
function colourOf(name: string): string {
  const [broker, runtime = "node"] = name.split(" on ");
  const shade = { node: "", bun: "b0", deno: "70" }[runtime] ?? "";
  return `${COLOURS[broker!] ?? "#888888"}${shade}`;
}

function text(x: number, y: number, content: string, anchor: string, kind: string): string {
  const safe = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" class="${kind}">${safe}</text>`;
}

function shown(value: number): string {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))} M`;
  return value >= 1e3 ? `${Number((value / 1e3).toPrecision(3))} k` : value.toPrecision(3);
}

const COLOURS: Readonly<Record<string, string>> = {
  sansmq: "#0b7285",
  mosquitto: "#868e96",
  nats: "#5f3dc4",
  aedes: "#e8590c",
  relay: "#ced4da",
};
const WIDTH = 1060;
const LEFT = 390;
const RIGHT = 70;
const TOP = 64;
const BAR = 16;
const GAP = 12;
