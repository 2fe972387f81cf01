/** What the encoding cost each tensor. */
import { figure, legend } from "../chart.js";
import { wideChart } from "../draw-chart.js";
import type { Evaluation } from "../evaluation.js";
import { percent } from "../facts.js";
import { htmlTable } from "../html.js";
import type { Section } from "../section.js";
import { layerMap, layerTensors, rampSteps, rolesInOrder } from "./layer-map.js";

export function errorsSection(evaluation: Evaluation): Section | undefined {
  const tensors = layerTensors(evaluation).flatMap((tensor) =>
    tensor.relativeError === undefined ? [] : [{ ...tensor, error: tensor.relativeError }],
  );
  const positive = tensors.map(({ error }) => error).filter((error) => error > 0);
  if (positive.length === 0) {
    return undefined;
  }
  const [least, most] = [Math.min(...positive), Math.max(...positive)];
  const ratio = Math.log(most / least) || 1;
  const stepOf = (error: number) => {
    const place = error > 0 ? Math.log(error / least) / ratio : 0;
    return Math.min(rampSteps - 1, Math.max(0, Math.floor(place * rampSteps)));
  };
  const cells = tensors.map(({ layer, role, error, name, to }) => ({
    layer,
    role,
    step: stepOf(error),
    text: percent(error, 1),
    tip: `${name}\nrelative error ${percent(error, 3)}\n${to}`,
  }));
  const chart = layerMap(
    cells,
    "orange",
    `Map of the relative errors of ${tensors.length} tensors by layer and role, from ${percent(least)} to ${percent(most)}. The table below has the values.`,
  );
  const key = legend(
    Array.from({ length: rampSteps }, (_, step) => ({
      swatch: `orange-${step}`,
      label: step === 0 ? percent(least) : step === rampSteps - 1 ? percent(most) : "",
    })),
  ).replace('class="legend"', 'class="legend ramp"');
  const roles = rolesInOrder(tensors);
  const layers = [...new Set(tensors.map(({ layer }) => layer))].sort((a, b) => a - b);
  const table = htmlTable(
    "Relative error by layer",
    ["layer", ...roles],
    layers.map((layer) => [
      String(layer),
      ...roles.map((role) => {
        const found = tensors.find((tensor) => tensor.layer === layer && tensor.role === role);
        return found === undefined ? "–" : percent(found.error);
      }),
    ]),
    [0, ...roles.map((_, column) => column + 1)],
  );
  return {
    id: "errors",
    title: "Error by layer and role",
    lead: "Squared error of the weights, weighted by the importance of their inputs, as a share of the weights' own sum of squares; measured while encoding. The colours are logarithmic.",
    body: figure(wideChart(chart), key, table),
  };
}
