/** What the card and the report both say, in plain text: figures as people read them and how they came about. */
import { leastShare, meanRouting } from "../evaluate/routing.js";
import { meaningOf, tokensPerDimension } from "../imatrix/coverage.js";
import { mostCalibratedOn } from "../text/text-sketch.js";
import { formatBinaryBytes, formatBytes } from "../units.js";
import {
  type EvaluatedText,
  type Evaluation,
  explorerFileName,
  type Measurement,
  type MemoryTable,
  type RecordedPassRate,
  type Variant,
} from "./evaluation.js";

/** `11.41 GB (10.63 GiB)`. */
export function bothSizes(bytes: number): string {
  return `${formatBytes(bytes)} (${formatBinaryBytes(bytes)})`;
}

/** `2.99`: bits per weight. */
export function bits(bytes: number, parameters: number): string {
  return ((8 * bytes) / parameters).toFixed(2);
}

/** `9.5340 ± 0.0432`, or the value alone. */
export function withError(value: number, error: number | undefined, digits: number): string {
  return error === undefined || error === 0
    ? value.toFixed(digits)
    : `${value.toFixed(digits)} ± ${error.toFixed(digits)}`;
}

/** `98.90 %`. */
export function percent(fraction: number, digits = 2): string {
  return `${(100 * fraction).toFixed(digits)} %`;
}

/** `98.90 ± 0.10 %`. */
export function percentWithError(fraction: number, error: number | undefined): string {
  return `${withError(100 * fraction, error && 100 * error, 2)} %`;
}

/** Whether the page of all other sizes lies beside the evaluation. */
export function hasExplorer({ files }: Evaluation): boolean {
  return files.some(({ name }) => name === explorerFileName);
}

/** What became of the experts besides their types, in sentences; undefined if nothing did. */
export function expertsLine({ output, recipe }: Evaluation): string | undefined {
  const { count, width } = output.experts ?? {};
  const weighed = (recipe.plan?.weighed ?? []).map(
    ({ experts, padded, predicted }) =>
      `${experts} experts${padded ? ", padded" : ""} ${predicted.toPrecision(3)}`,
  );
  const sentences = [
    count &&
      `${count.after} of the ${count.before} experts of each layer are kept${count.lost === undefined ? "" : `; the others had ${percent(count.lost)} of what all add to their layers, on the calibration text`}.`,
    width &&
      `Experts are ${width.after} wide instead of ${width.before}; the rest is zeros, and computes nothing.`,
    weighed.length > 0 && `Weighed by predicted KL divergence, in nats: ${weighed.join("; ")}.`,
  ].filter((sentence) => typeof sentence === "string");
  return sentences.length > 0 ? sentences.join(" ") : undefined;
}

/** Figures of a measurement against the source: how each is called, and how it is written. */
export const measures: readonly {
  readonly title: string;
  readonly of: (measurement: NonNullable<Variant["measurement"]>) => string | undefined;
}[] = [
  { title: "perplexity", of: ({ ppl, pplError }) => withError(ppl, pplError, 4) },
  {
    title: "perplexity / source's",
    of: ({ pplRatio, pplRatioError }) =>
      pplRatio === undefined ? undefined : withError(pplRatio, pplRatioError, 5),
  },
  {
    title: "KL divergence, mean (nats)",
    of: ({ kld }) => kld && withError(kld.mean, kld.meanError, 6),
  },
  { title: "KL divergence, median", of: ({ kld }) => kld?.median.toFixed(6) },
  { title: "KL divergence, 90 %", of: ({ kld }) => kld?.p90.toFixed(6) },
  { title: "KL divergence, 99 %", of: ({ kld }) => kld?.p99.toFixed(6) },
  { title: "KL divergence, 99.9 %", of: ({ kld }) => kld?.p999.toFixed(6) },
  { title: "KL divergence, largest", of: ({ kld }) => kld?.max.toFixed(6) },
  {
    title: "same top token",
    of: ({ topAgreement, topAgreementError }) =>
      topAgreement === undefined ? undefined : percentWithError(topAgreement, topAgreementError),
  },
  {
    title: "same experts, mean of layers",
    of: ({ routing }) => {
      const same = meanRouting(routing)?.sameExperts;
      return same === undefined ? undefined : percent(same);
    },
  },
  {
    title: "same experts, lowest",
    of: ({ routing = [] }) => {
      const lowest = leastShare(routing);
      return lowest && `${percent(lowest.sameExperts)} in layer ${lowest.layer}`;
    },
  },
  { title: "change of probability, mean", of: ({ deltaP }) => deltaP && percent(deltaP.mean, 3) },
  { title: "change of probability, RMS", of: ({ deltaP }) => deltaP && percent(deltaP.rms, 3) },
];

/** How the figures of the variants were measured. */
export function measurementMethod({ tools, evaluations = [], variants }: Evaluation): string {
  const floor = variants.find(({ id }) => id === "quantized")?.measurement?.floor;
  const positions = variants.find(({ measurement }) => measurement)?.measurement?.positions;
  const text = evaluations.length === 0 ? "" : ` on ${evaluations.map(textLine).join(", ")}`;
  const scored =
    positions === undefined
      ? ""
      : `: ${positions} scored tokens, those in the second half of each chunk, of conversations what the assistant says`;
  return `Measured by Lopsided ${tools.lopsided} with the library of llama.cpp ${tools.llamaCpp ?? "(release unknown)"}${text}${scored}. ± is one standard error. KL divergence is of the model's next-token distribution from the source's, per token.${floor ? ` ${floorSentence(floor)}` : ""}${calibratedTexts(variants)}`;
}

/** What the floor is, for people. */
export function floorSentence({ between, kld, topAgreement }: NonNullable<Measurement["floor"]>): string {
  return `The source differs from itself, with ${between}, by ${withError(kld.mean, kld.meanError, 6)} nats (same top token ${percent(topAgreement)}): differences below this floor mean nothing.`;
}

/** Texts that are no test of the model, in a sentence. */
function calibratedTexts(variants: readonly Variant[]): string {
  const texts = variants.find(({ id }) => id === "quantized")?.measurement?.texts ?? [];
  const known = texts.filter(({ calibratedOn = 0 }) => calibratedOn >= mostCalibratedOn);
  return known.length === 0
    ? ""
    : ` Warning: the model was calibrated on ${known.map(({ name, calibratedOn = 0 }) => `${percent(calibratedOn, 0)} of ${name}`).join(", ")}, so that it looks better there than on other texts.`;
}

/** `eval.txt (200 chunks of 512 tokens, control tokens read as such)`. */
export function textLine({ name, chunks, context, parseSpecial }: EvaluatedText): string {
  const special = parseSpecial ? ", control tokens read as such" : "";
  return `${name} (${chunks} chunks of ${context} tokens${special})`;
}

/** `17 of 20 (64 % to 95 %)`. */
export function passRate({ passed, total, low, high }: RecordedPassRate): string {
  return `${passed} of ${total} (${percent(low, 0)} to ${percent(high, 0)})`;
}

/** What the answers of models are like, beside right or wrong: how each figure is called, and how it is written. */
export const habitMeasures: readonly {
  readonly title: string;
  readonly of: (variant: Variant) => string | undefined;
}[] = [
  { title: "tokens of an answer", of: ({ habits }) => habits?.tokens.toFixed(1) },
  {
    title: "length / source's (95 %)",
    of: ({ length }) =>
      length && `${length.ratio.toFixed(3)} (${length.low.toFixed(3)} to ${length.high.toFixed(3)})`,
  },
  { title: "cut off", of: ({ habits }) => habits && `${habits.truncated} of ${habits.answers}` },
  { title: "endless repetition", of: ({ habits }) => habits && `${habits.repeating} of ${habits.answers}` },
  { title: "fence left open", of: ({ habits }) => habits && `${habits.openFences} of ${habits.answers}` },
  {
    title: "broken JSON",
    of: ({ habits }) => (habits && habits.json > 0 ? `${habits.brokenJson} of ${habits.json}` : undefined),
  },
  {
    title: "valid calls of tools",
    of: ({ habits }) => habits?.calls && `${habits.calls.valid} of ${habits.calls.asked}`,
  },
];

/** A table of them: the head, and a row for each figure that is known; undefined if none is. */
export function habitsTable(
  variants: readonly Variant[],
): { readonly head: string[]; readonly rows: string[][] } | undefined {
  const checked = variants.filter(({ habits }) => habits !== undefined);
  const rows = habitMeasures
    .map(({ title, of }) => [title, ...checked.map((variant) => of(variant) ?? "–")])
    .filter(([, ...cells]) => cells.some((cell) => cell !== "–"));
  return rows.length === 0 ? undefined : { head: ["answers", ...checked.map(({ label }) => label)], rows };
}

/** Kinds of tasks in the order in which the variants name them. */
export function taskKinds(variants: readonly Variant[]): string[] {
  return [...new Set(variants.flatMap(({ tasks = [] }) => tasks.map(({ kind }) => kind)))];
}

/** Types of keys and values: `f16`, or `q8_0 keys, f16 values`. */
export function cacheName({ keyType, valueType }: { keyType: string; valueType: string }): string {
  const [keys, values] = [keyType.toLowerCase(), valueType.toLowerCase()];
  return keys === values ? keys : `${keys} keys, ${values} values`;
}

/** Cache types and contexts of a table of memory, and its rows by both. */
export function memoryGrid({ rows }: MemoryTable) {
  const caches = [...new Set(rows.map(cacheName))];
  const contexts = [...new Set(rows.map(({ context }) => context))].sort((a, b) => a - b);
  const at = (context: number, cache: string) =>
    rows.find((row) => row.context === context && cacheName(row) === cache);
  return { caches, contexts, at };
}

/** The longest of the table's contexts that a machine has room for with a type of cache; undefined if none. */
export function longestFitting({ rows }: MemoryTable, machine: string, cache: string): number | undefined {
  const fitting = rows.filter((row) => cacheName(row) === cache && row.fits.includes(machine));
  return fitting.length > 0 ? Math.max(...fitting.map(({ context }) => context)) : undefined;
}

/** A machine, and the longest context that fits for each of the table's types of cache. */
export interface MachineFit {
  readonly machine: MemoryTable["machines"][number];
  /** Whether all larger machines of its kind have everything too. */
  readonly andLarger: boolean;
  readonly longest: readonly (number | undefined)[];
}

/**
 * The machines that have room for some of the table, and the names of those that have not. Of a kind (GPU, Mac, RAM)
 * that has everything, only the smallest is named.
 */
export function machineFits(table: MemoryTable): { fitting: MachineFit[]; tooSmall: string[] } {
  const { caches, contexts } = memoryGrid(table);
  const complete = new Set<string>();
  const fitting: MachineFit[] = [];
  const tooSmall: string[] = [];
  for (const machine of table.machines) {
    const kind = machine.name.replace(/^\S+ /, "");
    if (complete.has(kind)) {
      continue;
    }
    const longest = caches.map((cache) => longestFitting(table, machine.name, cache));
    const andLarger = longest.every((context) => context === contexts.at(-1));
    if (andLarger) {
      complete.add(kind);
    }
    if (longest.some((context) => context !== undefined)) {
      fitting.push({ machine, andLarger, longest });
    } else {
      tooSmall.push(machine.name);
    }
  }
  return { fitting, tooSmall };
}

/** A context worth starting with: 16384 tokens, or what the model was trained for. */
export function usualContext({ source }: Evaluation): number {
  return Math.min(source.contextLength ?? 4096, 16_384);
}

/** The model's file to open: the first. */
export function modelFile({ files, name }: Evaluation): string {
  return (
    files.find((file) => file.name.endsWith(".gguf") && file.name.startsWith(name))?.name ?? `${name}.gguf`
  );
}

/** Tokens of calibration that the experts saw, in a sentence; undefined without statistics. */
export function coverageLine({ coverage = [] }: Evaluation): string | undefined {
  if (coverage.length === 0) {
    return undefined;
  }
  const fewest = Math.min(...coverage.map((tensor) => tensor.fewest));
  const most = Math.max(...coverage.map((tensor) => tensor.most));
  const unseen = coverage.reduce((sum, tensor) => sum + tensor.unseen, 0);
  const experts = coverage.reduce((sum, tensor) => sum + tensor.experts, 0);
  const none = unseen === 0 ? "" : `; ${unseen} of ${experts} experts' matrices saw none`;
  return [`Each expert saw ${fewest} to ${most} tokens of it${none}.`, perDimensionLine(coverage)]
    .filter((line) => line !== undefined)
    .join(" ");
}

/** Tokens for each dimension of an expert's input, and what they mean; older evaluations do not have them. */
export function perDimensionLine(coverage: NonNullable<Evaluation["coverage"]>): string | undefined {
  const known = coverage.flatMap(({ tensor, columns, tokens }) =>
    columns === undefined ? [] : [{ tensor, columns, tokens }],
  );
  const perDimension = tokensPerDimension(known);
  return (
    perDimension &&
    `Tokens per dimension of an expert's input: median ${perDimension.median.toFixed(1)}, fewest ${perDimension.fewest.toFixed(1)}; ${meaningOf(perDimension.median)}.`
  );
}
