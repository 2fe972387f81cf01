/** The beginning of the report: the model's name and what matters most about it. */
import { formatBinaryBytes, formatBytes, formatCount } from "../units.js";
import { type Evaluation, explorerFileName, type Measurement, type Variant } from "./evaluation.js";
import { hasExplorer, percent } from "./facts.js";
import { escapeHtml } from "./html.js";

/** One figure. */
interface Tile {
  readonly label: string;
  readonly value: string;
  /** Its error, or the same in another unit. */
  readonly note: string;
  /** The baseline's figure. */
  readonly baseline?: string | undefined;
}

/** HTML. */
export function renderHeader(evaluation: Evaluation): string {
  const { name, source, recipe, tools, variants } = evaluation;
  const label = variants.find(({ id }) => id === "baseline")?.label;
  const tiles = tilesOf(evaluation).map(
    (tile) =>
      `<div><dt>${escapeHtml(tile.label)}</dt><dd>${escapeHtml(tile.value)}${small(tile.note)}${small(tile.baseline && `${label}: ${tile.baseline}`)}</dd></div>`,
  );
  const columns = tiles.length === 6 ? 3 : Math.min(5, tiles.length);
  return `<header>
<h1>${escapeHtml(name)}</h1>
<p class="lead">${escapeHtml(source.name ?? source.given)} (${escapeHtml(source.architecture)}), quantized by Lopsided ${escapeHtml(tools.lopsided)} with the recipe ${escapeHtml(recipe.name)}.</p>
<dl class="key columns-${columns}">${tiles.join("\n")}</dl>
${hasExplorer(evaluation) ? `<p>What other sizes of this model would cost: <a href="${explorerFileName}">${explorerFileName}</a>.</p>\n` : ""}</header>`;
}

function small(text: string | undefined): string {
  return text ? `<small>${escapeHtml(text)}</small>` : "";
}

function tilesOf({ output, source, variants }: Evaluation): Tile[] {
  const quantized = variants.find(({ id }) => id === "quantized");
  const baseline = variants.find(({ id }) => id === "baseline");
  return [
    {
      label: "size",
      value: formatBytes(output.bytes),
      note: formatBinaryBytes(output.bytes),
      baseline: baseline && formatBytes(baseline.bytes),
    },
    {
      label: "bits per weight",
      value: output.bpw.toFixed(2),
      note: `${formatCount(output.parameters)} weights; source: ${source.bpw.toFixed(2)}`,
      baseline: baseline?.bpw.toFixed(2),
    },
    ...(quantized?.measurement ? measuredTiles(quantized.measurement, baseline?.measurement) : []),
    ...tasksTile(quantized, baseline),
  ];
}

function measuredTiles(own: Measurement, other: Measurement | undefined): Tile[] {
  const { kld, ppl, pplError, pplRatio, pplRatioError = 0, topAgreement, topAgreementError = 0 } = own;
  const tiles: Tile[] = [];
  if (kld !== undefined) {
    tiles.push({
      label: "mean KL divergence, nats",
      value: kld.mean.toFixed(5),
      note: `± ${kld.meanError.toFixed(5)}`,
      baseline: other?.kld?.mean.toFixed(5),
    });
  }
  tiles.push(
    pplRatio === undefined
      ? {
          label: "perplexity",
          value: ppl.toFixed(4),
          note: `± ${pplError.toFixed(4)}`,
          baseline: other?.ppl.toFixed(4),
        }
      : {
          label: "perplexity / source's",
          value: pplRatio.toFixed(4),
          note: `± ${pplRatioError.toFixed(4)}`,
          baseline: other?.pplRatio?.toFixed(4),
        },
  );
  if (topAgreement !== undefined) {
    tiles.push({
      label: "same top token",
      value: percent(topAgreement),
      note: `± ${percent(topAgreementError)}`,
      baseline: other?.topAgreement === undefined ? undefined : percent(other.topAgreement),
    });
  }
  return tiles;
}

function tasksTile(quantized: Variant | undefined, baseline: Variant | undefined): Tile[] {
  const own = tasksSum(quantized);
  if (own === undefined) {
    return [];
  }
  const other = tasksSum(baseline);
  return [
    {
      label: "tasks solved",
      value: `${own.passed} of ${own.total}`,
      note: percent(own.passed / own.total, 1),
      baseline: other && `${other.passed} of ${other.total}`,
    },
  ];
}

function tasksSum(variant: Variant | undefined): { passed: number; total: number } | undefined {
  const rates = variant?.tasks ?? [];
  const total = rates.reduce((sum, rate) => sum + rate.total, 0);
  return total === 0 ? undefined : { passed: rates.reduce((sum, rate) => sum + rate.passed, 0), total };
}
