/**
 * Types below which nothing goes unless it is asked for by name: projections of multi-token prediction, which the
 * importance matrix of a model's trunk does not know and through which every drafted token passes.
 */
import { roleOf } from "../model/roles.js";
import { bitsPerWeight, type TypeName } from "../quants/types.js";

const nextnFloor: TypeName = "Q4_K";

/** The least type of a tensor by bits per weight, or undefined if any will do. */
export function leastType(name: string): TypeName | undefined {
  return roleOf(name) === "nextn" ? nextnFloor : undefined;
}

/** Whether a type has at least as many bits per weight as another. */
export function isAtLeast(type: TypeName, least: TypeName | undefined): boolean {
  return least === undefined || bitsPerWeight(type) >= bitsPerWeight(least);
}
