/**
 * Effort max with nothing kept: what is known of the inputs of a layer's weights is there from when the layer has been
 * run over the calibration text until it is encoded.
 */
import { sha256OfFile } from "../bytes/sha256.js";
import type { ImatrixResult } from "../imatrix/compute.js";
import type { Imatrix } from "../imatrix/imatrix.js";
import { type ImportanceOptions, importanceFor, usedImportance } from "../imatrix/load-importance.js";
import { paddedImatrix } from "../imatrix/padded.js";
import type { WindowRun } from "../imatrix/window-run.js";
import { layerOf } from "../model/roles.js";
import type { SourceTensor } from "../model/source.js";
import { isRefinable } from "../quants/output-aware/refine.js";
import type { TypeName } from "../quants/types.js";
import type { Base } from "../recipe/ftypes.js";
import { checkRequirements, type TypeChange } from "../recipe/requirements.js";
import type { EncodingGroup } from "../write/tensor-groups.js";
import { InputStatistics, type ReadInput } from "./input-statistics.js";

export interface WindowInputsOptions {
  /** Tensors of the model as it is run. */
  readonly collected: readonly SourceTensor[];
  /** The same, or with padded experts. */
  readonly quantized: readonly SourceTensor[];
  /** What is used of an importance matrix; undefined if it is not used at all. */
  readonly importance: ImportanceOptions | undefined;
  readonly onWarning?: ((warning: string) => void) | undefined;
}

/** What is in memory of one window. */
interface Current {
  readonly window: number;
  readonly statistics: InputStatistics | undefined;
}

export class WindowInputs {
  readonly #run: WindowRun;
  readonly #options: WindowInputsOptions;
  readonly #groups: readonly EncodingGroup[];
  readonly #warned = new Set<string>();
  #current: Current | undefined;
  #imatrix: Imatrix | undefined;
  #imatrixSha256: string | undefined;
  #result: ImatrixResult | undefined;
  #expected: { readonly tensors: readonly TypeChange[]; readonly base: Base } | undefined;

  constructor(run: WindowRun, options: WindowInputsOptions) {
    this.#run = run;
    this.#options = options;
    this.#groups = run.windows.map((_, window) => ({
      order: window,
      begin: async () => await this.#enter(window),
    }));
  }

  /** What is known of a tensor's inputs while its group is encoded, if its type uses such. */
  of(tensor: SourceTensor, type: TypeName): ReadInput | undefined {
    const isUsed = layerOf(tensor.name) !== undefined && tensor.type !== type;
    return isUsed && isRefinable(type, tensor.shape[0] ?? 1)
      ? async (expert) => await this.#current?.statistics?.of(tensor, type)?.(expert)
      : undefined;
  }

  /** The tensors of a window are encoded together. */
  groupOf({ name }: SourceTensor): EncodingGroup | undefined {
    const layer = layerOf(name);
    return layer === undefined ? undefined : this.#groups[this.#run.windowOf(layer)];
  }

  /** The importance matrix as far as it is known; undefined before the first window has been run. */
  get imatrix(): Imatrix | undefined {
    return this.#imatrix;
  }

  /** SHA-256 of the importance matrix's file, once it is written. */
  get imatrixSha256(): string | undefined {
    return this.#imatrixSha256;
  }

  /** What the run over the text found, once it is over. */
  get result(): ImatrixResult | undefined {
    return this.#result;
  }

  /** Says what was planned on what is promised of the importance matrix. */
  expect(tensors: readonly TypeChange[], base: Base): void {
    this.#expected = { tensors, base };
  }

  /** Runs what has not been run, and writes the whole importance matrix. */
  async finish(): Promise<void> {
    const { result, imatrix } = await this.#run.finish();
    this.#result = result;
    this.#use(imatrix);
    this.#imatrixSha256 = await sha256OfFile(result.output);
  }

  async close(): Promise<void> {
    await this.#current?.statistics?.close();
    await this.#run.close();
  }

  async #enter(window: number): Promise<void> {
    if (this.#current?.window === window) {
      return;
    }
    await this.#current?.statistics?.close();
    this.#current = undefined;
    const { imatrix, moments, activations, run } = await this.#run.statisticsOf(window);
    this.#use(imatrix);
    const isOwn = (tensor: SourceTensor) => this.groupOf(tensor)?.order === window;
    const collected = this.#options.collected.filter(isOwn);
    const quantized = this.#options.quantized.filter(isOwn);
    this.#check(quantized);
    const files = { moments, activations: activations === undefined ? [] : [activations], run };
    const statistics = await InputStatistics.open(files, collected, quantized);
    this.#current = { window, statistics };
    for (const warning of (await statistics?.warnings()) ?? []) {
      if (!this.#warned.has(warning)) {
        this.#warned.add(warning);
        this.#options.onWarning?.(warning);
      }
    }
  }

  #use(sums: Imatrix): void {
    const { collected, quantized, importance } = this.#options;
    this.#imatrix =
      importance && paddedImatrix(usedImportance(sums, importance, collected), collected, quantized);
  }

  /** Throws a UsageError if a tensor's type needs importance that was promised, and did not come. */
  #check(own: readonly SourceTensor[]): void {
    const [imatrix, expected, { importance }] = [this.#imatrix, this.#expected, this.#options];
    if (imatrix === undefined || expected === undefined || importance === undefined) {
      return;
    }
    const known = own.filter((tensor) => importanceFor(imatrix, tensor, importance) !== undefined);
    const [names, knownNames] = [own, known].map((all) => new Set(all.map(({ name }) => name)));
    const tensors = expected.tensors.filter(({ name }) => names?.has(name));
    const hasImportance = (name: string) => knownNames?.has(name) ?? false;
    checkRequirements(tensors, { base: expected.base, allowRequantize: true, hasImportance });
  }
}
