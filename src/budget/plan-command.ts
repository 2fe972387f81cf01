/** The contract of `plan`, and the options that say how large a model may be, which `make` has too. */
import { defineCommand, type OptionsOf, type ResolvedOptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { encoderThreads, onProgress, onWarning, readableModel, signal } from "../contract/shared-options.js";
import { choice, list, number, size, text } from "../contract/values.js";
import { cacheTypeK, cacheTypeV, engine } from "../engine/engine-options.js";
import { priorWeight } from "../imatrix/imatrix-command.js";
import { ctx, margin, parallel } from "../memory/fit-command.js";
import { machineExamples } from "../memory/machines.js";
import {
  activations,
  cache,
  effort,
  imatrix,
  moments,
  mtp,
  padExperts,
} from "../quantize/quantize-command.js";
import { backends } from "../quants/types.js";

/** Options that are a budget; a plan needs exactly one of them. */
const limits = {
  memory: option({
    value: "<amount|machine>",
    schema: text,
    about: `budget: model and context fit into 16GB or a machine: ${machineExamples}`,
  }),
  size: option({ value: "<size>", schema: size, about: "budget: size of the file, like 11.4GB" }),
  bpw: option({ value: "<bits>", schema: number(0, 32), about: "budget: bits per weight, like 2.99" }),
  targetKld: option({
    value: "<nats>",
    schema: number(0),
    about: "budget: as few bytes as keep the predicted KL divergence at or below this, like 0.05",
  }),
} as const;

export const budgetOptions = {
  ...limits,
  ctx: { ...ctx, about: "with a budget of memory: tokens of context for each sequence", unset: "4096" },
  cacheTypeK,
  cacheTypeV,
  parallel,
  margin,
} as const;

type LimitName = keyof typeof limits;

/** The options of these that are a budget. */
export function budgetsGiven(options: { readonly [Name in LimitName]?: unknown }): LimitName[] {
  return (Object.keys(limits) as LimitName[]).filter((name) => options[name] !== undefined);
}

/** All budgets there are, as a sentence has them. */
export function budgetList(): string {
  const each = Object.entries(limits).map(
    ([name, { about }]) => `\`${name}\` (${about.replace("budget: ", "")})`,
  );
  return new Intl.ListFormat("en", { type: "disjunction" }).format(each);
}

/** Of a command's options those that `plan` has for its budget. */
export function budgetOptionsOf<Given extends BudgetOptions>(options: Given): BudgetOptions {
  const given = Object.entries(options).filter(([name]) => name in budgetOptions);
  return Object.fromEntries(given) as BudgetOptions;
}

/** Changes of the experts that are weighed against fewer bits. */
export const expertOptions = {
  prune: option({
    value: "<n,...|auto>",
    schema: text,
    about:
      "also weigh dropping experts, keeping so many in each layer, like 96,64; auto tries 7/8 to 1/2 of them (needs imatrix --expert-outputs)",
  }),
  padExperts: {
    ...padExperts,
    about:
      "also weigh wider experts: zeros to the next multiple of 256, so that types of less than 4.25 bits fit their rows",
  },
} as const;

export const planCommand = defineCommand({
  name: "plan",
  summary: "Choose each tensor's type so that the model loses least within a budget; write a recipe.",
  options: {
    model: readableModel,
    output: option({
      short: "-o",
      value: "<file>",
      required: true,
      schema: text,
      about: "recipe file to write",
    }),
    ...budgetOptions,
    imatrix: { ...imatrix, about: "importance matrix that quantize will use, GGUF or .dat" },
    priorWeight,
    sensitivity: option({
      value: "<file>",
      schema: text,
      about: "what lopsided sensitivity measured",
      unset: "by role and depth",
    }),
    allow: option({
      value: "<role=types>",
      schema: list(text),
      about: "only these types, like routed.down=IQ3_S,Q4_K (repeatable)",
    }),
    atLeast: option({
      value: "<role=type>",
      schema: list(text),
      about: "no type of fewer bits, like attention=Q4_K (repeatable)",
    }),
    atMost: option({
      value: "<role=type>",
      schema: list(text),
      about: "no type of more bits, like embedding=Q6_K (repeatable)",
    }),
    tie: option({
      value: "<role>",
      schema: list(text),
      about: "one type for all layers of a role, like routed.down (repeatable)",
    }),
    ...expertOptions,
    mtp: {
      ...mtp,
      about:
        "what quantize will do with layers that predict further tokens: they count as part of the file only if embedded, and never where the budget is memory",
    },
    backend: option({ schema: choice(backends), about: "only types with fast kernels there" }),
    errors: option({
      value: "<file>",
      schema: text,
      about: "where measured errors are kept",
      unset: "in the cache, or in the user's cache folder",
    }),
    curves: option({
      value: "<file>",
      schema: text,
      about: "write the measured errors of every type there, for explore",
    }),
    cache: { ...cache, about: "folder of quantize's cache; measured errors are kept there too" },
    effort: { ...effort, about: "effort that quantize will be given" },
    moments: { ...moments, about: "with effort max: second moments of the inputs that quantize will use" },
    activations: { ...activations, about: "with effort max: kept inputs that quantize will use" },
    threads: encoderThreads,
    onProgress,
    onWarning,
    signal,
    engine,
  },
});

type BudgetOptions = Pick<ResolvedPlanOptions, keyof typeof budgetOptions>;

export type PlanOptions = OptionsOf<typeof planCommand>;

export type ResolvedPlanOptions = ResolvedOptionsOf<typeof planCommand>;
