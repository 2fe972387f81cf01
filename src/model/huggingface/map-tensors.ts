/**
 * From the tensors of a checkpoint to those of a GGUF file: names, shapes, and where the rows come from. Nothing is
 * read here; every shape is checked against config.json.
 */
import { MalformedInputError } from "../../errors.js";
import type { ModelFamily } from "./architecture.js";
import { conversionType } from "./conversion.js";
import type { Fields } from "./fields.js";
import type { StoredFormat, StoredTensor } from "./formats/stored-tensor.js";
import type { LayerCount } from "./layer-count.js";
import { type Rows, widened } from "./rows.js";
import { type Sizes, sizesOf, type TensorRule, type TransformationContext } from "./tensor-rules.js";
import { gateAndUp } from "./transformations/named.js";
import { stacked } from "./transformations/stack.js";
import type { RecentMatrices } from "./transformations/transpose.js";
import { constantRow, inRowsOf } from "./transformations/values.js";

/** A tensor of the GGUF file, before its type is chosen. */
export interface MappedTensor {
  readonly name: string;
  /** Row length first. */
  readonly shape: readonly number[];
  readonly rows: Rows;
  /** What the checkpoint stores it as, and in how many bytes for each weight. */
  readonly format: StoredFormat;
  readonly bytesPerWeight: number;
}

/** What is expected of a model's tensors. */
export interface TensorPlan {
  /** What to call the model in messages. */
  readonly name: string;
  readonly architecture: ModelFamily;
  readonly config: Fields;
  readonly layers: LayerCount;
  readonly sizes: Sizes;
  readonly recent: RecentMatrices;
}

/** The tensors of a model, and how many of what kind were left out. */
export interface MappedTensors {
  readonly tensors: readonly MappedTensor[];
  readonly leftOut: ReadonlyMap<string, number>;
}

/** Buffers that some exporters leave in the files; llama.cpp's converter skips them too. */
const buffers = /(\.attention\.masked_bias|\.attention\.bias|\.rotary_emb\.inv_freq)$/;

/** Tensors that a file of prediction layers alone has beside them. */
const sharedWithPrediction: ReadonlySet<string> = new Set([
  "token_embd.weight",
  "output_norm.weight",
  "output.weight",
]);

/**
 * The GGUF tensors of a model, in the order of the checkpoint's tensors; the stacked experts of a layer stand
 * together where the layer's last expert does, as llama.cpp's converter writes them.
 *
 * Throws a MalformedInputError that names the tensor if one has no rule, a shape that contradicts config.json, or
 * is missing.
 */
export function mapTensors(plan: TensorPlan, tensors: Iterable<StoredTensor>): MappedTensors {
  return new TensorMapper(plan).map(tensors);
}

/** Gate and up of all experts of a layer as one tensor. */
export function fuseGateAndUp(tensors: readonly MappedTensor[]): readonly MappedTensor[] {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return tensors.flatMap((gate) => {
    const up = byName.get(gate.name.replace("ffn_gate_exps.weight", "ffn_up_exps.weight"));
    const gateOfUp = byName.get(gate.name.replace("ffn_up_exps.weight", "ffn_gate_exps.weight"));
    if (gate.name.endsWith("ffn_up_exps.weight") && gateOfUp) {
      return [];
    }
    if (!gate.name.endsWith("ffn_gate_exps.weight") || up === undefined || up === gate) {
      return [gate];
    }
    const [columns = 0, rows = 0, experts = 1] = gate.shape;
    const name = gate.name.replace("ffn_gate_exps", "ffn_gate_up_exps");
    const shape = [columns, 2 * rows, experts];
    return [{ ...gate, name, shape, rows: gateAndUp(gate.rows, up.rows, experts) }];
  });
}

/** The place of a checkpoint's tensor in a rule. */
interface Match {
  readonly rule: TensorRule;
  /** Which of the rule's names it has. */
  readonly index: number;
  readonly layer: number | undefined;
  readonly expert: number | undefined;
  readonly tensor: StoredTensor;
}

class TensorMapper {
  readonly #plan: TensorPlan;
  readonly #rules: RuleFinder;
  readonly #groups = new Map<string, Group>();
  readonly #mapped = new Map<string, MappedTensor>();
  readonly #leftOut = new Map<string, number>();
  readonly #sizesOfLayer = new Map<number, Sizes>();
  readonly #kindsOfLayer = new Map<number, readonly string[]>();

  constructor(plan: TensorPlan) {
    this.#plan = plan;
    this.#rules = new RuleFinder(plan.architecture.tensors);
  }

  map(tensors: Iterable<StoredTensor>): MappedTensors {
    const { architecture, config, layers } = this.#plan;
    for (const { name, values } of architecture.computed?.(config) ?? []) {
      this.#add({
        name,
        shape: [values.length],
        rows: constantRow(values),
        format: "F32",
        bytesPerWeight: 4,
      });
    }
    for (const tensor of tensors) {
      const name = this.#nameOf(tensor);
      if (name !== undefined) {
        this.#take(this.#match(tensor, name));
      }
    }
    for (const group of this.#groups.values()) {
      group.checkComplete(this.#plan);
    }
    for (const rule of architecture.tensors) {
      if (rule.optional === "always" || (rule.optional === "if tied" && config.flag("tie_word_embeddings"))) {
        continue;
      }
      this.#checkPresent(rule, layers);
    }
    return { tensors: [...this.#mapped.values()], leftOut: this.#leftOut };
  }

  /** The name that the rules know the tensor by; undefined if it is left out. */
  #nameOf({ name }: StoredTensor): string | undefined {
    if (buffers.test(name)) {
      return undefined;
    }
    const { architecture, layers, config } = this.#plan;
    const leftOut = architecture.leftOut?.find((one) => one.names.test(name));
    if (leftOut) {
      return this.#leave(leftOut.what);
    }
    const known = architecture.rename ? architecture.rename(name, layers, config) : name;
    if (known === undefined) {
      return undefined;
    }
    const layer = layerOf(known);
    if (layer !== undefined) {
      const isPrediction = layer >= layers.hidden;
      if (isPrediction && layers.prediction === 0 && layer < layers.hidden + layers.stored) {
        return this.#leave("layers that predict further tokens (MTP)");
      }
      return layers.onlyPrediction && !isPrediction ? undefined : known;
    }
    return known;
  }

  #leave(what: string | undefined): undefined {
    if (what !== undefined) {
      this.#leftOut.set(what, (this.#leftOut.get(what) ?? 0) + 1);
    }
    return undefined;
  }

  #match(tensor: StoredTensor, name: string): Match {
    const { architecture, layers } = this.#plan;
    const blocks = layers.hidden + layers.prediction;
    const found = this.#rules.find(name);
    const layer = found?.layer;
    if (layer !== undefined && layer >= blocks) {
      fail(tensor, `is of layer ${layer}, but config.json has ${blocks}`);
    }
    const kinds = layer === undefined ? [] : this.#kinds(layer);
    const place = found?.places.find(({ rule }) => rule.layers === undefined || kinds.includes(rule.layers));
    if (!found || !place) {
      fail(tensor, `has no place in the architecture ${architecture.gguf}`);
    }
    const match = { ...place, layer, expert: found.expert, tensor };
    this.#check(match);
    return match;
  }

  #check({ rule, layer, expert, tensor }: Match): void {
    const shape = sizesOf(rule.shape, this.#sizes(layer));
    const experts = expert === undefined ? 1 : (shape.at(-1) ?? 1);
    if (expert !== undefined && expert >= experts) {
      fail(tensor, `is of expert ${expert}, but config.json has ${experts}`);
    }
    const expected = (expert === undefined ? [...shape] : shape.slice(0, -1)).reverse();
    if (withoutOnes(tensor.shape) !== withoutOnes(expected)) {
      fail(
        tensor,
        `has shape [${tensor.shape.join(", ")}], but config.json asks for [${expected.join(", ")}]`,
      );
    }
  }

  /** Puts a tensor in its place; the GGUF tensors follow once all that they are made of are there. */
  #take(match: Match): void {
    const { rule, layer, expert } = match;
    if (this.#plan.layers.onlyPrediction && layer === undefined && !isShared(rule)) {
      return;
    }
    const isOfExperts = expert !== undefined;
    const key = isOfExperts ? `experts ${layer}` : `${this.#rules.numberOf(rule)} ${layer}`;
    let group = this.#groups.get(key);
    if (!group) {
      const rules = isOfExperts ? this.#expertRules(layer) : [rule];
      const experts = isOfExperts ? (sizesOf(rule.shape, this.#sizes(layer)).at(-1) ?? 1) : undefined;
      group = new Group(rules, layer, experts);
      this.#groups.set(key, group);
    }
    group.add(match);
    if (group.isComplete) {
      this.#groups.delete(key);
      for (const [one, sources] of group.results()) {
        for (const tensor of this.#make(one, sources, layer)) {
          this.#add(tensor, match.tensor);
        }
      }
    }
  }

  #expertRules(layer: number | undefined): readonly TensorRule[] {
    const kinds = layer === undefined ? [] : this.#kinds(layer);
    return this.#plan.architecture.tensors.filter(
      (one) => isPerExpert(one) && (one.layers === undefined || kinds.includes(one.layers)),
    );
  }

  #make(
    rule: TensorRule,
    sources: readonly (readonly StoredTensor[])[],
    layer: number | undefined,
  ): readonly MappedTensor[] {
    const sizes = this.#sizes(layer);
    const [columns = 1] = sizesOf(rule.shape, sizes);
    const [first, ...rest] = sources.map((parts) => inRowsOf(columns, stacked(parts)));
    const stored = sources.flat();
    const format = stored[0]?.format ?? "F32";
    const weights = stored.reduce((sum, one) => sum + one.rows * one.columns, 0);
    const bytesPerWeight = stored.reduce((sum, { bytes }) => sum + bytes, 0) / weights;
    if (!first) {
      return [];
    }
    return rule.to.map(({ name, shape: names, via }) => {
      const shape = sizesOf(names, sizes);
      const context: TransformationContext = {
        shape,
        size: (size) => sizesOf([size], sizes)[0] ?? 0,
        recent: this.#plan.recent,
      };
      const made = via ? via([first, ...rest], context) : first;
      const rows = inRowsOf(shape[0] ?? 1, made);
      return { name: nameIn(name, layer), shape, rows, format, bytesPerWeight };
    });
  }

  #add(tensor: MappedTensor, from?: StoredTensor): void {
    if (from && this.#mapped.has(tensor.name)) {
      fail(from, `gives ${tensor.name} a second time`);
    }
    this.#mapped.set(tensor.name, tensor);
  }

  /** Throws if a tensor that the architecture needs has not been found. */
  #checkPresent(rule: TensorRule, layers: LayerCount): void {
    if (!rule.from.some((name) => name.includes("{layer}"))) {
      if (!layers.onlyPrediction || isShared(rule)) {
        this.#checkIn(rule, undefined);
      }
      return;
    }
    const first = layers.onlyPrediction ? layers.hidden : 0;
    for (let layer = first; layer < layers.hidden + layers.prediction; layer++) {
      if (rule.layers === undefined || this.#kinds(layer).includes(rule.layers)) {
        this.#checkIn(rule, layer);
      }
    }
  }

  #checkIn(rule: TensorRule, layer: number | undefined): void {
    if (!rule.to.every(({ name }) => this.#mapped.has(nameIn(name, layer)))) {
      missing(this.#plan, nameIn(rule.from[0] ?? "", layer).replace("{expert}", "0"));
    }
  }

  #sizes(layer: number | undefined): Sizes {
    const { architecture, config, sizes } = this.#plan;
    if (layer === undefined || !architecture.layerSizes) {
      return sizes;
    }
    const known = this.#sizesOfLayer.get(layer) ?? { ...sizes, ...architecture.layerSizes(config, layer) };
    this.#sizesOfLayer.set(layer, known);
    return known;
  }

  #kinds(layer: number): readonly string[] {
    const { architecture, config, layers } = this.#plan;
    const prediction = layer >= layers.hidden ? ["prediction"] : ["hidden"];
    const known = this.#kindsOfLayer.get(layer) ?? [
      ...prediction,
      ...(architecture.layerKinds?.(config, layer, layers) ?? []),
    ];
    this.#kindsOfLayer.set(layer, known);
    return known;
  }
}

/** Tensors of a layer that are made together: of one rule, or of all rules for its experts. */
class Group {
  readonly #rules: readonly TensorRule[];
  readonly #layer: number | undefined;
  readonly #experts: number | undefined;
  /** For each rule and each of its names the tensors, by expert. */
  readonly #found: ReadonlyMap<TensorRule, readonly Map<number, StoredTensor>[]>;

  constructor(rules: readonly TensorRule[], layer: number | undefined, experts: number | undefined) {
    this.#rules = rules;
    this.#layer = layer;
    this.#experts = experts;
    this.#found = new Map(rules.map((rule) => [rule, rule.from.map(() => new Map())]));
  }

  add({ rule, index, expert = 0, tensor }: Match): void {
    const place = this.#found.get(rule)?.[index];
    if (place?.has(expert)) {
      fail(tensor, "stands twice in the checkpoint, by names that mean the same");
    }
    place?.set(expert, tensor);
  }

  get isComplete(): boolean {
    const count = this.#experts ?? 1;
    return [...this.#found.values()].every((names) => names.every((place) => place.size === count));
  }

  results(): readonly [TensorRule, readonly (readonly StoredTensor[])[]][] {
    return [...this.#found].map(([rule, names]) => [
      rule,
      names.map((place) => [...place].sort(([a], [b]) => a - b).map(([, tensor]) => tensor)),
    ]);
  }

  /** Throws: called when all tensors are there, for a group that lacks some. */
  checkComplete(plan: TensorPlan): void {
    for (const rule of this.#rules) {
      for (const [index, place] of (this.#found.get(rule) ?? []).entries()) {
        for (let expert = 0; expert < (this.#experts ?? 1); expert++) {
          if (!place.has(expert)) {
            const name = nameIn(rule.from[index] ?? "", this.#layer).replace("{expert}", String(expert));
            missing(plan, name);
          }
        }
      }
    }
  }
}

/** Finds the rules for a name: numbers between dots are those of layer and expert. */
class RuleFinder {
  readonly #places = new Map<string, { rule: TensorRule; index: number }[]>();
  readonly #numbers: ReadonlyMap<TensorRule, number>;

  constructor(rules: readonly TensorRule[]) {
    this.#numbers = new Map(rules.map((rule, number) => [rule, number]));
    for (const rule of rules) {
      for (const [index, name] of rule.from.entries()) {
        const known = this.#places.get(name) ?? [];
        known.push({ rule, index });
        this.#places.set(name, known);
      }
    }
  }

  numberOf(rule: TensorRule): number {
    return this.#numbers.get(rule) ?? -1;
  }

  find(name: string) {
    const numbers: number[] = [];
    const pattern = name.replaceAll(/(?<=\.)(0|[1-9][0-9]{0,6})(?=\.|$)/g, (digits) => {
      numbers.push(Number(digits));
      return numbers.length === 1 ? "{layer}" : numbers.length === 2 ? "{expert}" : digits;
    });
    const places = this.#places.get(pattern);
    const [layer, expert] = numbers;
    return places && { places, layer, expert };
  }
}

/** The type that a mapped tensor is read in: what llama.cpp needs as float32 is widened while it is read. */
export function asReadByLlama({ name, shape, rows }: MappedTensor): Rows {
  const { type } = rows;
  const isConvertible = type === "F32" || type === "F16" || type === "BF16";
  return isConvertible && conversionType({ name, shape }, type) === "F32" ? widened(rows) : rows;
}

function isShared(rule: TensorRule): boolean {
  return rule.to.every(({ name }) => sharedWithPrediction.has(name) || name.startsWith("output_hc_"));
}

function isPerExpert(rule: TensorRule): boolean {
  return rule.from.some((name) => name.includes("{expert}"));
}

function layerOf(name: string): number | undefined {
  const digits = /(?:^|\.)layers\.([0-9]{1,7})\./.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function nameIn(name: string, layer: number | undefined): string {
  return name.replace("{layer}", String(layer));
}

/** Dimensions of one say nothing about where the values lie. */
function withoutOnes(shape: readonly number[]): string {
  return shape.filter((size) => size !== 1).join();
}

function missing({ name: file, architecture }: TensorPlan, tensor: string): never {
  throw new MalformedInputError(
    `${file}: tensor "${tensor}" is missing, which the ${architecture.gguf} model of config.json needs; check that all files are downloaded.`,
    { file, tensor },
  );
}

function fail({ file, name }: StoredTensor, problem: string): never {
  throw new MalformedInputError(`${file}: tensor "${name}" ${problem}.`, { file, tensor: name });
}
