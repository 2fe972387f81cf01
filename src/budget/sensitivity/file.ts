/**
 * How much a tensor's error costs the model: alpha, the KL divergence in nats for each unit of its relative error.
 * The divergence is about linear in the layers' relative errors (Malinovskii et al. 2024, "Pushing the Limits of
 * Large Language Model Quantization via the Linearity Theorem"), so that costs add up. Measured by
 * `lopsided sensitivity`, or the defaults below.
 */
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue, readJson } from "../../bytes/json.js";
import { FileSource } from "../../bytes/source.js";
import { MalformedInputError, UsageError } from "../../errors.js";
import { isTied, layerOf, type Role, roleOf, roles } from "../../model/roles.js";

export interface TensorSensitivity {
  readonly name: string;
  readonly role: Role;
  /** Nats of KL divergence for each unit of relative error. */
  readonly alpha: number;
}

export interface Sensitivity {
  /** What to call it in messages and recipes: a path, or "defaults". */
  readonly name: string;
  readonly alphas: ReadonlyMap<string, number>;
}

/** What a sensitivity file begins with. */
export const sensitivityFormat = "lopsided-sensitivity-1";

/**
 * Nats of KL divergence for each unit of relative error when all layers of a role have it, from single tensors of
 * Qwen3.5-35B-A3B stored at 1.8 bits (relative error about 0.15; measurements published by Thireus,
 * GGUF-Tool-Suite `kld_results.csv`). What is not in that model takes the number of what is most like it.
 */
const roleDefaults: Readonly<Partial<Record<Role, number>>> = {
  "routed.gate": 0.75,
  "routed.up": 0.78,
  "routed.gate_up": 1.5,
  "routed.down": 0.88,
  "shared.gate": 0.5,
  "shared.up": 0.5,
  "shared.down": 0.6,
  "dense.gate": 1.5,
  "dense.up": 1.5,
  "dense.down": 1.8,
  "attention.q": 0.9,
  "attention.k": 0.9,
  "attention.v": 0.75,
  "attention.qkv": 1,
  "attention.output": 1.2,
  "ssm.out": 1,
  embedding: 0.2,
  output: 0.9,
};

/** For roles that the table does not name. */
const otherDefault = 1;

/**
 * Defaults for a model: a role's number divided among its tensors, more of it to those at both ends, where errors
 * pass through all layers or go straight to the output.
 */
export function defaultSensitivity(names: readonly string[]): Sensitivity {
  const tied = isTied(names);
  const layers = 1 + Math.max(0, ...names.map((name) => layerOf(name) ?? 0));
  const weights = names.map((name) => ({
    name,
    role: roleOf(name),
    weight: depthWeight(layerOf(name), layers),
  }));
  const totals = new Map<Role, number>();
  for (const { role, weight } of weights) {
    totals.set(role, (totals.get(role) ?? 0) + weight);
  }
  const alphas = weights.map(({ name, role, weight }) => {
    const ofRole =
      (roleDefaults[role] ?? otherDefault) + (tied && role === "embedding" ? (roleDefaults.output ?? 0) : 0);
    return [name, (ofRole * weight) / (totals.get(role) ?? 1)] as const;
  });
  return { name: "defaults", alphas: new Map(alphas) };
}

/** Half as much again in the first and the last eighth of the layers. */
function depthWeight(layer: number | undefined, layers: number): number {
  if (layer === undefined) {
    return 1;
  }
  return layer < layers / 8 || layer >= layers - layers / 8 ? 1.5 : 1;
}

/** Largest file that can be one: a few hundred bytes for each tensor. */
const largestFile = 64 * 2 ** 20;

/**
 * Reads what `lopsided sensitivity` wrote. Throws a MalformedInputError if it is not such a file, a UsageError if it
 * is of another model: if it lacks a tensor of `names`, or its fingerprint is not the model's.
 */
export async function readSensitivity(
  path: string,
  model: { readonly fingerprint: string; readonly names: readonly string[] },
): Promise<Sensitivity> {
  const source = await FileSource.open(path);
  try {
    const file = await readJson(source, largestFile);
    const malformed = (what: string) =>
      new MalformedInputError(`${path}: ${what}; measure it with "lopsided sensitivity".`, { file: path });
    if (!isJsonObject(file) || file.get("format") !== sensitivityFormat) {
      throw malformed("is not a sensitivity file");
    }
    const alphas = readAlphas(file, malformed);
    const missing = model.names.find((name) => !alphas.has(name));
    if (missing !== undefined || file.get("fingerprint") !== model.fingerprint) {
      const why = missing === undefined ? "its tensors have other shapes" : `it has no ${missing}`;
      throw new UsageError(
        `${path}: is the sensitivity of another model (${why}); measure this one with "lopsided sensitivity".`,
        { file: path },
      );
    }
    return { name: path, alphas };
  } finally {
    await source.close();
  }
}

function readAlphas(file: JsonObject, malformed: (what: string) => Error): Map<string, number> {
  const tensors = file.get("tensors");
  if (!isJsonArray(tensors)) {
    throw malformed("has no list of tensors");
  }
  const alphas = new Map<string, number>();
  for (const tensor of tensors) {
    const [name, alpha] = isJsonObject(tensor) ? [tensor.get("name"), tensor.get("alpha")] : [];
    if (typeof name !== "string" || !isAlpha(alpha)) {
      throw malformed("has a tensor without name or alpha");
    }
    if (alphas.has(name)) {
      throw malformed(`has ${name} twice`);
    }
    alphas.set(name, alpha);
  }
  return alphas;
}

function isAlpha(value: JsonValue | undefined): value is number {
  return typeof value === "number" && value >= 0 && Number.isFinite(value);
}

/** Whether a word is one of the roles. */
export function isRole(word: string): word is Role {
  return (roles as readonly string[]).includes(word);
}
