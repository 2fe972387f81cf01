/** What the page shows of an answer. */
import { bitsPerWeight } from "../../quants/types.js";
import { rolesInOrder } from "../../report/charts/layer-map.js";
import { formatBytes, formatCount } from "../../units.js";
import { shellCommands } from "../commands.js";
import type { BudgetAnswer, Explorer, Knowledge, MemoryShares } from "../explorer.js";
import type { Reference } from "../references.js";
import { type PlacedTensor, placedTensors, rampStep, showBitsChart } from "./bits-chart.js";
import { curveChart } from "./curve-chart.js";
import { divergence } from "./draw.js";
import { byId, element, fill, fillWhenOpen, svgElement, table } from "./elements.js";

/** All that depends on the answer. */
export function showAnswer(explorer: Explorer, points: readonly Reference[], answer: BudgetAnswer): void {
  showFigures(explorer, answer);
  fill("verdict", verdict(answer, points));
  showMemory(answer.memory);
  showCurve(explorer, points, answer);
  showBits(explorer, answer);
  byId("recipe").textContent = answer.recipe;
  byId("commands").textContent = shellCommands(explorer, answer);
}

function showFigures({ architecture }: Explorer, answer: BudgetAnswer): void {
  const { bytes, bpw, predicted, longestContext, gap } = answer;
  const context =
    longestContext === undefined
      ? ["–", "choose a machine to see it"]
      : [
          `${longestContext.toLocaleString("en")}`,
          longestContext >= architecture.contextLength
            ? "tokens: all that the model was made for"
            : "tokens for each conversation",
        ];
  const figures: readonly (readonly [string, string, string])[] = [
    ["File", formatBytes(bytes), `${bytes.toLocaleString("en")} bytes`],
    ["Bits per weight", bpw.toFixed(2), "16 in the original, as a rule"],
    [
      "Predicted divergence",
      divergence(predicted),
      `nats, ${gap === undefined ? "nearly" : gap === 0 ? "to 0.05 %" : `to ${(100 * gap).toFixed(2)} %`} the least possible`,
    ],
    ["Longest context", context[0] ?? "", context[1] ?? ""],
  ];
  fill(
    "figures",
    ...figures.map(([name, value, note]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value, element("small", {}, note))),
    ),
  );
  const { dataset } = document.body;
  dataset.bytes = String(bytes);
  dataset.exact = String(gap !== undefined);
}

/** What the loss means, in words and beside what people know. */
function verdict({ predicted, bytes, memory }: BudgetAnswer, points: readonly Reference[]): string {
  const loss =
    predicted < 0.002
      ? "As good as the original"
      : predicted < 0.02
        ? "Hardly to be told from the original"
        : predicted < 0.06
          ? "Close to the original"
          : predicted < 0.15
            ? "Noticeably simpler than the original in places"
            : "Clearly worse than the original; use it only if nothing larger fits";
  const mixtures = points.filter(({ kind }) => kind === "mixture");
  const equal = mixtures
    .filter((point) => point.predicted <= predicted * 1.02)
    .sort((a, b) => a.bytes - b.bytes)[0];
  const saved = equal && equal.bytes - bytes;
  const compared =
    equal !== undefined && saved !== undefined && saved > 1e8
      ? ` llama.cpp's usual mixture that loses as little, ${equal.name}, is ${formatBytes(saved)} larger.`
      : "";
  const free =
    memory === undefined
      ? ""
      : ` It fits, with ${formatBytes(memory.margin + memory.free)} to spare for everything else.`;
  return `${loss}.${free}${compared}`;
}

const parts: readonly (readonly [keyof MemoryShares, string])[] = [
  ["weights", "weights"],
  ["cache", "KV cache"],
  ["compute", "compute buffers"],
  ["margin", "kept free"],
  ["free", "left over"],
];

function showMemory(memory: MemoryShares | undefined): void {
  if (memory === undefined) {
    fill("memory");
    return;
  }
  const svg = svgElement("svg", { viewBox: "0 0 1000 30", preserveAspectRatio: "none" });
  let x = 0;
  for (const [part] of parts) {
    const width = (1000 * Math.max(0, memory[part])) / memory.total;
    svg.append(svgElement("rect", { x, y: 0, width, height: 30, class: `part-${part}` }));
    x += width;
  }
  const words = parts.map(([part, label]) => `${label} ${formatBytes(Math.max(0, memory[part]))}`);
  fill(
    "memory",
    element(
      "div",
      {
        class: "bar",
        role: "img",
        "aria-label": `Memory of ${formatBytes(memory.total)}: ${words.join(", ")}.`,
      },
      svg,
    ),
    element(
      "ul",
      { class: "legend memory-key" },
      ...parts.map(([part, label]) =>
        element(
          "li",
          {},
          element("span", { class: `swatch part-${part}` }),
          element("span", {}, `${label} `, element("b", {}, formatBytes(Math.max(0, memory[part])))),
        ),
      ),
    ),
    ...(memory.elsewhere > 0
      ? [
          element(
            "p",
            { class: "note" },
            `The table of tokens (${formatBytes(memory.elsewhere)}) stays in the computer's memory, as llama.cpp does it.`,
          ),
        ]
      : []),
  );
}

/** The curve; without an answer if nothing fits. */
export function showCurve(
  explorer: Explorer,
  points: readonly Reference[],
  answer: BudgetAnswer | undefined,
): void {
  curveChart(byId("curve"), explorer, points).choose(answer);
  const hasMeasured = points.some(({ measured }) => measured !== undefined);
  const measuredCell = (measured: number | undefined) =>
    hasMeasured ? [measured === undefined ? "–" : divergence(measured)] : [];
  fillWhenOpen("curve-table", () => [
    table(
      "Recipes and what they cost",
      ["recipe", "file", "predicted divergence, nats", ...(hasMeasured ? ["measured"] : [])],
      [
        ...(answer
          ? [["chosen", formatBytes(answer.bytes), divergence(answer.predicted), ...measuredCell(undefined)]]
          : []),
        ...points.map(({ name, bytes, predicted, measured }) => [
          name,
          formatBytes(bytes),
          divergence(predicted),
          ...measuredCell(measured),
        ]),
      ],
    ),
    table(
      "The line",
      ["file", "predicted divergence, nats"],
      explorer.curve(24).map(({ bytes, predicted }) => [formatBytes(bytes), divergence(predicted)]),
    ),
  ]);
}

function showBits(explorer: Explorer, { types }: BudgetAnswer): void {
  const tensors = placedTensors(explorer, types);
  const used = [...new Set(tensors.map(({ type }) => type))].sort(
    (a, b) => bitsPerWeight(a) - bitsPerWeight(b),
  );
  fill(
    "bits-legend",
    ...used.map((type) =>
      element(
        "li",
        {},
        element("span", { class: `swatch blue-${rampStep(type)}` }),
        `${type}, ${bitsPerWeight(type).toFixed(2)} bits`,
      ),
    ),
  );
  if (tensors.length > 0) {
    showBitsChart(byId("bits"), tensors);
  } else {
    fill("bits", "No tensor in a layer is quantized.");
  }
  fillWhenOpen("bits-table", () => [typesTable(tensors)]);
}

function typesTable(tensors: readonly PlacedTensor[]): HTMLElement {
  const roles = rolesInOrder(tensors);
  const typeAt = new Map(tensors.map(({ layer, role, type }) => [`${layer} ${role}`, type]));
  const layers = [...new Set(tensors.map(({ layer }) => layer))].sort((a, b) => a - b);
  return table(
    "Types by layer",
    ["layer", ...roles],
    layers.map((layer) => [`${layer}`, ...roles.map((role) => typeAt.get(`${layer} ${role}`) ?? "–")]),
  );
}

/** What the model is. */
export function showModel({ model, architecture, parameters }: Explorer): void {
  const { experts } = architecture;
  const kind =
    experts > 0 ? `, ${experts} experts of which ${architecture.expertsUsed} work on each token` : "";
  fill(
    "model",
    element("strong", {}, model.name),
    `: ${formatCount(parameters)} weights in ${model.tensors.length} tensors, ${formatBytes(model.byteLength)}${kind}.`,
  );
}

/** Where the figures come from. */
export function showBasis({ need }: Explorer, { sensitivity, curves, made }: Knowledge): void {
  const alphas =
    sensitivity === undefined
      ? "How much each tensor matters: defaults by role and depth. Measure it with “lopsided sensitivity” and drop the file here."
      : `How much each tensor matters: measured (${sensitivity.name}).`;
  const errors =
    curves === undefined
      ? "What each type does to a tensor: typical errors, since the page has no weights. Measure them with “lopsided plan --curves” and drop the file here."
      : "What each type does to a tensor: measured on this model.";
  const scale =
    made?.measured === undefined
      ? ""
      : `Both are scaled by one number, so that ${made.name} has the divergence that was measured of it. `;
  fill(
    "basis",
    `${alphas} ${errors} ${scale}The size of the file is exact. The KV cache (${formatBytes(need.kvBytes)}) follows llama.cpp's layout; compute buffers are an estimate. The divergence is a prediction: measure the file that you make with “lopsided perplexity”.`,
  );
  byId("made").hidden = made === undefined;
  if (made !== undefined) {
    const measured =
      made.measured === undefined ? "" : `, measured at ${divergence(made.measured)} nats of divergence`;
    fill("made", `The star is ${made.name} (${formatBytes(made.bytes)}${measured}).`);
  }
}
