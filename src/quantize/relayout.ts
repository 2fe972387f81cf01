/**
 * `relayout`: another arrangement of the same weights. llama.cpp's names and keys change; the blocks, which are nearly
 * all of a file, are copied as they are.
 */
import { checkOutputs } from "../bytes/overwriting.js";
import { UsageError } from "../errors.js";
import { openModel } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import { copyTensors } from "../write/copy-tensors.js";
import { checkOverrides, parseOverrides } from "../write/output-metadata.js";
import { planOutput } from "../write/output-plan.js";
import { type RelayoutOptions, relayoutCommand } from "./relayout-command.js";
import { inGateAndUpForm } from "./relayout-experts.js";
import { changedMetadata } from "./relayout-metadata.js";
import { droppedTensors, renamedTensors } from "./relayout-tensors.js";

export interface RelayoutResult {
  /** The file to open: the only one, or the first of a set. */
  readonly output: string;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  readonly bytes: number;
  readonly tensors: number;
  /** Tensors with another name. */
  readonly renamed: number;
  readonly dropped: readonly string[];
  readonly seconds: number;
}

/**
 * Writes a model's tensors and metadata in another arrangement. Blocks are not looked at: `verify` does that.
 * Throws a UsageError for a change that finds nothing to change, for names that would stand twice, for a folder
 * (`convert` reads those), and where an output would be an input; errors of reading and writing otherwise.
 */
export async function relayout(given: RelayoutOptions): Promise<RelayoutResult> {
  const started = performance.now();
  const options = relayoutCommand.read(given);
  const source = await openModel(options.model, { signal: options.signal });
  try {
    const { kept, dropped } = droppedTensors(inGateAndUpForm(checkGguf(source), options), options.drop ?? []);
    const tensors = renamedTensors(kept, options.rename ?? []);
    const overrides = parseOverrides(options.overrideKv ?? []);
    checkOverrides(overrides, source.metadata);
    const metadata = changedMetadata(source.metadata, { ...options, overrides });
    const plan = planOutput({
      source,
      output: options.output,
      splitMaxSize: options.splitMaxSize,
      ownShard: options.ownShard,
      tensors: tensors.map((tensor) => ({ source: tensor, type: tensor.type })),
      metadata: () => metadata,
    });
    await checkOutputs(
      plan.map(({ path }) => path),
      source.files.map(({ name }) => name),
    );
    await copyTensors(plan, options);
    const files = plan.map(({ path, layout }) => ({ path, bytes: layout.byteLength }));
    return {
      output: files[0]?.path ?? options.output,
      files,
      bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
      tensors: tensors.length,
      renamed: tensors.filter(({ name }, index) => name !== kept[index]?.name).length,
      dropped: dropped.map(({ name }) => name),
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await source.close();
  }
}

/** A folder's tensors are not laid out as llama.cpp wants them. */
function checkGguf(source: ModelSource): ModelSource {
  if ("conversionType" in source) {
    throw new UsageError(
      `${source.name}: is a Hugging Face folder; make a GGUF file of it with convert first.`,
      {
        model: source.name,
      },
    );
  }
  return source;
}
