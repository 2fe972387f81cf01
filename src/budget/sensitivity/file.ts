/** What `lopsided sensitivity` wrote: how much each tensor's error costs the model, measured. */
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue, readJson } from "../../bytes/json.js";
import type { ByteSource } from "../../bytes/source.js";
import { MalformedInputError, UsageError } from "../../errors.js";
import { namesFusedOrNot, type Role } from "../../model/roles.js";
import { isTypeName } from "../../quants/types.js";
import { type MeasuredCost, type Sensitivity, withDefaults } from "./defaults.js";

export interface TensorSensitivity {
  readonly name: string;
  readonly role: Role;
  /** Nats of KL divergence for each unit of relative error. */
  readonly alpha: number;
}

/** The model that a file must be of. */
export interface MeasuredModel {
  /** One of these must be in the file; undefined if they are not known. */
  readonly fingerprints: readonly string[] | undefined;
  /** Tensors that it must know of. */
  readonly names: readonly string[];
}

/** What a sensitivity file begins with. */
export const sensitivityFormat = "lopsided-sensitivity-1";

/** Largest file that can be one: a few hundred bytes for each tensor. */
const largestFile = 64 * 2 ** 20;

/**
 * Reads what `lopsided sensitivity` wrote. Throws a MalformedInputError if it is not such a file, a UsageError if it
 * is of another model: if it lacks a tensor of `names`, or its fingerprint is not the model's.
 */
export async function readSensitivity(source: ByteSource, model: MeasuredModel): Promise<Sensitivity> {
  const path = source.name;
  const file = await readJson(source, largestFile);
  const malformed = (what: string) =>
    new MalformedInputError(`${path}: ${what}; measure it with "lopsided sensitivity".`, { file: path });
  if (!isJsonObject(file) || file.get("format") !== sensitivityFormat) {
    throw malformed("is not a sensitivity file");
  }
  const measured = withFusedOrNot(readAlphas(file, malformed), model.names);
  const unmeasured = readUnmeasured(file, malformed);
  const missing = model.names.find((name) => !measured.has(name) && !unmeasured.has(name));
  const found = file.get("fingerprint");
  const isOther = model.fingerprints !== undefined && !model.fingerprints.some((one) => one === found);
  if (missing !== undefined || isOther) {
    const why = missing === undefined ? "its tensors have other shapes" : `it has no ${missing}`;
    throw new UsageError(
      `${path}: is the sensitivity of another model (${why}); measure this one with "lopsided sensitivity".`,
      { file: path },
    );
  }
  return { name: path, alphas: withDefaults(measured, model.names), costs: readCosts(file) };
}

/** Gate and up of routed experts cost together what they cost as one tensor; of one, each is taken for half. */
function withFusedOrNot(
  alphas: ReadonlyMap<string, number>,
  names: readonly string[],
): ReadonlyMap<string, number> {
  const result = new Map(alphas);
  for (const name of names) {
    const others = namesFusedOrNot(name);
    const known = others.map((other) => alphas.get(other)).filter((alpha) => alpha !== undefined);
    if (!alphas.has(name) && others.length > 0 && known.length === others.length) {
      const sum = known.reduce((total, alpha) => total + alpha, 0);
      result.set(name, others.length === 1 ? sum / 2 : sum);
    }
  }
  return result;
}

function readUnmeasured(file: JsonObject, malformed: (what: string) => Error): ReadonlySet<string> {
  const names = file.get("unmeasured") ?? [];
  if (!isJsonArray(names)) {
    throw malformed("has no list of names as `unmeasured`");
  }
  return new Set(
    names.map((name) => {
      if (typeof name !== "string") {
        throw malformed("has an unmeasured tensor without name");
      }
      return name;
    }),
  );
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

/** What errors cost that were measured as they are; of another kind of file nothing. */
function readCosts(file: JsonObject): Map<string, MeasuredCost> {
  const costs = new Map<string, MeasuredCost>();
  for (const tensor of (file.get("tensors") as JsonValue[]).filter(isJsonObject)) {
    const [name, type, cost] = ["name", "type", "cost"].map((key) => tensor.get(key));
    if (typeof name === "string" && isTypeName(type) && isAlpha(cost)) {
      costs.set(name, { type, cost });
    }
  }
  return costs;
}

function isAlpha(value: JsonValue | undefined): value is number {
  return typeof value === "number" && value >= 0 && Number.isFinite(value);
}
