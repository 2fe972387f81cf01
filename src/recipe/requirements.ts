/**
 * What must hold before any work: every change of type can be carried out, quantized sources may be
 * quantized again, and types of very few bits have importance.
 */
import { UsageError } from "../errors.js";
import { roleOf } from "../model/roles.js";
import { type TypeName, traitsOf } from "../quants/types.js";
import type { Base } from "./ftypes.js";
import { isTokenEmbedding } from "./mixture-model.js";
import { tensorNames } from "./tensor-list.js";

/** What a tensor is to become. */
export interface TypeChange {
  readonly name: string;
  readonly from: TypeName;
  readonly to: TypeName;
}

export interface Abilities {
  readonly base: Base;
  readonly allowRequantize: boolean;
  /** Whether the importance matrix has an entry for a tensor; undefined without importance matrix. */
  readonly hasImportance: ((name: string) => boolean) | undefined;
}

/** Throws a UsageError that lists every tensor that cannot become what the plan says. */
export function checkRequirements(tensors: readonly TypeChange[], abilities: Abilities): void {
  const [first] = unmetRequirements(tensors, abilities);
  if (first !== undefined) {
    throw first;
  }
}

/** What keeps a plan from being carried out: one error for each reason, listing the tensors. */
export function unmetRequirements(tensors: readonly TypeChange[], abilities: Abilities): UsageError[] {
  const changed = tensors.filter(({ from, to }) => from !== to);
  const problems = [
    refusal(
      changed.filter(({ from }) => !traitsOf(from).canDecode),
      ({ from }) => from,
      (type, names) =>
        `Lopsided cannot read weights of type ${type}: ${names}. Use a source of F32, F16, BF16 or Q8_0.`,
    ),
    refusal(
      changed.filter(({ to }) => !traitsOf(to).canEncode),
      ({ to }) => to,
      (type, names) =>
        `Lopsided cannot write weights of type ${type}: ${names}. Choose another type for them.`,
    ),
    refusal(
      changed.filter(({ from }) => traitsOf(from).quantized && !abilities.allowRequantize),
      ({ from }) => from,
      (type, names) =>
        `the source is quantized already (${type}): ${names}. Use the F16 or BF16 original for best quality, or allow it with \`allowRequantize\`.`,
    ),
    refusal(
      changed.filter(({ name, to }) => isTable(name) && lacksImportance(name, to, abilities)),
      ({ to }) => to,
      (type, names) =>
        `type ${type} needs importance, which is not measured for ${names}. Choose another type with \`tokenEmbeddingType\`, \`outputTensorType\` or a rule.`,
    ),
    refusal(
      changed.filter(({ name, to }) => !isTable(name) && lacksImportance(name, to, abilities)),
      ({ to }) => to,
      (type, names) =>
        abilities.hasImportance === undefined
          ? `type ${type} needs an importance matrix: ${names}. Make one with "lopsided imatrix" and give it with \`imatrix\`, or choose types of more bits.`
          : `type ${type} needs importance, but the importance matrix has no entry for ${names}. Calibrate this model with "lopsided imatrix", or choose types of more bits for them.`,
    ),
  ];
  return problems.filter((problem) => problem !== undefined);
}

/** Embeddings and the output projection: rows are looked up, or seldom calibrated. */
function isTable(name: string): boolean {
  return isTokenEmbedding(name) || roleOf(name) === "embedding.table" || name === "output.weight";
}

function lacksImportance(name: string, type: TypeName, { base, hasImportance }: Abilities): boolean {
  if (hasImportance?.(name)) {
    return false;
  }
  const { importance } = traitsOf(type);
  if (importance === "needed" || isTable(name)) {
    return importance === "needed";
  }
  return importance !== undefined || (type === "Q2_K" && base === "Q2_K_S");
}

/** The error for the first type among the offending tensors, naming all of that type; undefined if there are none. */
function refusal(
  offending: readonly TypeChange[],
  typeOf: (tensor: TypeChange) => TypeName,
  message: (type: TypeName, names: string) => string,
): UsageError | undefined {
  const [first] = offending;
  if (first === undefined) {
    return undefined;
  }
  const type = typeOf(first);
  const names = offending.filter((tensor) => typeOf(tensor) === type).map(({ name }) => name);
  return new UsageError(message(type, tensorNames(names)), { type, tensors: names.length });
}
