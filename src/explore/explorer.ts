/** What the explorer answers: for a model and settings, every budget's types, sizes, memory and predicted divergence. */
import { type Allocation, type AllocationOption, smallestAllocation } from "../budget/allocation.js";
import { type Budget, countingOnly, fileBudget, memoryBudget } from "../budget/budget.js";
import { parseRoleLimit } from "../budget/candidates.js";
import { Frontier } from "../budget/frontier.js";
import {
  alphaOf,
  choicesOf,
  type Item,
  itemsOf,
  type Problem,
  plannedRecipe,
  typesOf,
} from "../budget/problem.js";
import { defaultSensitivity, type Sensitivity } from "../budget/sensitivity/defaults.js";
import { type LaidOut, type SolveOptions, solve, tooSmall } from "../budget/solve.js";
import { type ErrorCurve, typicalCurve } from "../budget/typical-curves.js";
import { parseSize } from "../contract/size.js";
import { tensorBytes } from "../gguf/layout.js";
import { formulaNeed, type MemoryNeed } from "../memory/formula.js";
import { paddedContext } from "../memory/kv-cache.js";
import { type Machine, parseMachine } from "../memory/machines.js";
import { longestContext, weightsOn } from "../memory/placement.js";
import { Architecture } from "../model/architecture.js";
import { loadedTensors } from "../model/prediction-facts.js";
import { weightCount } from "../model/source.js";
import { parseTypeName, type TypeName } from "../quants/types.js";
import { quantizableNames } from "../recipe/quantizable.js";
import { renderRecipe } from "../recipe/render.js";
import { type ExplorableModel, hasImportance, outputBytes } from "./explorable-model.js";
import { memoryText, type Settings } from "./settings.js";

/** What is known of a model besides its header. */
export interface Knowledge {
  /** Undefined: defaults by role and depth. */
  readonly sensitivity?: Sensitivity | undefined;
  /** Measured errors by tensor; undefined: typical ones. */
  readonly curves?: ReadonlyMap<string, ErrorCurve> | undefined;
  /** A file that was made of the model. */
  readonly made?: MadeModel | undefined;
}

/** A quantized model, and how far from its source it was found to be. */
export interface MadeModel {
  readonly name: string;
  readonly bytes: number;
  readonly types: ReadonlyMap<string, TypeName>;
  /** Measured mean KL divergence, in nats. */
  readonly measured: number | undefined;
}

/** What memory holds, in bytes. */
export interface MemoryShares {
  /** Weights in this memory, and those that stay in the computer's. */
  readonly weights: number;
  readonly elsewhere: number;
  readonly cache: number;
  readonly compute: number;
  /** Left free for what is not llama.cpp's. */
  readonly margin: number;
  readonly free: number;
  /** All there is. */
  readonly total: number;
}

/** One budget's answer. */
export interface BudgetAnswer extends LaidOut {
  readonly types: ReadonlyMap<string, TypeName>;
  /** Recipe as YAML. */
  readonly recipe: string;
  /** Predicted KL divergence from the source, in nats. */
  readonly predicted: number;
  /** The solver's proof: no choice costs less than this part below; undefined if the choice is the frontier's. */
  readonly gap: number | undefined;
  readonly budget: Budget;
  /** Undefined if the budget is the file's size. */
  readonly memory: MemoryShares | undefined;
  /** Longest context that fits; undefined without a machine. */
  readonly longestContext: number | undefined;
}

/** More than any machine has. */
const mostGigabytes = 1e5;

/** A model under settings, all but the amount of memory. */
export class Explorer {
  readonly model: ExplorableModel;
  readonly settings: Settings;
  readonly architecture: Architecture;
  /** What takes memory when the model runs. */
  readonly #loaded: ExplorableModel["tensors"];
  readonly sensitivity: Sensitivity;
  readonly curves: ReadonlyMap<string, ErrorCurve>;
  readonly need: MemoryNeed;
  readonly #items: readonly Item[];
  readonly #frontiers = new Map<string, { choices: AllocationOption[][]; frontier: Frontier }>();
  readonly #parameters: number;

  /**
   * Errors: a UsageError for pinned types that leave a tensor none or cache types that rows do not fill, a
   * MalformedInputError if the metadata lack what is needed.
   */
  constructor(model: ExplorableModel, settings: Settings, knowledge: Knowledge = {}) {
    this.model = model;
    this.settings = settings;
    this.architecture = new Architecture(model.metadata);
    this.#loaded = loadedTensors(model.tensors, this.architecture.name);
    this.#items = itemsOf(model.tensors, {
      limits: settings.pins.map((pin) => parseRoleLimit(pin, "allowed", parseTypeName)),
      tied: [],
      backend: settings.backend,
      hasImportance: settings.hasImportance ? hasImportance(model) : undefined,
      unloaded: this.machine(1) && ((name) => !this.#loaded.some((tensor) => tensor.name === name)),
    });
    this.curves = completeCurves(this.#items, knowledge.curves);
    const sensitivity = knowledge.sensitivity ?? defaultSensitivity(quantizableNames(model.tensors));
    this.sensitivity = scaledTo(knowledge.made, sensitivity, model, this.curves);
    this.need = this.#needOf(settings.context);
    this.#parameters = model.tensors.reduce((sum, { shape }) => sum + weightCount(shape), 0);
  }

  get parameters(): number {
    return this.#parameters;
  }

  /** The machine of so many gigabytes; undefined if they are the file's. */
  machine(gigabytes = this.settings.gigabytes): Machine | undefined {
    return this.settings.kind === "file"
      ? undefined
      : parseMachine(memoryText({ ...this.settings, gigabytes }), 0);
  }

  /** Throws a UsageError if the context alone is too large. */
  budget(gigabytes: number): Budget {
    const machine = this.machine(gigabytes);
    return machine === undefined
      ? fileBudget(parseSize(memoryText({ ...this.settings, gigabytes })))
      : this.#memoryBudget(machine);
  }

  /**
   * The frontier's answer, at once; for a file of a given size the room for the header is that of its recipe. Throws
   * a UsageError if nothing fits.
   */
  async approximate(gigabytes: number): Promise<BudgetAnswer> {
    const budget = this.budget(gigabytes);
    const { choices, frontier } = this.#prepared(budget);
    let room = budget.bytes - (budget.isFile ? this.model.headerBytes.withImatrix : 0);
    for (let attempt = 0; attempt < 4; attempt++) {
      const point = frontier.within(room);
      if (point === undefined) {
        break;
      }
      const answer = await this.#answer(budget, point, gigabytes);
      const excess = budget.isFile ? answer.bytes - budget.bytes : 0;
      if (excess <= 0) {
        return answer;
      }
      room -= excess;
    }
    const { choice, bytes: allocated } = smallestAllocation(choices);
    const smallest = this.#layOut(budget, typesOf(this.#items, choice));
    throw tooSmall(budget, { ...smallest, allocated }, this.#remedies);
  }

  /** The solver's answer. Throws a UsageError if nothing fits. */
  async exact(gigabytes: number, allocate: SolveOptions<LaidOut>["allocate"]): Promise<BudgetAnswer> {
    const budget = this.budget(gigabytes);
    const solved = await solve(this.#problem(budget), {
      layOut: (types) => this.#layOut(budget, types),
      allocate,
      remedies: this.#remedies,
    });
    return await this.#answer(budget, solved.allocation, gigabytes);
  }

  /** Sizes of files and predicted divergences of the frontier, `count` at most. */
  curve(count = 240): { bytes: number; predicted: number }[] {
    const { frontier } = this.#prepared(fileBudget(1));
    const { points } = frontier;
    const header = this.model.headerBytes.withImatrix;
    const first = points[0]?.bytes ?? 0;
    const span = (points.at(-1)?.bytes ?? 0) - first;
    const kept: { bytes: number; predicted: number }[] = [];
    for (const { bytes, cost } of points) {
      const slot = span > 0 ? Math.floor((count * (bytes - first)) / span) : 0;
      if (slot >= kept.length || kept.length === 0) {
        kept.push({ bytes: bytes + header, predicted: cost });
      }
    }
    return kept;
  }

  /** Gigabytes between which the slider moves, and its steps: from what is too small for anything to where nothing is lost. */
  range(): { least: number; most: number; step: number } {
    const machine = this.machine(mostGigabytes);
    const budget =
      machine === undefined ? fileBudget(1) : this.#memoryBudget({ ...machine, bytes: Infinity });
    const { points } = this.#prepared(budget).frontier;
    const [least, most] = [points[0]?.bytes ?? 0, points.at(-1)?.bytes ?? 0];
    if (machine !== undefined) {
      const range = { least: this.#gigabytesFor(least), most: this.#gigabytesFor(most) };
      return { ...range, step: range.most > 400 ? 1 : 0.1 };
    }
    const decimals = decimalsFor((most - least) / 1e9);
    const header = this.model.headerBytes.withImatrix;
    const up = (bytes: number) =>
      Number((Math.ceil((bytes / 1e9) * 10 ** decimals) / 10 ** decimals).toFixed(decimals));
    return { least: up(least + header), most: up(most + header), step: 10 ** -decimals };
  }

  #memoryBudget(machine: Machine): Budget {
    const budget = memoryBudget(machine, this.settings.context, this.need, this.model.tensors);
    return countingOnly(budget, this.#loaded);
  }

  /** Predicted divergence of a choice of types. */
  predictedOf(types: ReadonlyMap<string, TypeName>): number {
    return predicted(this.model, types, this.sensitivity, this.curves);
  }

  /** The fewest tenths of a gigabyte of which a machine leaves so many bytes for the weights. */
  #gigabytesFor(bytes: number): number {
    const { kvBytes, computeBytes } = this.need;
    const leaves = (tenths: number) => {
      const machine = this.machine(tenths / 10);
      return machine === undefined ? Infinity : machine.bytes - machine.marginBytes - kvBytes - computeBytes;
    };
    let [tooFew, enough] = [0, 10 * mostGigabytes];
    while (enough - tooFew > 1) {
      const middle = Math.floor((tooFew + enough) / 2);
      if (leaves(middle) >= bytes) {
        enough = middle;
      } else {
        tooFew = middle;
      }
    }
    return enough / 10;
  }

  get #remedies(): string[] {
    return this.settings.hasImportance ? [] : ["use an importance matrix"];
  }

  #needOf(context: number): MemoryNeed {
    const { sequences, keyType, valueType } = this.settings;
    return formulaNeed(this.architecture, { contextLength: context, sequences, keyType, valueType });
  }

  #problem(budget: Budget): Problem {
    return { items: this.#items, budget, sensitivity: this.sensitivity, curves: this.curves };
  }

  /** Choices depend on what counts, not on how much there is. */
  #prepared(budget: Budget): { choices: AllocationOption[][]; frontier: Frontier } {
    const key = `${budget.isFile} ${budget.copies("token_embd.weight")}`;
    const known = this.#frontiers.get(key);
    if (known !== undefined) {
      return known;
    }
    const choices = choicesOf(this.#problem(budget));
    const prepared = { choices, frontier: new Frontier(choices) };
    this.#frontiers.set(key, prepared);
    return prepared;
  }

  #layOut(budget: Budget, types: ReadonlyMap<string, TypeName>): LaidOut & { recipe: string } {
    const { tensors } = this.model;
    const recipe = renderRecipe(plannedRecipe(tensors, types, budget));
    const bytes = outputBytes(this.model, types, recipe, this.settings.hasImportance);
    const weights = tensors.reduce(
      (sum, { name, shape, type }) => sum + tensorBytes({ name, shape, type: types.get(name) ?? type }),
      0,
    );
    return { recipe, bytes, bpw: (8 * weights) / this.#parameters };
  }

  async #answer(
    budget: Budget,
    allocation: Pick<Allocation, "choice" | "cost"> & Partial<Allocation>,
    gigabytes: number,
  ): Promise<BudgetAnswer> {
    const types = typesOf(this.#items, allocation.choice);
    return {
      ...this.#layOut(budget, types),
      types,
      predicted: allocation.cost,
      gap: allocation.gap,
      budget,
      ...(await this.#memory(types, gigabytes)),
    };
  }

  async #memory(
    types: ReadonlyMap<string, TypeName>,
    gigabytes: number,
  ): Promise<Pick<BudgetAnswer, "memory" | "longestContext">> {
    const machine = this.machine(gigabytes);
    if (machine === undefined) {
      return { memory: undefined, longestContext: undefined };
    }
    const tensors = this.#loaded.map(({ name, shape, type }) => ({
      name,
      bytes: tensorBytes({ name, shape, type: types.get(name) ?? type }),
    }));
    const { neededBytes: weights, bytes } = weightsOn(machine, tensors);
    const { kvBytes: cache, computeBytes: compute } = this.need;
    const margin = machine.marginBytes;
    const free = machine.bytes - weights - cache - compute - margin;
    return {
      memory: { weights, elsewhere: bytes - weights, cache, compute, margin, free, total: machine.bytes },
      longestContext: await longestContext(
        machine.bytes - margin - weights,
        Math.max(this.architecture.contextLength, paddedContext(1)),
        (context) => this.#needOf(context),
      ),
    };
  }
}

/** Decimals of a gigabyte with which a hundred steps or more lie in a span. */
function decimalsFor(gigabytes: number): number {
  return Math.min(5, Math.max(0, Math.ceil(-Math.log10(gigabytes / 100))));
}

function predicted(
  { tensors }: ExplorableModel,
  types: ReadonlyMap<string, TypeName>,
  sensitivity: Sensitivity,
  curves: ReadonlyMap<string, ErrorCurve>,
): number {
  return tensors.reduce((sum, { name, type }) => {
    const to = types.get(name) ?? type;
    const error = curves.get(name)?.get(to) ?? typicalCurve([to], type).get(to) ?? 0;
    return sum + alphaOf(name, sensitivity) * error;
  }, 0);
}

/**
 * Sensitivities scaled by one number, so that what is predicted for the file that was made is what was measured of it.
 * How much tensors matter beside each other stays as it is.
 */
function scaledTo(
  made: MadeModel | undefined,
  sensitivity: Sensitivity,
  model: ExplorableModel,
  curves: ReadonlyMap<string, ErrorCurve>,
): Sensitivity {
  const scale = (made?.measured ?? 0) / (made ? predicted(model, made.types, sensitivity, curves) : 1);
  if (!Number.isFinite(scale) || scale <= 0) {
    return sensitivity;
  }
  const alphas = new Map([...sensitivity.alphas].map(([name, alpha]) => [name, scale * alpha]));
  return { name: sensitivity.name, alphas };
}

/** Measured errors where there are any, typical ones otherwise. */
function completeCurves(
  items: readonly Item[],
  measured: ReadonlyMap<string, ErrorCurve> = new Map(),
): Map<string, ErrorCurve> {
  return new Map(
    items.flatMap(({ tensors, types }) =>
      tensors.map(({ name, type }): [string, ErrorCurve] => [
        name,
        new Map([...typicalCurve(types, type), ...(measured.get(name) ?? [])]),
      ]),
    ),
  );
}
