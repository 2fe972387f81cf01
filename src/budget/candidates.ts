/** The types that a tensor may become: what can be encoded and loaded, less what the user rules out. */

import { suggestion } from "../contract/suggest.js";
import { UsageError } from "../errors.js";
import { type RoleSelector, roleMatchesFusedOrNot, roleOf, roleSelectors } from "../model/roles.js";
import { type Backend, bitsPerWeight, isFastOn, type TypeName, traitsOf, types } from "../quants/types.js";
import { isAtLeast, leastType } from "../recipe/floor.js";
import { isQuantizable } from "../recipe/quantizable.js";
import { unmetRequirements } from "../recipe/requirements.js";

/** Limits on the types of tensors with a role; those whose role matches several obey all. */
export interface RoleLimit {
  readonly role: RoleSelector;
  /** Only these types. */
  readonly allowed?: readonly TypeName[];
  /** Types of at least as many bits per weight as this. */
  readonly least?: TypeName;
  /** Types of at most as many bits per weight as this. */
  readonly most?: TypeName;
}

export interface CandidateRules {
  readonly limits: readonly RoleLimit[];
  /** Only types with fast kernels there. */
  readonly backend?: Backend | undefined;
  readonly hasImportance: ((name: string) => boolean) | undefined;
}

export interface CandidateTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: TypeName;
}

/** Ternary types lose more than this of weights that were not trained for them; a rule or limit may still name them. */
const mostTypicalError = 0.2;

/** Types that are worth trying: all that can be encoded with scales, and lose little enough. */
export const quantizedTypes: readonly TypeName[] = [...types.values()]
  .filter(({ quantized, canEncode }) => quantized && canEncode)
  .filter(({ typicalError = 0 }) => typicalError < mostTypicalError)
  .map(({ name }) => name);

/**
 * The types a tensor may have, its own among them; only its own if it is never quantized. Throws a UsageError if the
 * limits leave none.
 */
export function candidateTypes(tensor: CandidateTensor, rules: CandidateRules): TypeName[] {
  const { name, shape, type: own } = tensor;
  if (!isQuantizable(name, shape) || !traitsOf(own).canDecode) {
    return [own];
  }
  const role = roleOf(name);
  const limits = rules.limits.filter((limit) => roleMatchesFusedOrNot(limit.role, role));
  const ownBits = bitsPerWeight(own);
  const possible = [
    ...new Set([own, ...quantizedTypes, ...limits.flatMap(({ allowed = [] }) => allowed)]),
  ].filter(
    (type) =>
      (type === own ||
        (traitsOf(type).canEncode && bitsPerWeight(type) <= ownBits && isAtLeast(type, leastType(name)))) &&
      (shape[0] ?? 0) % traitsOf(type).blockSize === 0 &&
      canBeMade(name, own, type, rules),
  );
  const wanted = possible.filter(
    (type) =>
      (rules.backend === undefined || isFastOn(rules.backend, type)) &&
      limits.every((limit) => obeys(type, limit)),
  );
  if (wanted.length > 0) {
    return wanted;
  }
  throw new UsageError(
    `no type is left for ${name} (${role}): of ${possible.join(", ")} the limits exclude all. Allow another type for it.`,
    { tensor: name },
  );
}

function canBeMade(name: string, from: TypeName, to: TypeName, { hasImportance }: CandidateRules): boolean {
  return (
    unmetRequirements([{ name, from, to }], { base: "COPY", allowRequantize: true, hasImportance }).length ===
    0
  );
}

function obeys(type: TypeName, { allowed, least, most }: RoleLimit): boolean {
  const bits = bitsPerWeight(type);
  return (
    (allowed === undefined || allowed.includes(type)) &&
    (least === undefined || bits >= bitsPerWeight(least)) &&
    (most === undefined || bits <= bitsPerWeight(most))
  );
}

/** Reads `ROLE=TYPE[,TYPE...]`, as for `--allow`; `kind` says what the types mean. */
export function parseRoleLimit(
  text: string,
  kind: "allowed" | "least" | "most",
  parseType: (text: string) => TypeName,
): RoleLimit {
  const [, role = "", list = ""] = /^([^=]*)=(.+)$/.exec(text) ?? [];
  if (role === "" || list === "") {
    throw new UsageError(`"${text}": expected ROLE=TYPE, like routed.down=IQ3_S.`, { value: text });
  }
  const typeNames = list.split(",").map((part) => parseType(part.trim()));
  const [first] = typeNames;
  if (kind !== "allowed" && (typeNames.length > 1 || first === undefined)) {
    throw new UsageError(`"${text}": one type is the limit; name only one.`, { value: text });
  }
  const selector = parseRoleSelector(role);
  return kind === "allowed" ? { role: selector, allowed: typeNames } : { role: selector, [kind]: first };
}

/** Reads a role or a group of roles; throws a UsageError that suggests the nearest. */
export function parseRoleSelector(text: string): RoleSelector {
  const selector = roleSelectors.find((name) => name === text);
  if (selector !== undefined) {
    return selector;
  }
  throw new UsageError(`"${text}" is not a role of tensors${suggestion(text, roleSelectors)}`, {
    value: text,
  });
}
