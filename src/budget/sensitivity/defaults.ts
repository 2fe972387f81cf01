/**
 * How much a tensor's error costs the model: alpha, the KL divergence in nats for each unit of its relative error.
 * The divergence is about linear in the layers' relative errors (Malinovskii et al. 2024, "Pushing the Limits of
 * Large Language Model Quantization via the Linearity Theorem"), so that costs add up. Measured by
 * `lopsided sensitivity`, or the defaults below.
 */
import { isTied, layerOf, type Role, roleOf } from "../../model/roles.js";
import type { TypeName } from "../../quants/types.js";
import type { ErrorCurve } from "../typical-curves.js";

export interface Sensitivity {
  /** What to call it in messages and recipes: a path, or "defaults". */
  readonly name: string;
  readonly alphas: ReadonlyMap<string, number>;
  /** What errors that were measured as they are cost: the tensor's type, and nats of KL divergence. */
  readonly costs?: ReadonlyMap<string, MeasuredCost>;
}

export interface MeasuredCost {
  readonly type: TypeName;
  readonly cost: number;
}

/**
 * The sensitivities with which the errors of these curves cost what they were measured to cost. An alpha is per unit of
 * error, and curves of `--effort max` have other units than noise: what matters is that both are the same.
 */
export function fittedTo(sensitivity: Sensitivity, curves: ReadonlyMap<string, ErrorCurve>): Sensitivity {
  const alphas = new Map(sensitivity.alphas);
  for (const [name, { type, cost }] of sensitivity.costs ?? []) {
    const error = curves.get(name)?.get(type) ?? 0;
    if (error > 0) {
      alphas.set(name, cost / error);
    }
  }
  return { ...sensitivity, alphas };
}

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
  // Of one layer, not of all, and what is drafted is checked by the others.
  nextn: 0.05,
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

/**
 * What was measured, and for the other tensors their defaults by role and depth, in proportion to what was measured: of
 * the role if any of it was, otherwise of all.
 */
export function withDefaults(
  measured: ReadonlyMap<string, number>,
  names: readonly string[],
): ReadonlyMap<string, number> {
  const unmeasured = names.filter((name) => !measured.has(name));
  if (unmeasured.length === 0) {
    return measured;
  }
  const defaults = defaultSensitivity(names).alphas;
  const ratioOf = (isMeant: (name: string) => boolean): number | undefined => {
    const known = names.filter((name) => measured.has(name) && isMeant(name));
    const sum = (alphas: ReadonlyMap<string, number>) =>
      known.reduce((total, name) => total + (alphas.get(name) ?? 0), 0);
    return known.length === 0 ? undefined : sum(measured) / sum(defaults);
  };
  const overall = ratioOf(() => true) ?? 1;
  const byRole = new Map<Role, number>();
  const result = new Map(measured);
  for (const name of unmeasured) {
    const role = roleOf(name);
    const ratio = byRole.get(role) ?? ratioOf((other) => roleOf(other) === role) ?? overall;
    byRole.set(role, ratio);
    result.set(name, ratio * (defaults.get(name) ?? 0));
  }
  return result;
}

/** Half as much again in the first and the last eighth of the layers. */
function depthWeight(layer: number | undefined, layers: number): number {
  if (layer === undefined) {
    return 1;
  }
  return layer < layers / 8 || layer >= layers - layers / 8 ? 1.5 : 1;
}
