/** `compare`: several quantizations of one model, measured beside it in one sweep. */
import { shownName } from "../bytes/address.js";
import { writeTextFile } from "../bytes/atomic-write.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { UsageError } from "../errors.js";
import { measureModels } from "../evaluate/measure-models.js";
import { pairedDifference } from "../evaluate/paired.js";
import type { MeasuredTexts } from "../evaluate/scores.js";
import { worstText } from "../evaluate/worst-text.js";
import { openModel } from "../model/open.js";
import { summarize, tensorsWithRoles } from "../model/summary.js";
import { namedTexts } from "../text/named-text.js";
import { checkReadable, checkText } from "../text/text.js";
import { type CompareOptions, compareCommand } from "./compare-command.js";
import { renderComparison } from "./markdown.js";
import type { ComparedModel, CompareResult, FileSummary } from "./result.js";

/**
 * Compares files with their source on texts: each text's chunks are decoded by all of them at once. Writes a Markdown
 * table and a chart if asked to. Errors: see `perplexity`.
 */
export async function compare(given: CompareOptions): Promise<CompareResult> {
  const options = compareCommand.read(given);
  const texts = await namedTexts(options.texts);
  for (const { path } of texts) {
    await checkText(path, options.onWarning);
  }
  if (options.imatrix !== undefined) {
    await checkReadable(options.imatrix);
  }
  const paths = texts.map(({ path }) => path);
  const outputs = [options.markdown, options.chart].filter((path) => path !== undefined);
  await checkOutputs(outputs, [options.source, ...options.models, options.imatrix, ...paths]);
  const source = await summaryOf(options.source);
  const files: FileSummary[] = [];
  for (const model of options.models) {
    files.push(await summaryOf(model));
  }
  const { measured, context, chunks, seconds, floor } = await measureModels({
    ...options,
    reference: options.source,
    texts,
    outputs,
  });
  const [first] = measured;
  const reference = first.pooled.reference;
  if (reference === undefined) {
    throw new UsageError("nothing was scored; give longer texts.");
  }
  const models = files.map((file, at) => ({
    ...file,
    ...figuresOf(measured[at] ?? first, at > 0 ? first : undefined),
  }));
  const result = {
    source: { ...source, ...reference },
    models: withNames(models),
    ...(floor && { floor }),
    context,
    chunks,
    seconds,
  };
  if (options.markdown !== undefined) {
    await writeTextFile(options.markdown, renderComparison(result));
  }
  if (options.chart !== undefined) {
    // Drawing takes a while to load, which others need not wait for.
    const { renderComparisonChart } = await import("./chart.js");
    await writeTextFile(options.chart, renderComparisonChart(result));
  }
  return result;
}

function figuresOf({ pooled, texts, byPosition, routing }: MeasuredTexts, first: MeasuredTexts | undefined) {
  const worst = worstText(texts);
  const chunksOf = (measured: MeasuredTexts) => measured.texts.map(({ perChunk }) => perChunk);
  const difference =
    first && pairedDifference(chunksOf({ pooled, texts, byPosition }), chunksOf(first), ({ kld }) => kld);
  return {
    ...pooled,
    texts,
    byPosition,
    ...(routing && { routing }),
    ...(worst && { worst: { name: worst.name, kld: worst.kld?.mean ?? 0 } }),
    ...(difference && { difference }),
  };
}

/** Files of one name are told apart by their paths. */
function withNames(models: readonly ComparedModel[]): ComparedModel[] {
  const isDoubled = (name: string) => models.filter((model) => model.name === name).length > 1;
  return models.map((model) => (isDoubled(model.name) ? { ...model, name: model.path } : model));
}

async function summaryOf(path: string): Promise<FileSummary> {
  const source = await openModel(path);
  try {
    const { bpw } = summarize(tensorsWithRoles(source));
    return { name: shownName(path).replace(/\.gguf$/, ""), path, bytes: source.byteLength, bpw };
  } finally {
    await source.close();
  }
}
