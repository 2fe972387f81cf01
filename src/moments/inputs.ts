/** Which weights see the same input, and what an input is called. */
import { roleOf } from "../model/roles.js";

/** Kinds of inputs that can be collected. */
export const inputKinds = [
  "routed",
  "shared",
  "dense",
  "attention",
  "ssm",
  "hyper_connection",
  "per_layer",
  "nextn",
  "output",
] as const;

/** Those that matrices are collected of beside kept activations: the output's is large, and gains little. */
export const besideActivations = inputKinds.filter((kind) => kind !== "routed" && kind !== "output");

export type InputKind = (typeof inputKinds)[number];

/** An input of weights: what moments are of. */
export interface WeightInput {
  /** Name in moments files, `blk.3.ffn_exps.in` for example. */
  readonly name: string;
  readonly kind: InputKind;
  /** Whether it is the input of routed gate and up, which differs between experts only by who is chosen. */
  readonly routedIn: boolean;
}

/**
 * The input of a weight, by the weight's name, or undefined if its moments are never wanted. Gate and up of a layer
 * see the same input, and so do the attention's query, key and value.
 */
export function inputOf(weight: string): WeightInput | undefined {
  if (weight === "output.weight") {
    return { name: "output.in", kind: "output", routedIn: false };
  }
  const match = /^(blk\.\d+\.)(.+)\.weight$/.exec(weight);
  if (match === null) {
    return undefined;
  }
  const [, layer = "", stem = ""] = match;
  const role = roleOf(weight);
  const kind = inputKinds.find((candidate) => role === candidate || role.startsWith(`${candidate}.`));
  if (kind === undefined) {
    return undefined;
  }
  if (kind === "attention") {
    const shared = /^attn_(q|k|v|qkv)$/.test(stem);
    return { name: `${layer}${shared ? "attn.in" : stem}`, kind, routedIn: false };
  }
  if (!["routed", "shared", "dense"].includes(kind) || role === "dense.latent") {
    return { name: `${layer}${stem}`, kind, routedIn: false };
  }
  const isDown = role.endsWith(".down");
  const shared = stem.replace(/_(gate_up|gate|up|down)(_|$)/, "$2");
  const name = `${layer}${isDown ? stem : `${shared}.in`}`;
  return { name, kind, routedIn: kind === "routed" && !isDown };
}
